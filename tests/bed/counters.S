# Two processors, each of which counts in a word of its own: at 0x500000 and 0x500040.

	.include "kernel.inc"
	kernel
	start_others
	.globl	one_counts, two_counts
one_counts:
	incl	0x500000
	jmp	one_counts
	kernel_end
	.text
	trampoline third
third:	mov	$16, %ax
	mov	%ax, %ds
two_counts:
	incl	0x500040
	jmp	two_counts
