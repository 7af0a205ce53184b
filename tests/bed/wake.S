# Halts until the timer has woken it three times, and then dies of a triple fault. A step begins with each HLT: the emulator
# takes one that follows STI for a part of it.

	.include "kernel.inc"
	.set	LESSON_PAGE, 0
	.include "board.inc"
	kernel
	gate	0x20, tick
	lidt	idtr
	pic	0x20, 0x20, 4
	mov	$0xfe, %al
	out	%al, $0x21
	timer	1193
	sti
1:	nop
	hlt
	cmpl	$3, ticks
	jb	1b
	cli
	lidt	none
	ud2
tick:	push	%eax
	incl	ticks
	mov	$0x20, %al
	out	%al, $0x20
	pop	%eax
	iret
	kernel_end
	board_data
none:	.skip	6
	.bss
ticks:	.long	0
