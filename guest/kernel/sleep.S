# Sleep: the real-time clock's alarm is set, the FACS tells where to go on, and ACPI's S3 stops the machine. It wakes at that place, in
# real mode, with RAM as it was. The FACS has an extended vector too, by which it wakes in 32-bit protected mode.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/sleep.elf; echo $?
# Look for "asleep, awake because of the alarm", and 1. With --append button: press Ctrl-A P to wake it.
#          With --append x: by the extended vector.

	.include "kernel.inc"
	.set	STATUS, 0x600
	.set	ENABLE, 0x602
	.set	ALARM, 1 << 10		# in status and enable
	.set	BUTTON, 1 << 8
	.set	WOKEN, 1 << 15		# in the status

	kernel
	mov	info, %ebx		# which is it to be? The last letter tells.
	mov	16(%ebx), %esi
1:	lodsb
	test	%al, %al
	jz	2f
	mov	%al, how
	jmp	1b
2:	mov	$0xe0000, %esi		# the root pointer, the XSDT, its first table (FADT): the FACS
	mov	24(%esi), %esi
	mov	36(%esi), %esi
	mov	36(%esi), %esi
	cmpl	$0x53434146, (%esi)	# "FACS"
	check
	cmpb	$'x', how
	je	3f
	movl	$0x8000, 12(%esi)	# where to go on, below 1 MiB
	put_trampoline
	jmp	5f
3:	movl	$by_extended_vector, 24(%esi)
	movl	$0, 28(%esi)
5:
	movl	$0x600d600d, mark

	cmpb	$'n', how		# "button": without an alarm
	je	4f
	alarm_at_next_second
4:	say	"asleep, "
	mov	$STATUS, %edx
	mov	$-1, %eax
	out	%ax, %dx
	sleep_to_ram
	.text
	trampoline awake
by_extended_vector:
	mov	%cr0, %eax		# protected mode, no paging
	and	$0x80000001, %eax
	cmp	$1, %eax
	check
	lgdt	gdtr
	ljmp	$8, $awake
awake:	flat_segments
	mov	$stack, %esp
	cmpl	$0x600d600d, mark
	check
	mov	$STATUS, %edx
	in	%dx, %ax
	mov	$WOKEN | ALARM, %ebx
	cmpb	$'n', how
	jne	6f
	mov	$WOKEN | BUTTON, %ebx
6:	cmp	%bx, %ax
	check
	mov	$ENABLE, %edx		# the rest is as after power-on
	in	%dx, %ax
	cmp	$0, %ax
	check
	test	$ALARM, %ebx
	jz	7f
	say	"awake because of the alarm\n"
	jmp	0f
7:	say	"awake because of the button\n"
0:	kernel_end
	.bss
mark:	.long	0
how:	.byte	0
