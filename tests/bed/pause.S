# The boot processor ends a line at port 0x10 and is in the pause. Meanwhile the other one makes 20000 exits, and ends the run
# with status 17.

	.include "kernel.inc"
	kernel
	start_others
1:	pause
	cmpl	$0, up
	je	1b
	mov	$'\n', %al
	out	%al, $0x10
	kernel_end
	.text
	trampoline third
third:	mov	$16, %ax
	mov	%ax, %ds
	mov	$20000, %ecx
	movl	$1, up
2:	out	%al, $0xe0
	loop	2b
	mov	$8, %al			# 8 << 1 | 1
	out	%al, $EXIT
	.bss
up:	.long	0
