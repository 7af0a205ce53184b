//! The serial port, register by register.

use super::*;

fn interrupt(serial: &mut Registers) -> u8 {
    serial.read(IIR) & 0x0f
}

#[test]
fn after_a_reset_nothing_is_enabled_and_the_transmitter_is_empty() {
    let mut serial = Registers::default();
    assert_eq!([IER, IIR, LCR, MCR].map(|register| serial.read(register)), [0, 1, 0, 0]);
    assert_eq!(serial.read(LSR), 0x60);
    assert_eq!(serial.read(MSR), 0xb0);
    assert!(!serial.interrupt());
}

#[test]
fn the_divisor_stands_behind_dlab_and_the_scratch_register_keeps_what_is_written() {
    let mut serial = Registers::default();
    serial.write(LCR, 0x83);
    assert_eq!(serial.write(DATA, 0x34), None, "the divisor is not sent");
    serial.write(IER, 0x12);
    assert_eq!((serial.read(DATA), serial.read(IER)), (0x34, 0x12));
    serial.write(LCR, 0x03);
    assert_eq!((serial.read(DATA), serial.read(IER)), (0, 0));
    for value in [0, 0x5a, 0xff] {
        serial.write(SCR, value);
        assert_eq!(serial.read(SCR), value);
    }
}

#[test]
fn what_is_written_is_sent() {
    let mut serial = Registers::default();
    assert_eq!([serial.write(DATA, b'a'), serial.write(DATA, b'b')], [Some(b'a'), Some(b'b')]);
}

#[test]
fn an_empty_transmitter_interrupts_once_for_each_byte_and_when_it_is_enabled() {
    let mut serial = Registers::default();
    serial.write(IER, IER_EMPTY);
    assert_eq!(interrupt(&mut serial), IIR_EMPTY);
    assert_eq!(interrupt(&mut serial), IIR_NONE, "reading IIR ends it");
    serial.write(DATA, b'x');
    assert!(serial.transmit());
    assert_eq!(interrupt(&mut serial), IIR_EMPTY);
    assert!(!serial.transmit(), "it is sent once");
    serial.write(IER, IER_EMPTY);
    assert_eq!(interrupt(&mut serial), IIR_NONE, "it was enabled before");
    serial.write(IER, 0);
    serial.write(IER, IER_EMPTY);
    assert_eq!(interrupt(&mut serial), IIR_EMPTY);
}

#[test]
fn writing_thr_ends_the_transmitter_s_interrupt_so_that_the_next_one_is_an_edge() {
    let mut serial = Registers::default();
    serial.write(MCR, MCR_OUT2);
    serial.write(IER, IER_EMPTY);
    assert!(serial.interrupt());
    serial.write(DATA, b'x');
    assert!(!serial.interrupt());
    serial.transmit();
    assert!(serial.interrupt());
}

#[test]
fn out2_connects_the_interrupt_line_and_loopback_mode_cuts_it() {
    let mut serial = Registers::default();
    serial.write(IER, IER_EMPTY);
    assert!(!serial.interrupt());
    serial.write(MCR, MCR_OUT2);
    assert!(serial.interrupt());
    serial.write(MCR, MCR_OUT2 | MCR_LOOP);
    assert!(!serial.interrupt());
    assert_eq!(interrupt(&mut serial), IIR_EMPTY, "IIR says so all the same");
}

#[test]
fn sixteen_bytes_wait_in_the_fifo_and_the_next_overruns() {
    let mut serial = Registers::default();
    serial.write(IIR, 0xc1);
    serial.write(IER, IER_RECEIVED | IER_LINE);
    serial.write(MCR, MCR_OUT2);
    assert_eq!(serial.read(IIR) & 0xc0, 0xc0);
    assert_eq!(serial.room(), 16);
    for byte in 0..16 {
        assert_eq!(
            interrupt(&mut serial),
            [IIR_NONE, IIR_TIMEOUT, IIR_RECEIVED][match byte {
                0 => 0,
                1..14 => 1,
                _ => 2,
            }]
        );
        serial.receive(byte);
    }
    assert_eq!(serial.room(), 0);
    assert_eq!(serial.read(LSR), 0x61);
    serial.receive(99);
    assert_eq!(interrupt(&mut serial), IIR_LINE);
    assert_eq!(serial.read(LSR), 0x63);
    assert_eq!(serial.read(LSR), 0x61, "reading LSR ends it");
    for byte in 0..16 {
        assert_eq!(serial.read(DATA), byte);
    }
    assert_eq!((serial.read(LSR), interrupt(&mut serial)), (0x60, IIR_NONE));
}

#[test]
fn each_trigger_level_is_its_own() {
    for (bits, level) in [(0x01, 1), (0x41, 4), (0x81, 8), (0xc1, 14)] {
        let mut serial = Registers::default();
        serial.write(IIR, bits);
        serial.write(IER, IER_RECEIVED);
        (1..level).for_each(|_| serial.receive(0));
        assert_ne!(interrupt(&mut serial), IIR_RECEIVED, "{level}");
        serial.receive(0);
        assert_eq!(interrupt(&mut serial), IIR_RECEIVED, "{level}");
    }
}

#[test]
fn without_fifos_there_is_room_for_one_and_switching_them_off_empties_them() {
    let mut serial = Registers::default();
    serial.write(IER, IER_RECEIVED);
    serial.write(MCR, MCR_OUT2);
    assert_eq!(serial.room(), 1);
    serial.receive(1);
    assert_eq!(serial.room(), 0);
    serial.receive(2);
    assert_eq!((serial.read(LSR), serial.read(DATA)), (0x63, 2));
    serial.receive(3);
    serial.write(IIR, FCR_CLEAR_RECEIVED);
    assert_eq!(serial.read(LSR), 0x61, "without bit 0 the other bits mean nothing");
    serial.write(IIR, FCR_ENABLE);
    assert_eq!(serial.read(LSR), 0x60, "switching them on empties them too");
    serial.receive(4);
    serial.write(IIR, FCR_ENABLE);
    assert_eq!(serial.read(LSR), 0x61, "they were on");
    serial.write(IIR, FCR_ENABLE | FCR_CLEAR_RECEIVED);
    assert_eq!(serial.read(LSR), 0x60);
    serial.receive(5);
    serial.write(IIR, 0);
    assert_eq!((serial.read(LSR), serial.read(IIR)), (0x60, 1));
}

#[test]
fn nothing_comes_in_while_nobody_listens() {
    let mut serial = Registers::default();
    serial.write(IER, IER_RECEIVED);
    assert_eq!(serial.room(), 0);
    serial.write(MCR, MCR_OUT2);
    assert_eq!(serial.room(), 1);
    serial.write(IER, 0);
    (0..POLLS).for_each(|_| _ = serial.read(LSR));
    assert_eq!(serial.room(), 1, "it asks again and again");
    serial.write(DATA, 0);
    assert_eq!(serial.room(), 0);
}

#[test]
fn in_the_loop_it_hears_itself_and_its_lines_are_the_modem_s() {
    let mut serial = Registers::default();
    serial.write(MCR, MCR_LOOP);
    // CTS, DSR and DCD fell.
    assert_eq!(serial.read(MSR), 0x0b);
    for (line, seen) in [(1, 0x22), (2, 0x11), (8, 0x88)] {
        serial.write(MCR, MCR_LOOP | line);
        assert_eq!(serial.read(MSR), seen);
        serial.write(MCR, MCR_LOOP);
        assert_eq!(serial.read(MSR), seen & 0x0f, "it changed back");
    }
    serial.write(MCR, MCR_LOOP | 4);
    assert_eq!(serial.read(MSR), 0x40, "RI counts where it ends");
    serial.write(IER, IER_MODEM);
    serial.write(MCR, MCR_LOOP);
    assert_eq!(interrupt(&mut serial), IIR_MODEM);
    assert_eq!(serial.read(MSR), 0x04);
    assert_eq!(interrupt(&mut serial), IIR_NONE);
    assert_eq!(serial.room(), 0, "nothing comes in from outside");
    assert_eq!(serial.write(DATA, b'x'), None);
    assert_eq!((serial.read(LSR), serial.read(DATA)), (0x61, b'x'));
}
