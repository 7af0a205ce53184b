# Two processors, each of which counts in a word of its own: at 0x500000 and 0x500040.

	.include "kernel.inc"
	kernel
	start_others
1:	incl	0x500000
	jmp	1b
	kernel_end
	.text
	trampoline third
third:	mov	$16, %ax
	mov	%ax, %ds
2:	incl	0x500040
	jmp	2b
