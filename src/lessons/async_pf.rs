//! Asynchronous page faults: the guest touches a page for which the host has to wait, as if it were in swap. KVM tells the guest, which
//! can do something else, and interrupts it when the page is there. Documentation/virt/kvm/x86/msr.rst has the MSRs.

use crate::config::Mode;
use crate::layout::PAGE_SIZE;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, memory, say};
use crate::sys::cap::{KVM_CAP_ASYNC_PF, KVM_CAP_ASYNC_PF_INT};

guest!(
    async_pf,
    "
    .code64
    .set    async_pf_idt, 0x8000
    .set    async_pf_reason, 0x9000 # KVM's words: that a page is not there, and the number of one that is there now
    .set    async_pf_ready, 0x9004
    .macro  async_pf_gate vector, handler
    mov     $\\handler - async_pf_base, %eax
    mov     %ax, async_pf_idt + 16 * \\vector
    movl    $0x8e000018, async_pf_idt + 16 * \\vector + 2
    .endm

    async_pf_gate 14, async_pf_fault
    async_pf_gate 0x50, async_pf_interrupt
    lidt    async_pf_table - async_pf_base
    mov     $0x4b564d06, %ecx       # MSR_KVM_ASYNC_PF_INT: a page is there: vector 0x50
    mov     $0x50, %eax
    xor     %edx, %edx
    wrmsr
    mov     $0x4b564d02, %ecx       # MSR_KVM_ASYNC_PF_EN: on, for ring 0 too, by that interrupt
    mov     $async_pf_reason | 0xb, %eax
    wrmsr
    sti
    nop                             # the interrupt that all pages are there comes behind this
    out     %al, $0x11
    mov     0x180000, %eax          # the page is not there
    out     %eax, $0x11
    hlt

async_pf_fault:                     # a #PF of KVM's: CR2 is no address but a number
    mov     async_pf_reason, %eax
    out     %eax, $0x11
    mov     %cr2, %rax
    out     %eax, $0x11
    movl    $0, async_pf_reason
    xor     %ebx, %ebx              # the interrupt's handler sets it
    sti
async_pf_wait:                      # here another thread could run
    pause
    test    %ebx, %ebx
    jz      async_pf_wait
    add     $8, %rsp                # the error code
    iretq

async_pf_interrupt:
    mov     async_pf_ready, %ebx
    movl    $0, async_pf_ready
    mov     $0x4b564d07, %ecx       # MSR_KVM_ASYNC_PF_ACK: the next one may come
    mov     $1, %eax
    xor     %edx, %edx
    wrmsr
    mov     $0xfee000b0, %ecx       # end of interrupt
    movl    $0, (%rcx)
    mov     %ebx, %eax
    out     %eax, $0x11
    iretq

async_pf_table:
    .word   16 * 256 - 1
    .quad   async_pf_idt
    "
);

/// What KVM says when the guest switches it on: that all pages are there, of which it may have heard before.
const ALL: u32 = !0;

/// The page that is missing: nothing has touched it.
const MISSING: u64 = 0x18_0000;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_ASYNC_PF)?;
    lab.require(KVM_CAP_ASYNC_PF_INT)?;
    let vm = lab.vm(async_pf())?;
    vm.create_irqchip()?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Long)?;
    lab.switch_lapic_on(&vcpu)?;
    match lab.value(&mut vcpu)? {
        ALL => say!(lab, "The guest has switched it on, and gets an interrupt: number {ALL:#x}, all pages, is there"),
        _ => return Err(Error::Lacks("KVM sends no interrupt when the guest switches asynchronous page faults on")),
    }
    lab.value(&mut vcpu)?;
    let page = memory(&vm).missing_pages(MISSING, PAGE_SIZE)??;
    say!(lab, "A page is missing: whoever touches it waits for userfaultfd(2)");
    let reason = lab.value(&mut vcpu)?;
    let number = lab.value(&mut vcpu)?;
    say!(lab, "The guest touches it, and gets a #PF: reason {reason}, KVM_PV_REASON_PAGE_NOT_PRESENT; CR2 = {number:#x}");
    page.copy([0x77u8; PAGE_SIZE as usize].as_ptr(), PAGE_SIZE as usize);
    say!(lab, "The host makes the page");
    say!(lab, "The guest gets an interrupt: number {:#x} is there", lab.value(&mut vcpu)?);
    say!(lab, "It touches the page again, and reads {:#x}", lab.value(&mut vcpu)?);
    Ok(())
}
