//! `KVM_GET_XSAVE` and `KVM_GET_XCRS`: x87, SSE and what came later, as XSAVE stores it, and which of it the guest has switched on.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::{KVM_CAP_XCRS, KVM_CAP_XSAVE, KVM_CAP_XSAVE2};

guest!(
    extended_state,
    "
    .code64
    movd    %xmm1, %eax
    out     %eax, $0x11
    mov     %cr4, %rax
    or      $1 << 18, %eax          # CR4.OSXSAVE
    mov     %rax, %cr4
    xor     %ecx, %ecx
    xgetbv                          # XCR0
    out     %eax, $0x11
    "
);

/// In words of four bytes: where FXSAVE's part has XMM1, and where XSAVE's header begins, with a bit for each part that is not as after a
/// reset. SDM volume 1, 13.4.
const XMM1: usize = (160 + 16) / 4;
const XSTATE_BV: usize = 512 / 4;
const SSE: u32 = 1 << 1;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_XSAVE)?;
    lab.require(KVM_CAP_XCRS)?;
    let vm = lab.vm(extended_state())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Long)?;
    let mut xsave = vcpu.xsave()?;
    xsave.region[XMM1] = 0x1234_5678;
    xsave.region[XSTATE_BV] |= SSE;
    vcpu.set_xsave(&xsave)?;
    say!(lab, "KVM_SET_XSAVE: XMM1 = 0x12345678; the guest has {:#x}", lab.value(&mut vcpu)?);
    if vm.check_extension(KVM_CAP_XSAVE2)? != 0 {
        let bytes = 8 * vcpu.xsave_area()?.len();
        say!(lab, "KVM_GET_XSAVE2: all that a guest of this process can have, {bytes} bytes");
    }

    let mut xcrs = vcpu.xcrs()?;
    say!(lab, "KVM_GET_XCRS: XCR0 = {:#x}; bit 0 is x87", xcrs.xcrs[0].value);
    xcrs.xcrs[0].value = 3;
    vcpu.set_xcrs(&xcrs)?;
    say!(lab, "KVM_SET_XCRS: x87 and SSE; the guest reads XCR0 = {:#x}", lab.value(&mut vcpu)?);
    Ok(())
}
