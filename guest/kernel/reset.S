# Resets. The keyboard controller resets the processor alone: with a shutdown code, firmware goes on where the guest has said, and all
# else is as it was. The chipset's register resets everything; then RAM alone is as it was.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/reset.elf --reset=restart; echo $?
# Look for "the processor, the machine, RAM is as it was", and 1. With --reset=cold: "RAM is empty".

	.include "kernel.inc"
	.set	RESUME, 0x467		# offset and segment
	.set	MARK, 0x300000		# in no part of the kernel's file
	.set	SCRATCH, SERIAL + 7	# a register of the serial port that keeps what is written

	kernel
	cmpl	$0x600d600d, MARK
	je	4f
	mov	$0x47, %al		# in the clock's RAM, which a battery keeps: this was here before
	out	%al, $0x70
	in	$0x71, %al
	cmp	$0x5a, %al
	je	5f
	mov	$0x5a, %al
	out	%al, $0x71
	movl	$0x600d600d, MARK
	mov	$SCRATCH, %edx
	mov	$0x77, %al
	out	%al, %dx
	put_trampoline
	movl	$0x08000000, RESUME	# 0800:0000
	clock	0x0f, 0x0a		# the shutdown code: jump, and no more
	mov	$0xfe, %al
	out	%al, $0x64
3:	hlt
	jmp	3b
4:	say	"RAM is as it was\n"
	jmp	6f
5:	say	"RAM is empty\n"
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
	say	"the machine, "
	mov	$0xcf9, %edx
	mov	$6, %al
	out	%al, %dx
7:	hlt
	jmp	7b
