//! The 8259A against its data sheet.

use super::*;

/// Both controllers as a PC's software sets them up: vectors 0x20 to 0x2f.
fn pair() -> Pair {
    let mut pair = Pair::new();
    initialize(&mut pair, 0x01);
    pair
}

fn initialize(pair: &mut Pair, icw4: u8) {
    for (command, base, icw3) in [(COMMAND, 0x20, 4), (SECOND_COMMAND, 0x28, 2)] {
        pair.write(command, 0x11);
        for value in [base, icw3, icw4] {
            pair.write(command + 1, value);
        }
    }
}

fn pulse(pair: &mut Pair, line: u32) {
    pair.set_line(line, true);
    pair.set_line(line, false);
}

fn asks(pair: &Pair) -> bool {
    pair.0[0].request().is_some()
}

/// All interrupts that the processor gets if it takes each at once and ends it.
fn taken(pair: &mut Pair) -> Vec<u8> {
    let mut vectors = vec![];
    while asks(pair) {
        let vector = pair.acknowledge();
        vectors.push(vector);
        if vector >= 0x28 {
            pair.write(SECOND_COMMAND, 0x20);
        }
        pair.write(COMMAND, 0x20);
    }
    vectors
}

#[test]
fn each_line_has_its_vector_and_the_lowest_is_the_most_urgent() {
    let mut pair = pair();
    for line in (0..16).rev() {
        pulse(&mut pair, line);
    }
    // Those of the second controller take the place of line 2.
    let expected = [0x20, 0x21].into_iter().chain(0x28..0x30).chain(0x23..0x28);
    assert_eq!(taken(&mut pair), expected.collect::<Vec<_>>());
    assert_eq!(taken(&mut pair), []);
}

#[test]
fn an_interrupt_in_service_keeps_out_what_is_not_more_urgent() {
    let mut pair = pair();
    pulse(&mut pair, 4);
    assert_eq!(pair.acknowledge(), 0x24);
    for line in [4, 5] {
        pulse(&mut pair, line);
        assert!(!asks(&pair), "{line}");
    }
    pulse(&mut pair, 3);
    assert_eq!(pair.acknowledge(), 0x23);
    pair.write(COMMAND, 0x0b);
    assert_eq!(pair.read(COMMAND), 0b1_1000, "ISR");
    pair.write(COMMAND, 0x0a);
    assert_eq!(pair.read(COMMAND), 0b11_0000, "IRR");
    // EOI without a line ends the most urgent; with one, that.
    pair.write(COMMAND, 0x64);
    assert_eq!(pair.0[0].isr, 0b1000);
    pair.write(COMMAND, 0x20);
    assert_eq!(taken(&mut pair), [0x24, 0x25]);
}

#[test]
fn the_second_controller_asks_again_while_the_first_has_its_line_in_service_only_if_nested() {
    let mut pair = pair();
    pulse(&mut pair, 12);
    assert_eq!(pair.acknowledge(), 0x2c);
    pulse(&mut pair, 8);
    assert!(!asks(&pair));
    let mut nested = self::pair();
    initialize(&mut nested, 0x11);
    pulse(&mut nested, 12);
    assert_eq!(nested.acknowledge(), 0x2c);
    pulse(&mut nested, 8);
    assert_eq!(nested.acknowledge(), 0x28);
}

#[test]
fn masked_lines_keep_their_requests() {
    let mut pair = pair();
    pair.write(DATA, 0b1_0000);
    assert_eq!(pair.read(DATA), 0b1_0000);
    pulse(&mut pair, 4);
    assert!(!asks(&pair));
    pair.write(DATA, 0);
    assert_eq!(taken(&mut pair), [0x24]);
}

#[test]
fn an_edge_counts_once_and_a_level_for_as_long_as_it_lasts() {
    let mut pair = pair();
    pair.set_line(5, true);
    assert_eq!(taken(&mut pair), [0x25]);
    assert!(!asks(&pair));
    pair.set_line(5, false);

    pair.write(TRIGGER, 0xff);
    pair.write(SECOND_TRIGGER, 0xff);
    assert_eq!([pair.read(TRIGGER), pair.read(SECOND_TRIGGER)], [0xf8, 0xde]);
    pair.set_line(10, true);
    for _ in 0..2 {
        assert_eq!(pair.acknowledge(), 0x2a);
        pair.write(SECOND_COMMAND, 0x20);
        pair.write(COMMAND, 0x20);
    }
    pair.set_line(10, false);
    assert_eq!(taken(&mut pair), []);
}

#[test]
fn a_request_that_has_gone_is_a_spurious_interrupt() {
    let mut pair = pair();
    assert_eq!(pair.acknowledge(), 0x27);
    assert_eq!(pair.0[0].isr, 0, "nothing to end");
    // The first controller has its line 2 in service, the second one nothing.
    pair.write(SECOND_TRIGGER, 0xff);
    pair.set_line(10, true);
    pair.0[1].irr = 0;
    assert_eq!(pair.acknowledge(), 0x2f);
    assert_eq!((pair.0[0].isr, pair.0[1].isr), (0b100, 0));
}

#[test]
fn priorities_rotate() {
    let mut pair = pair();
    // Line 5 becomes the last: 6 is the first now.
    pair.write(COMMAND, 0xc5);
    for line in [5, 6] {
        pulse(&mut pair, line);
    }
    assert_eq!(pair.acknowledge(), 0x26);
    // Its end makes it the last, so that 7 is the first.
    pair.write(COMMAND, 0xa0);
    pulse(&mut pair, 7);
    assert_eq!(taken(&mut pair), [0x27, 0x25]);
    // Likewise for a line that the guest names.
    pulse(&mut pair, 3);
    assert_eq!(pair.acknowledge(), 0x23);
    pair.write(COMMAND, 0xe3);
    assert_eq!((pair.0[0].isr, pair.0[0].last), (0, 3));
}

#[test]
fn automatic_eoi_leaves_nothing_in_service() {
    let mut pair = pair();
    initialize(&mut pair, 0x03);
    pulse(&mut pair, 1);
    assert_eq!((pair.acknowledge(), pair.0[0].isr, pair.0[0].last), (0x21, 0, 7));
    pair.write(COMMAND, 0x80);
    pulse(&mut pair, 1);
    assert_eq!((pair.acknowledge(), pair.0[0].last), (0x21, 1));
    pair.write(COMMAND, 0x00);
    pulse(&mut pair, 3);
    assert_eq!((pair.acknowledge(), pair.0[0].last), (0x23, 1));
}

#[test]
fn the_special_mask_lets_less_urgent_lines_through() {
    let mut pair = pair();
    pulse(&mut pair, 3);
    assert_eq!(pair.acknowledge(), 0x23);
    pulse(&mut pair, 6);
    pair.write(COMMAND, 0x68);
    assert!(!asks(&pair), "line 3 is in service and not masked");
    pair.write(DATA, 0b1000);
    assert_eq!(pair.acknowledge(), 0x26);
    pair.write(COMMAND, 0x20);
    assert_eq!(pair.0[0].isr, 0b1000, "an EOI without a line spares what is masked");
    pair.write(COMMAND, 0x48);
    pulse(&mut pair, 6);
    assert!(!asks(&pair));
}

#[test]
fn a_poll_acknowledges() {
    let mut pair = pair();
    pair.write(COMMAND, 0x0c);
    assert_eq!(pair.read(COMMAND), 0);
    pulse(&mut pair, 6);
    pair.write(COMMAND, 0x0c);
    assert_eq!((pair.read(COMMAND), pair.0[0].isr), (0x86, 0b100_0000));
    assert_eq!(pair.read(COMMAND), 0, "IRR again");
}

#[test]
fn initialization_forgets_what_was() {
    let mut pair = pair();
    pair.write(DATA, 0xff);
    pair.write(COMMAND, 0x0b);
    pulse(&mut pair, 3);
    pair.write(DATA, 0);
    pair.acknowledge();
    pulse(&mut pair, 4);
    pair.write(COMMAND, 0x11);
    pair.set_line(5, true);
    assert!(!asks(&pair), "it is not complete");
    for value in [0x40, 4, 1] {
        pair.write(DATA, value);
    }
    assert_eq!((pair.0[0].isr, pair.read(DATA), pair.read(COMMAND)), (0, 0, 0b10_0000));
    assert_eq!(pair.acknowledge(), 0x45);
    // A controller alone has no ICW3, and without the bit for it no ICW4.
    pair.write(COMMAND, 0x12);
    pair.write(DATA, 0x50);
    pair.write(DATA, 0xaa);
    assert_eq!((pair.0[0].base, pair.read(DATA)), (0x50, 0xaa));
}

#[test]
fn the_boot_processor_is_told_once() {
    let attention = Arc::new(crate::host::event::Event::new().unwrap());
    let lifecycle = Arc::new(Lifecycle::new(attention));
    let pic = Pic::new(lifecycle.clone());
    pic.set_line(0, true);
    assert!(pic.asks() && lifecycle.take_interrupt());
    pic.set_line(1, true);
    assert!(!lifecycle.take_interrupt());
    assert_eq!((pic.acknowledge(), pic.asks()), (0, false));
    pic.end_of_interrupt();
    assert!(pic.asks() && lifecycle.take_interrupt());
}
