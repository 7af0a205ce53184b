//! The lessons' MSR, [`crate::layout::LESSON_MSR`]: it keeps what is written to it. MSRs that KVM does not know exit to the
//! program (`KVM_CAP_X86_USER_SPACE_MSR`); any other one gives the guest a #GP.

use crate::layout::LESSON_MSR;
use crate::snapshot::fields::{Fields, Invalid, Saved, visit};
use crate::sys::run::kvm_run_msr;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// The MSR.
#[derive(Default)]
pub struct LessonMsr(AtomicU64);

impl Saved for LessonMsr {
    fn visit(&self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut value = self.0.load(SeqCst);
        visit!(fields; value);
        self.0.store(value, SeqCst);
        Ok(())
    }
}

impl LessonMsr {
    /// Answers an access in the run page.
    pub fn access(&self, is_write: bool, msr: &mut kvm_run_msr) {
        if msr.index != LESSON_MSR {
            msr.error = 1;
            return;
        }
        msr.error = 0;
        match is_write {
            true => self.0.store(msr.data, SeqCst),
            false => msr.data = self.0.load(SeqCst),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_its_value_and_another_one_is_a_fault() {
        let lesson = LessonMsr::default();
        let access = |is_write, index, data| {
            let mut msr = kvm_run_msr { error: 9, pad: [0; 7], reason: 2, index, data };
            lesson.access(is_write, &mut msr);
            (msr.error, msr.data)
        };
        assert_eq!(access(true, LESSON_MSR, 7), (0, 7));
        assert_eq!(access(false, LESSON_MSR, 0), (0, 7));
        assert_eq!(access(false, 0x1234, 5), (1, 5));
    }
}
