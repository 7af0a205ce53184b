//! The window: the first bytes of RAM a second time, as slot 1, which the guest opens and closes while it runs.

use crate::bus::Device;
use crate::devices::open_bus::OpenBus;
use crate::host::mutex::Mutex;
use crate::kvm::dirty_log::DirtyLog;
use crate::kvm::{self, Vm};
use crate::layout::{WINDOW, WINDOW_SIZE, WINDOW_SLOT};
use crate::lifecycle::VcpuControl;
use crate::memory::GuestMemory;
use crate::output::Output;
use crate::snapshot::fields::{Fields, Invalid, Saved, visit};
use crate::sys::memory::{KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Slot 1. An access comes here only where the slot does not answer it: while the window is closed, and for writes while
/// it is read-only.
pub struct Window {
    vm: Arc<Vm>,
    memory: Arc<GuestMemory>,
    open_bus: Arc<OpenBus>,
    output: Arc<Output>,
    /// The user has been warned of a write to read-only memory, or shall not be.
    has_warned: AtomicBool,
    logs_dirty_pages: bool,
    state: Mutex<State>,
}

struct State {
    shows: Shows,
    /// The pages that were written through the window before it was last closed, and are not shown yet.
    written: Option<DirtyLog>,
}

#[derive(Clone, Copy, PartialEq)]
enum Shows {
    Nothing,
    Ram,
    RamReadOnly,
}

impl Window {
    /// Closed.
    pub fn new(
        vm: Arc<Vm>,
        memory: Arc<GuestMemory>,
        open_bus: Arc<OpenBus>,
        output: Arc<Output>,
        quiet: bool,
        logs_dirty_pages: bool,
    ) -> Window {
        let state = Mutex::new(State { shows: Shows::Nothing, written: None });
        let has_warned = AtomicBool::new(quiet);
        Window { vm, memory, open_bus, output, has_warned, logs_dirty_pages, state }
    }

    /// How much of RAM it shows.
    pub fn size(memory: &GuestMemory) -> u64 {
        WINDOW_SIZE.min(memory.regions()[0].size)
    }

    pub fn open(&self) -> Result<(), kvm::Error> {
        self.change(Shows::Ram)
    }

    pub fn open_readonly(&self) -> Result<(), kvm::Error> {
        self.change(Shows::RamReadOnly)
    }

    pub fn close(&self) -> Result<(), kvm::Error> {
        self.change(Shows::Nothing)
    }

    fn change(&self, to: Shows) -> Result<(), kvm::Error> {
        // Held over all calls: two vCPUs must not change the slot at once. Each call waits until nobody in KVM uses the old
        // slots (SRCU). That is short: a vCPU that executes guest code does not use them.
        let mut state = self.state.lock();
        let region = &self.memory.regions()[0];
        let size = Window::size(&self.memory);
        // KVM does not let a slot become read-only: it is deleted and made again. Its dirty log goes with it.
        if state.shows != Shows::Nothing {
            self.collect(&mut state)?;
            self.vm.set_user_memory_region(WINDOW_SLOT, 0, WINDOW, region, 0)?;
            state.shows = Shows::Nothing;
        }
        let log = if self.logs_dirty_pages { KVM_MEM_LOG_DIRTY_PAGES } else { 0 };
        let flags = match to {
            Shows::Nothing => return Ok(()),
            Shows::Ram => log,
            Shows::RamReadOnly => log | KVM_MEM_READONLY,
        };
        self.vm.set_user_memory_region(WINDOW_SLOT, flags, WINDOW, region, size)?;
        state.shows = to;
        Ok(())
    }

    /// With a dirty log: the pages that were written through the window since the last call; `None` if it was not open
    /// since then.
    pub fn take_dirty_log(&self) -> Result<Option<DirtyLog>, kvm::Error> {
        let mut state = self.state.lock();
        if state.shows != Shows::Nothing {
            self.collect(&mut state)?;
        }
        Ok(state.written.take())
    }

    /// Takes over what KVM has logged.
    fn collect(&self, state: &mut State) -> Result<(), kvm::Error> {
        if self.logs_dirty_pages {
            let now = self.vm.dirty_log(WINDOW_SLOT)?;
            match &mut state.written {
                Some(written) => written.add(&now),
                none => *none = Some(now),
            }
        }
        Ok(())
    }
}

/// The pages that were written through it, and not shown yet, are forgotten.
impl Saved for Window {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        const SHOWS: [Shows; 3] = [Shows::Nothing, Shows::Ram, Shows::RamReadOnly];
        let mut shows = self.state.lock().shows as u8;
        visit!(fields; shows);
        let shows = *SHOWS.get(usize::from(shows)).ok_or(Invalid("it can't show that"))?;
        match fields.is_restoring() {
            true => self.change(shows).map_err(|_| Invalid("KVM does not open it")),
            false => Ok(()),
        }
    }
}

impl Device for Window {
    fn name(&self, offset: u64, is_write: bool) -> &'static str {
        self.open_bus.name(WINDOW + offset, is_write)
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        self.open_bus.read(WINDOW + offset, data);
    }

    fn write(&self, offset: u64, data: &[u8], vcpu: &Arc<VcpuControl>) {
        let address = WINDOW + offset;
        if self.state.lock().shows != Shows::RamReadOnly {
            return self.open_bus.write(address, data, vcpu);
        }
        if !self.has_warned.swap(true, Relaxed) {
            let text = format_args!(
                "address {address:#x} is read-only memory (KVM_MEM_READONLY): the write is lost (reported once)"
            );
            self.output.message(text, Some(vcpu));
        }
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;
    use crate::config::Backing;
    use crate::devices::open_bus::Space;
    use crate::devices::tests::{output, vcpu};
    use std::io::Read;

    /// A window of a VM that refuses everything, and what it says.
    fn window() -> (Window, impl Read) {
        let (output, said) = output();
        let memory = Arc::new(GuestMemory::map(Backing::Anonymous, &[(0, 0x8000)]).unwrap());
        let vm = Arc::new(Vm::without_kvm().unwrap().with_memory(memory.clone()));
        let open_bus = Arc::new(OpenBus::new(Space::Addresses, output.clone(), false));
        (Window::new(vm, memory, open_bus, output, false, false), said)
    }

    fn said(mut from: impl Read) -> String {
        let mut bytes = [0; 1024];
        let len = from.read(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    }

    #[test]
    fn while_it_is_closed_nobody_answers() {
        let (window, output) = window();
        assert_eq!(Window::size(&window.memory), 0x8000, "no more than there is RAM");
        window.close().expect("closed already: no call is made");
        let mut data = [0; 4];
        window.read(8, &mut data);
        window.write(8, &[1], &vcpu());
        assert_eq!(data, [0xff; 4]);
        assert!(said(output).contains("no RAM or device at address 0xc0000008"));
    }

    #[test]
    fn what_kvm_refuses_leaves_it_closed() {
        let (window, _) = window();
        assert!(window.open().is_err() && window.open_readonly().is_err());
        assert!(window.state.lock().shows == Shows::Nothing);
        assert!(window.take_dirty_log().unwrap().is_none());
        // What is open stays so where KVM does not let it go.
        window.state.lock().shows = Shows::Ram;
        assert!(window.close().is_err() && window.open_readonly().is_err());
        assert!(window.state.lock().shows == Shows::Ram);
    }

    #[test]
    fn the_first_write_to_read_only_memory_is_reported() {
        let (window, output) = window();
        window.state.lock().shows = Shows::RamReadOnly;
        for offset in [0x10, 0x20] {
            window.write(offset, &[1, 2], &vcpu());
        }
        let said = said(output);
        assert!(said.contains("address 0xc0000010 is read-only memory"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
