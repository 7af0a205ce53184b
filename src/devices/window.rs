//! The window: the first bytes of RAM a second time, as slot 1, which the guest opens and closes while it runs.

use crate::bus::Device;
use crate::devices::nobody::Nobody;
use crate::host::mutex::Mutex;
use crate::kvm::{self, Vm};
use crate::layout::{WINDOW, WINDOW_SIZE, WINDOW_SLOT};
use crate::lifecycle::VcpuControl;
use crate::memory::GuestMemory;
use crate::output::Output;
use crate::sys::memory::KVM_MEM_READONLY;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Slot 1. An access comes here only where the slot does not answer it: while the window is closed, and for writes while
/// it is read-only.
pub struct Window {
    vm: Arc<Vm>,
    memory: Arc<GuestMemory>,
    nobody: Arc<Nobody>,
    output: Arc<Output>,
    /// The user has been warned of a write to read-only memory, or shall not be.
    has_warned: AtomicBool,
    state: Mutex<State>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Closed,
    Open,
    ReadOnly,
}

impl Window {
    /// Closed.
    pub fn new(
        vm: Arc<Vm>,
        memory: Arc<GuestMemory>,
        nobody: Arc<Nobody>,
        output: Arc<Output>,
        quiet: bool,
    ) -> Window {
        let (has_warned, state) = (AtomicBool::new(quiet), Mutex::new(State::Closed));
        Window { vm, memory, nobody, output, has_warned, state }
    }

    /// How much of RAM it shows.
    pub fn size(memory: &GuestMemory) -> u64 {
        WINDOW_SIZE.min(memory.regions()[0].size)
    }

    pub fn open(&self) -> Result<(), kvm::Error> {
        self.change(State::Open)
    }

    pub fn open_readonly(&self) -> Result<(), kvm::Error> {
        self.change(State::ReadOnly)
    }

    pub fn close(&self) -> Result<(), kvm::Error> {
        self.change(State::Closed)
    }

    fn change(&self, to: State) -> Result<(), kvm::Error> {
        // Held over both calls: two vCPUs must not change the slot at once. KVM waits in them for those who use its slots
        // (SRCU). That takes a moment: a vCPU whose guest runs does not use them.
        let mut state = self.state.lock();
        let region = &self.memory.regions()[0];
        let size = Window::size(&self.memory);
        // KVM does not let a slot become read-only: it is deleted and made again.
        if *state != State::Closed {
            self.vm.set_user_memory_region(WINDOW_SLOT, 0, WINDOW, region, 0)?;
        }
        *state = to;
        match to {
            State::Closed => Ok(()),
            State::Open => self.vm.set_user_memory_region(WINDOW_SLOT, 0, WINDOW, region, size),
            State::ReadOnly => {
                self.vm.set_user_memory_region(WINDOW_SLOT, KVM_MEM_READONLY, WINDOW, region, size)
            }
        }
    }
}

impl Device for Window {
    fn name(&self, offset: u64, is_write: bool) -> &'static str {
        self.nobody.name(WINDOW + offset, is_write)
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        self.nobody.read(WINDOW + offset, data);
    }

    fn write(&self, offset: u64, data: &[u8], vcpu: &Arc<VcpuControl>) {
        let address = WINDOW + offset;
        if *self.state.lock() != State::ReadOnly {
            return self.nobody.write(address, data, vcpu);
        }
        if !self.has_warned.swap(true, Relaxed) {
            let text = format_args!(
                "address {address:#x} is read-only memory (KVM_MEM_READONLY): the write is lost; said once"
            );
            self.output.message(text, Some(vcpu));
        }
    }
}
