# Two processors: the second one ends the run with status 17 as soon as it is up.

	.include "kernel.inc"
	kernel
	start_others
1:	pause
	jmp	1b
	kernel_end
	.text
	trampoline third
third:	mov	$8, %al			# 8 << 1 | 1
	out	%al, $EXIT
	hlt
