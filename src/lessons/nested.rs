//! A guest that runs a guest of its own, and the state of that. The guest is written for AMD's SVM.

use crate::config::Mode;
use crate::kvm::vcpu_state::TscStart;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::{KVM_CAP_NESTED_STATE, KVM_CAP_X86_GUEST_MODE};
use crate::sys::cpuid::kvm_cpuid_entry2;
use crate::sys::events::KVM_STATE_NESTED_GUEST_MODE;
use crate::sys::run::KVM_RUN_X86_GUEST_MODE;
use crate::x86;

// APM volume 2, 15.5 (VMRUN), and appendix B: the VMCB.
guest!(
    nested,
    "
    .code64
    .set    nested_vmcb, 0x8000
    .set    nested_host_save, 0x9000
    .macro  nested_segment offset, selector, attributes
    movl    $\\selector | \\attributes << 16, nested_vmcb + 0x400 + \\offset
    movl    $-1, nested_vmcb + 0x400 + \\offset + 4      # limit; the base is 0
    .endm

    mov     $0xc0000080, %ecx       # EFER.SVME: SVM on
    rdmsr
    or      $1 << 12, %eax
    wrmsr
    mov     %eax, nested_vmcb + 0x4d0      # the guest's EFER
    mov     $0xc0010117, %ecx       # VM_HSAVE_PA: where VMRUN saves the host
    mov     $nested_host_save, %eax
    xor     %edx, %edx
    wrmsr

    movl    $1 << 24, nested_vmcb + 0x0c   # intercept HLT
    movl    $1 << 0, nested_vmcb + 0x10    # and VMRUN, as it must be
    movl    $1, nested_vmcb + 0x58         # ASID
    nested_segment 0x00, 0x10, 0xc93       # ES
    nested_segment 0x10, 0x18, 0xa9b       # CS: 64-bit code
    nested_segment 0x20, 0x10, 0xc93       # SS
    nested_segment 0x30, 0x10, 0xc93       # DS
    mov     %cr4, %rax
    mov     %rax, nested_vmcb + 0x548
    mov     %cr3, %rax
    mov     %rax, nested_vmcb + 0x550
    mov     %cr0, %rax
    mov     %rax, nested_vmcb + 0x558
    movl    $0x400, nested_vmcb + 0x560    # DR7
    movl    $0xffff0ff0, nested_vmcb + 0x568
    movl    $2, nested_vmcb + 0x570        # RFLAGS
    movl    $nested_guest - nested_base, nested_vmcb + 0x578
    mov     $nested_vmcb, %eax
    out     %eax, $0x11
    vmrun   %rax
    mov     nested_vmcb + 0x70, %eax       # why it came back
    out     %eax, $0x11
    hlt

nested_guest:
    mov     $0x1234, %eax
    out     %eax, $0x11
    hlt
    "
);


pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_NESTED_STATE)?;
    let cpuid = lab.kvm().supported_cpuid()?;
    if !cpuid.entries().iter().any(|entry| entry.function == 0 && x86::is_amd(entry.ebx)) {
        return Err(Error::Lacks("the guest is written for AMD's SVM, and this processor is another maker's"));
    }
    // APM volume 3, appendix E.4: 0x80000001, ECX bit 2.
    let has_svm = |entry: &kvm_cpuid_entry2| entry.function == 0x8000_0001 && entry.ecx & 1 << 2 != 0;
    if !cpuid.entries().iter().any(has_svm) {
        return Err(Error::Lacks("guests have no SVM: kvm_amd's parameter nested is off"));
    }
    let vm = lab.vm(nested())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Long)?;
    lab.value(&mut vcpu)?;
    // The OUT ends only in the next KVM_RUN (api.rst 5), for which `immediate_exit` is set: the guest does not run on before its state is
    // read.
    vcpu.finish_exit()?;
    say!(lab, "Before VMRUN, KVM_GET_NESTED_STATE: {}", State(&vcpu.nested_state()?));

    let value = lab.value(&mut vcpu)?;
    say!(lab, "VMRUN: the guest's guest writes {value:#x} to a port, which its host does not intercept");
    if lab.kvm().check_extension(KVM_CAP_X86_GUEST_MODE)? != 0 {
        let is_set = vcpu.page().flags() & KVM_RUN_X86_GUEST_MODE != 0;
        say!(lab, "kvm_run.flags has KVM_RUN_X86_GUEST_MODE: {is_set}");
    }
    vcpu.finish_exit()?;
    let state = vcpu.state(&lab.kvm().msr_indices()?, false)?;
    say!(lab, "KVM_GET_NESTED_STATE: {}", State(&state.nested));

    let vm = lab.twin(&vm)?;
    let mut vcpu = lab.bare_vcpu(&vm, 0)?;
    vcpu.set_state(&state, TscStart::Value(state.tsc.value))?;
    say!(lab, "KVM_SET_NESTED_STATE and all other state into a vCPU of another VM: {}", State(&vcpu.nested_state()?));
    let code = lab.value(&mut vcpu)?;
    say!(lab, "There it halts, which its host intercepts: VMRUN is back, with exit code {code:#x}, SVM_EXIT_HLT");
    Ok(())
}

/// A nested state's header: api.rst 4.114. The first word has flags, format, and size; SVM's has the VMCB's address next.
struct State<'a>(&'a [u64]);

impl core::fmt::Display for State<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter) -> core::fmt::Result {
        let &[first, vmcb, ..] = self.0 else { return f.write_str("none") };
        let bytes = 8 * self.0.len();
        if first & KVM_STATE_NESTED_GUEST_MODE == 0 {
            write!(f, "the guest itself runs, {bytes} bytes")
        } else {
            write!(f, "its guest runs, VMCB at {vmcb:#x}, {bytes} bytes")
        }
    }
}
