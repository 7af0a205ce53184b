# ACPI's events while the machine is awake. First the real-time clock's alarm, then the power button: each sets its bit in the status
# and interrupts on line 9, a level that lasts until the guest clears the bit.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/button.elf, and press Ctrl-A P
# Look for "the alarm, the button", and the machine switches itself off

	.include "kernel.inc"
	.set	LESSON_PAGE, 0
	.include "board.inc"
	.set	STATUS, 0x600
	.set	ENABLE, 0x602
	.set	CONTROL, 0x604
	.set	ALARM, 1 << 10
	.set	BUTTON, 1 << 8

	kernel
	gate	0x29, on_event
	lidt	idtr
	pic	0x20, 0x20, 4
	pic	0xa0, 0x28, 2
	mov	$0xfb, %al		# the second controller alone, and of it line 9
	out	%al, $0x21
	mov	$0xfd, %al
	out	%al, $0xa1
	mov	$STATUS, %edx		# nothing has happened yet
	mov	$-1, %eax
	out	%ax, %dx
	alarm_at_next_second
	mov	$ALARM, %ebx
	call	await
	say	"the alarm, "
	clock	0x0b, 0x02		# no more alarms
	mov	$ENABLE, %edx
	mov	$BUTTON, %eax
	out	%ax, %dx
	mov	$BUTTON, %ebx
	call	await
	say	"the button\n"
	mov	$CONTROL, %edx		# off
	mov	$1 << 13 | 0 << 10, %eax
	out	%ax, %dx
	kernel_end
	.text
# Waits until the event in BX has come.
await:	movl	$0, events
	sti
1:	pause
	mov	events, %eax
	test	%eax, %eax
	jz	1b
	cli
	cmp	%ebx, %eax
	check
	ret
on_event:
	push	%eax
	push	%edx
	mov	$STATUS, %edx
	in	%dx, %ax
	and	$ALARM | BUTTON, %eax
	or	%eax, events
	out	%ax, %dx		# acknowledged
	mov	$0x0c, %al		# the clock's own flag too
	out	%al, $0x70
	in	$0x71, %al
	mov	$0x20, %al
	out	%al, $0xa0
	out	%al, $0x20
	pop	%edx
	pop	%eax
	iret
	board_data
	.bss
events:	.long	0
