//! A log that adds up what is written to it. A write can exit, or the kernel can keep it in the ring of coalesced writes,
//! which the program reads at the next exit of any vCPU.

use crate::bus::Device;
use crate::devices::read_register;
use crate::host::mutex::Mutex;
use crate::kvm::run_page::RunPage;
use crate::kvm::{self, Vm};
use crate::layout::{LESSON_LOG, LESSON_LOG_SIZE, LOG_PORT};
use crate::lifecycle::VcpuControl;
use crate::show::number;
use crate::snapshot::fields::{Fields, Invalid, Saved, visit};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// The register that a write is added to; a read gives the sum.
pub const SUM: u64 = 0;
/// How many writes there were.
pub const LOGGED: u64 = 8;
/// From here on each write is added to the sum.
pub const LOG: u64 = 16;

/// The log.
pub struct Log {
    /// `None` in tests, where the kernel keeps no writes.
    vm: Option<Arc<Vm>>,
    state: Mutex<State>,
    /// Whether the ring may hold writes.
    is_coalescing: AtomicBool,
}

#[derive(Default)]
struct State {
    logged: u64,
    sum: u64,
    /// Writes that came through the ring.
    coalesced: u64,
    /// Whether the ring has the log's addresses, and its port.
    coalesces: [bool; 2],
}

impl Log {
    pub fn new(vm: Arc<Vm>) -> Log {
        Log { vm: Some(vm), ..Log::without_vm() }
    }

    /// A log whose writes all exit.
    pub fn without_vm() -> Log {
        let (state, is_coalescing) = (Mutex::new(State::default()), AtomicBool::new(false));
        Log { vm: None, state, is_coalescing }
    }

    /// How many writes came through the ring.
    pub fn coalesced(&self) -> u64 {
        self.state.lock().coalesced
    }

    /// [`crate::layout::RING_COALESCE`] and [`crate::layout::RING_COALESCE_PORT`]: from now on the kernel keeps writes in the
    /// ring.
    pub fn coalesce(&self, is_port: bool) -> Result<(), kvm::Error> {
        let Some(vm) = &self.vm else { return Ok(()) };
        // Held over the call, in which KVM waits for a moment (SRCU): KVM would take the same addresses twice, and again and
        // again, until its bus is full.
        let coalesces = &mut self.state.lock().coalesces[usize::from(is_port)];
        if *coalesces {
            return Ok(());
        }
        self.is_coalescing.store(true, SeqCst);
        match is_port {
            true => vm.coalesce(LOG_PORT.into(), 1, true),
            false => vm.coalesce(LESSON_LOG, LESSON_LOG_SIZE as u32, false),
        }?;
        *coalesces = true;
        Ok(())
    }

    /// Takes what is in the ring. Called at each exit, before it is answered: coalesced writes are older than the exit.
    #[inline]
    pub fn collect(&self, page: &mut RunPage) {
        if self.is_coalescing.load(SeqCst) {
            self.collect_ring(page);
        }
    }

    fn collect_ring(&self, page: &mut RunPage) {
        // The ring is one for all vCPUs: the lock lets one thread at it at a time.
        let mut state = self.state.lock();
        while let Some(value) = page.coalesced() {
            state.coalesced += 1;
            state.add(value);
        }
    }
}

impl State {
    fn add(&mut self, value: u64) {
        self.logged += 1;
        self.sum = self.sum.wrapping_add(value);
    }
}

/// What is in the ring is collected before.
impl Saved for Log {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let mut coalesces = state.coalesces;
        let [addresses, port] = &mut coalesces;
        visit!(fields; state.logged, state.sum, state.coalesced, *addresses, *port);
        drop(guard);
        if fields.is_restoring() {
            for is_port in [false, true] {
                if coalesces[usize::from(is_port)] {
                    self.coalesce(is_port)
                        .map_err(|_| Invalid("KVM does not take the log's writes"))?;
                }
            }
        }
        Ok(())
    }
}

impl Device for Log {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "log"
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        let state = self.state.lock();
        match offset {
            SUM => read_register(state.sum, 0, data),
            LOGGED => read_register(state.logged, 0, data),
            _ => data.fill(0xff),
        }
    }

    fn write(&self, offset: u64, data: &[u8], _: &Arc<VcpuControl>) {
        if offset == SUM || offset >= LOG {
            self.state.lock().add(number(data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::tests::vcpu;

    #[test]
    fn each_write_is_counted_and_added() {
        let log = Log::without_vm();
        log.write(SUM, &[5], &vcpu());
        log.write(LOG + 8, &[0, 1], &vcpu());
        let read = |register| {
            let mut data = [0; 4];
            log.read(register, &mut data);
            u32::from_le_bytes(data)
        };
        assert_eq!([SUM, LOGGED, LOG].map(read), [0x105, 2, u32::MAX]);
    }
}
