# Two processors: the second one ends the run with status 17 as soon as it is up.

	.include "kernel.inc"
	.set	APIC, 0xfee00000
	kernel
	put_trampoline
	movl	$0x1ff, APIC + 0xf0
	movl	$0xc4500, APIC + 0x300	# INIT and start-up, to all others
	movl	$0xc4608, APIC + 0x300
1:	pause
	jmp	1b
	kernel_end
	.text
	trampoline third
third:	mov	$8, %al			# 8 << 1 | 1
	out	%al, $EXIT
	hlt
