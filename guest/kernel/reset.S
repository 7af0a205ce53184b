# Resets. The keyboard controller resets the processor alone: with a shutdown code, firmware goes on where the guest has said, and all
# else is as it was. The chipset's register resets everything; then RAM alone is as it was.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/reset.elf --reset=restart; echo $?
# Look for "the processor, the machine, RAM is as it was", and 1. With --reset=cold: "RAM is empty". With --append e, the processor is
#          reset through port 0x92 in an interrupt's handler, and firmware ends that interrupt.

	.include "kernel.inc"
	.set	LESSON_PAGE, 0
	.include "board.inc"
	.set	RESUME, 0x467		# offset and segment
	.set	MARK, 0x300000		# in no part of the kernel's file
	.set	SCRATCH, SERIAL + 7	# a register of the serial port that keeps what is written

	kernel
	cmpl	$0x600d600d, MARK
	je	kept
	mov	$0x47, %al		# in the clock's RAM, which a battery keeps: this was here before
	out	%al, $0x70
	in	$0x71, %al
	cmp	$0x5a, %al
	je	empty
	mov	$0x5a, %al
	out	%al, $0x71
	movl	$0x600d600d, MARK
	mov	$SCRATCH, %edx
	mov	$0x77, %al
	out	%al, %dx
	put_trampoline
	movl	$0x08000000, RESUME	# 0800:0000
	mov	info, %ebx		# the last letter of the command line
	mov	16(%ebx), %esi
1:	mov	%al, %ah
	lodsb
	test	%al, %al
	jnz	1b
	cmp	$'e', %ah
	je	2f
	clock	0x0f, 0x0a		# the shutdown code: jump, and no more
	mov	$0xfe, %al
	out	%al, $0x64
3:	hlt
	jmp	3b
2:	clock	0x0f, 0x05		# the shutdown code: end the interrupt, and jump
	gate	0x25, on_5
	lidt	idtr
	pic	0x20, 0x20, 4
	mov	$0xdf, %al
	out	%al, $0x21
	mov	$0x2005, %edx		# the test device: line 5 up
	mov	$1, %al
	out	%al, %dx
	sti
	nop
	cli
	jmp	bad
on_5:	mov	$0x0b, %al		# in service
	out	%al, $0x20
	in	$0x20, %al
	cmp	$0x20, %al
	check
	mov	$1, %al
	out	%al, $0x92
4:	hlt
	jmp	4b
kept:	say	"RAM is as it was\n"
	jmp	6f
empty:	say	"RAM is empty\n"
6:	mov	$SCRATCH, %edx		# a device as after power-on
	in	%dx, %al
	cmp	$0, %al
	check
	kernel_end
	.text
	trampoline again
again:	flat_segments
	mov	$stack, %esp
	mov	$SCRATCH, %edx		# a device that has not noticed
	in	%dx, %al
	cmp	$0x77, %al
	check
	mov	%cr0, %eax		# INIT has left caches as they were, and nothing else
	and	$~0x60000000, %eax
	cmp	$0x11, %eax
	check
	say	"the processor, "
	mov	$0x0f, %al		# firmware has cleared its code
	out	%al, $0x70
	in	$0x71, %al
	cmp	$0, %al
	check
	mov	$0x0b, %al		# no interrupt is in service, or firmware has ended it
	out	%al, $0x20
	in	$0x20, %al
	cmp	$0, %al
	check
	say	"the machine, "
	mov	$0xcf9, %edx
	mov	$6, %al
	out	%al, %dx
7:	hlt
	jmp	7b
	board_data
