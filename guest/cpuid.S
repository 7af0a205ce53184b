# Asks CPUID who made the processor, and reads MSRs: one that KVM has, and one that it doesn't know.
#
# Shows    that CPUID says what KVM_SET_CPUID2 was given, without an exit to user space; that `rdmsr` and `wrmsr`
#          of an MSR that KVM doesn't know exit with KVM_EXIT_X86_RDMSR and _WRMSR, where user space asked for
#          it (KVM_CAP_X86_USER_SPACE_MSR, Linux 5.10), and otherwise raise #GP
# Run      RunBiscuitOS.sh --pause 0 --mode long --trace=exits /usr/bin/firmware/cpuid.bin
# Look for the vendor; "KVMKVMKVM", by which a guest knows KVM; EFER; and "MSR 4b4f4232 keeps 12345678", or "is
#          absent" on an old kernel; then another, which the program refuses: "MSR 4b4f4233 is a #GP"

	.include "lesson.inc"
	.set	MSR, 0x4b4f4232		# LESSON_MSR in src/layout.rs

	.code64
	.text
	.globl	_start
_start:	mov	$gp, %eax		# vector 13, #GP
	mov	%ax, gate
	lidt	idt_pointer
	xor	%eax, %eax
	cpuid
	mov	%ebx, id
	mov	%edx, id + 4
	mov	%ecx, id + 8
	mov	$12, %ecx
	call	print_id
	say	", hypervisor "
	mov	$0x40000000, %eax	# the leaves of hypervisors begin here
	cpuid
	mov	%ebx, id
	mov	%ecx, id + 4
	mov	%edx, id + 8
	mov	$9, %ecx		# the last three letters are zeros
	call	print_id
	say	", EFER "
	mov	$0xc0000080, %ecx
	rdmsr
	say_eax
	say	"\nMSR 4b4f4232 "
	mov	$MSR, %ecx
	mov	$0x12345678, %eax
	xor	%edx, %edx
	xor	%ebp, %ebp
	wrmsr
	test	%ebp, %ebp
	jnz	1f
	xor	%eax, %eax
	rdmsr
	mov	%eax, %ebx
	say	"keeps "
	mov	%ebx, %eax
	say_eax
	jmp	2f
1:	say	"is absent"
2:	say	"\nMSR 4b4f4233 "
	mov	$MSR + 1, %ecx
	xor	%ebp, %ebp
	rdmsr
	test	%ebp, %ebp
	jz	1f
	say	"is a #GP\n"
	hlt
1:	say	"answers?\n"
	hlt

gp:	inc	%ebp			# the handler: skip the two bytes of rdmsr or wrmsr
	addq	$2, 8(%rsp)
	add	$8, %rsp		# the error code
	iretq

print_id:
	mov	$id, %esi
	jmp	print
	printing

	.data
id:	.skip	12
	.balign	8
idt_pointer:
	.word	14 * 16 - 1
	.quad	gate - 13 * 16
gate:	.word	0, 0x18, 0x8e00, 0	# offset, selector CODE_64, interrupt gate
	.quad	0
