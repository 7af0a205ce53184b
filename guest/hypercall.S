# Calls the hypervisor: once KVM answers, once the program.
#
# Shows    `vmmcall` (AMD) or `vmcall` (Intel): a number in RAX, arguments in RBX, RCX, RDX, the answer in
#          RAX. KVM answers most by itself; KVM_HC_MAP_GPA_RANGE, 12, exits with KVM_EXIT_HYPERCALL where user
#          space asked for it (KVM_CAP_EXIT_HYPERCALL, Linux 5.14)
# Run      RunBiscuitOS.sh --pause 0 --mode long --trace=exits /usr/bin/firmware/hypercall.bin
# Look for "99: fffffc18": -1000, KVM's ENOSYS, without an exit; and "12: 00000000", the program's answer, with
#          its arguments in the trace; fffffc18 too on a kernel that is too old for it

	.include "lesson.inc"
	.code64
	.text
	.globl	_start
_start:	xor	%eax, %eax
	cpuid
	mov	%ebx, %ebp		# "Genu" for Intel
	say	"99: "
	mov	$99, %eax
	call	hypercall
	say_eax
	say	", 12: "
	mov	$12, %eax
	mov	$0x2000, %ebx		# from this address,
	mov	$1, %ecx		# a page
	mov	$0, %edx		# becomes as it is: shared
	call	hypercall
	say_eax
	say	"\n"
	hlt

hypercall:
	cmp	$0x756e6547, %ebp
	je	1f
	vmmcall
	ret
1:	vmcall
	ret
	printing
