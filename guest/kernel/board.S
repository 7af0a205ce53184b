# A tour of the board, each device as the kernel with its name uses it: asks fw_cfg for its processors and starts them, times itself by the
# PM timer, reads the HPET, sleeps until the real-time clock wakes it, and resets itself by INIT.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/board.elf --cpus 2; echo $?
# Look for "2 processors, 10 ms, awake, reset", and 1

	.include "kernel.inc"
	.set	FW_CFG, 0x510
	.set	PM, 0x600		# the status, and 8 bytes on the timer
	.set	HPET, 0xfed00000
	.set	RESUME, 0x467		# where firmware goes on after INIT: offset and segment

	kernel
	mov	$FW_CFG, %edx		# item 5: how many processors to wait for
	mov	$5, %eax
	out	%ax, %dx
	inc	%edx
	in	%dx, %al
	movzbl	%al, %ebx
	start_others
	mov	%ebx, %ecx
	dec	%ecx			# this one runs
1:	pause
	cmp	ups, %ecx
	jne	1b
	mov	%ebx, %eax
	add	$'0', %al
	mov	$SERIAL, %edx
	out	%al, %dx
	say	" processors, "

	movl	$1, HPET + 0x10		# it counts
	mov	HPET + 0xf0, %ebx
	mov	$PM + 8, %edx
	in	%dx, %eax
	mov	%eax, %ecx
2:	in	%dx, %eax
	sub	%ecx, %eax
	cmp	$35796, %eax		# 10 ms
	jb	2b
	mov	HPET + 0xf0, %eax
	sub	%ebx, %eax
	cmp	$1000000, %eax		# which are a million counts of the HPET
	jb	bad
	say	"10 ms, "

	movl	$awake, where
	mov	$0xe0000, %esi		# root pointer, XSDT, FADT, FACS
	mov	24(%esi), %esi
	mov	36(%esi), %esi
	mov	36(%esi), %esi
	movl	$0x8000, 12(%esi)	# the waking vector
	alarm_at_next_second
	sleep_to_ram

awake:	mov	$PM, %edx
	in	%dx, %ax
	cmp	$1 << 15 | 1 << 10, %ax	# it has slept, and the alarm has woken it
	check
	say	"awake, "
	movl	$reset, where
	movl	$0x08000000, RESUME
	clock	0x0f, 0x0a		# the shutdown code: jump
	mov	$0xfe, %al
	out	%al, $0x64
4:	hlt
	jmp	4b

reset:	say	"reset\n"
	kernel_end
	.text
# All ways lead through here: other processors', after sleep, and after INIT.
	trampoline again
again:	flat_segments
	mov	where, %eax
	test	%eax, %eax
	jz	5f
	mov	$stack, %esp
	jmp	*%eax
5:	lock incl ups
6:	cli
	hlt
	jmp	6b
	.bss
ups:	.long	0
where:	.long	0
