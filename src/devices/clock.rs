//! The time: a read gives the microseconds of the host's monotonic clock, as far as its bytes go.

use crate::bus::Device;
use crate::devices::read_register;
use crate::host::clock;
use crate::lifecycle::VcpuControl;
use alloc::sync::Arc;

/// Eight bytes that can only be read.
pub struct Clock;

impl Clock {
    /// Answers a read.
    pub fn read_time(offset: u64, data: &mut [u8]) {
        read_register(clock::machine() / 1000, offset, data);
    }
}

impl Device for Clock {
    fn name(&self, _: u64, _: bool) -> &'static str {
        "time"
    }

    fn read(&self, offset: u64, data: &mut [u8]) {
        Clock::read_time(offset, data);
    }

    fn write(&self, _: u64, _: &[u8], _: &Arc<VcpuControl>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on() {
        let read = || {
            let mut data = [0; 8];
            Clock.read(0, &mut data);
            u64::from_le_bytes(data)
        };
        let before = read();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!((2000..60_000_000).contains(&(read() - before)));
    }
}
