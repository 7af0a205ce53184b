# The boot processor sends an NMI to the others, which nobody has started, and halts for ever.

	.include "kernel.inc"
	kernel
	movl	$0x1ff, APIC + 0xf0
	movl	$0xc4400, APIC + 0x300	# NMI, to all others
	cli
1:	hlt
	jmp	1b
	kernel_end
