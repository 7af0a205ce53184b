//! The one switch over all exits: who answers each of them.

use crate::bus::Bus;
use crate::devices::io_apic::IoApic;
use crate::devices::lesson_msr::LessonMsr;
use crate::devices::log::Log;
use crate::kvm::exit::Exit;
use crate::layout::LESSON_MSR;
use crate::lifecycle::{DebugStop, End, Lifecycle, VcpuControl};
use crate::machine::controllers::Controllers;
use alloc::sync::Arc;

/// Everything that handles an exit. The vCPU threads share it.
pub struct ExitHandler {
    pub ports: Bus,
    pub addresses: Bus,
    pub msr: Arc<LessonMsr>,
    /// Its coalesced writes are collected before each exit is answered.
    pub log: Arc<Log>,
    pub lifecycle: Arc<Lifecycle>,
    /// Where they are not KVM's.
    pub controllers: Option<Arc<Controllers>>,
    /// It gets what `KVM_EXIT_DEBUG` tells.
    pub has_debugger: bool,
}

impl ExitHandler {
    /// Answers an exit, in the run page where it is a read.
    #[inline]
    pub fn handle(&self, exit: Exit, vcpu: &Arc<VcpuControl>) {
        match exit {
            Exit::Port { write, port, size, data } => {
                let (device, offset) = self.ports.find(port.into());
                // A string instruction has several items, and each takes effect, in order.
                for item in data.chunks_exact_mut(size) {
                    match write {
                        true => device.write(offset, item, vcpu),
                        false => device.read(offset, item),
                    }
                }
            }
            Exit::Mmio { write, address, data } => {
                let (device, offset) = self.addresses.find(address);
                match write {
                    true => device.write(offset, data, vcpu),
                    false => device.read(offset, data),
                }
            }
            // Only KVM_HC_MAP_GPA_RANGE comes here, and 0 is its success: there is no private memory.
            Exit::Hypercall(call) => call.ret = 0,
            Exit::Msr { write, msr } => self.msr.access(write, msr),
            Exit::Debug(event) if self.has_debugger => {
                self.lifecycle.stop_for_debugger(Some(DebugStop { vcpu: vcpu.number(), event }));
            }
            Exit::Debug(_) | Exit::Reenter => {}
            Exit::EndOfInterrupt { vector } => {
                if let Some(io_apic) = self.io_apic() {
                    io_apic.end_of_interrupt(vector);
                }
            }
            Exit::Halt { takes_interrupts } => match &self.controllers {
                Some(controllers) => {
                    if controllers.wait_for_interrupt(vcpu, takes_interrupts).is_err() {
                        vcpu.leave_hlt();
                    }
                }
                None => self.lifecycle.end(End::Halted, Some(vcpu.number())),
            },
            Exit::Died(death) => self.lifecycle.end(End::Died(death), Some(vcpu.number())),
        }
    }

    /// Who answers an exit, as a trace calls it; empty for nobody.
    pub fn name(&self, exit: &Exit) -> &'static str {
        match exit {
            Exit::Port { write, port, .. } => {
                let (device, offset) = self.ports.find((*port).into());
                device.name(offset, *write)
            }
            Exit::Mmio { write, address, .. } => {
                let (device, offset) = self.addresses.find(*address);
                device.name(offset, *write)
            }
            Exit::Hypercall(_) => "answered",
            Exit::Msr { msr, .. } if msr.index == LESSON_MSR => "the lessons' MSR",
            Exit::Msr { .. } => "#GP in the guest",
            Exit::EndOfInterrupt { .. } => "I/O APIC",
            Exit::Debug(_) | Exit::Reenter => "",
            Exit::Halt { .. } if self.controllers.is_some() => "waits",
            Exit::Halt { .. } | Exit::Died(_) => "the run ends",
        }
    }

    /// The I/O APIC, where it is not KVM's.
    pub fn io_apic(&self) -> Option<&IoApic> {
        self.controllers.as_ref()?.io_apic.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Device;
    use crate::devices::debug_exit::DebugExit;
    use crate::devices::open_bus::{OpenBus, Space};
    use crate::devices::scratch::Scratch;
    use crate::devices::tests::vcpu;
    use crate::host::event::Event;
    use crate::host::mutex::Mutex;
    use crate::kvm::exit::Death;
    use crate::output::Output;
    use crate::sys::run::kvm_run_hypercall;

    /// Keeps what is written, and counts up when it is read.
    #[derive(Default)]
    struct Recorder(Mutex<Vec<Vec<u8>>>, Mutex<u8>);

    impl Device for Recorder {
        fn name(&self, _: u64, _: bool) -> &'static str {
            "recorder"
        }
        fn read(&self, _: u64, data: &mut [u8]) {
            let mut count = self.1.lock();
            *count += 1;
            data.fill(*count);
        }
        fn write(&self, _: u64, data: &[u8], _: &Arc<VcpuControl>) {
            self.0.lock().push(data.to_vec());
        }
    }

    fn handler(attach: impl FnOnce(&mut Bus, &Arc<Lifecycle>)) -> ExitHandler {
        let lifecycle = Arc::new(Lifecycle::new(Arc::new(Event::new().unwrap())));
        let open_bus = |space| Arc::new(OpenBus::new(space, Arc::new(Output::silent()), true));
        let mut ports = Bus::new(open_bus(Space::Ports));
        attach(&mut ports, &lifecycle);
        let addresses = Bus::new(open_bus(Space::Addresses));
        let log = Arc::new(Log::without_vm());
        let msr = Arc::default();
        ExitHandler {
            ports,
            addresses,
            msr,
            log,
            lifecycle,
            controllers: None,
            has_debugger: false,
        }
    }

    #[test]
    fn each_item_of_a_string_takes_effect_in_order() {
        let recorder = Arc::new(Recorder::default());
        let handler = handler(|ports, _| ports.attach(0x20, 1, recorder.clone(), 0));
        let data = &mut [1, 0, 3, 0, 2, 0];
        handler.handle(Exit::Port { write: true, port: 0x20, size: 2, data }, &vcpu());
        assert_eq!(*recorder.0.lock(), [[1, 0], [3, 0], [2, 0]]);
        let data = &mut [0; 6];
        handler.handle(Exit::Port { write: false, port: 0x20, size: 2, data }, &vcpu());
        assert_eq!(data, &[1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn the_first_item_that_ends_the_run_counts() {
        let handler = handler(|ports, lifecycle| {
            ports.attach(0xf4, 1, Arc::new(DebugExit(lifecycle.clone())), 0);
        });
        let exit = Exit::Port { write: true, port: 0xf4, size: 1, data: &mut [1, 2] };
        assert_eq!(handler.name(&exit), "the run ends");
        handler.handle(exit, &vcpu());
        assert_eq!(handler.lifecycle.how(), Some((End::Status(3), Some(0))));
    }

    #[test]
    fn where_no_device_is_reads_give_ones() {
        let handler = handler(|ports, _| {
            ports.attach(0xe0, 4, Arc::new(Scratch::default()), 0);
        });
        let data = &mut [0; 4];
        handler.handle(Exit::Port { write: false, port: 0x80, size: 4, data }, &vcpu());
        assert_eq!(data, &[0xff; 4]);
        let data = &mut [0; 8];
        let exit = Exit::Mmio { write: false, address: 0xd000_0000, data };
        assert_eq!(handler.name(&exit), "no device: ones");
        handler.handle(exit, &vcpu());
        assert_eq!(data, &[0xff; 8]);
    }

    #[test]
    fn halt_and_death_end_the_run_and_a_hypercall_succeeds() {
        for (exit, end) in [
            (Exit::Halt { takes_interrupts: true }, Some(End::Halted)),
            (Exit::Died(Death::Shutdown), Some(End::Died(Death::Shutdown))),
            (Exit::Reenter, None),
            (Exit::Debug(Default::default()), None),
        ] {
            let handler = handler(|_, _| ());
            handler.handle(exit, &vcpu());
            assert_eq!(handler.lifecycle.how().map(|(end, _)| end), end);
        }
        let mut call = kvm_run_hypercall { nr: 12, args: [0; 6], ret: 9, flags: 0 };
        handler(|_, _| ()).handle(Exit::Hypercall(&mut call), &vcpu());
        assert_eq!(call.ret, 0);
    }
}
