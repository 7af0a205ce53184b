# A machine that is saved: its guest sets something in each device and in many registers, rings the doorbell, and finds all as it was.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/save.elf --save-ram /tmp/snapshot; echo $?
#          RunBiscuitOS.sh --restore /tmp/snapshot; echo $?
# Look for "registers, controllers, timers, devices: as they were", and 1, both times

	.include "kernel.inc"
	.set	LESSON_PAGE, 0xe0000000
	.set	BELL, 0xec
	.set	RING_OPEN, 1
	.set	RING_SAVE, 13
	.set	WINDOW, 0xc0000000
	.include "board.inc"
	.set	HPET, 0xfed00000
	.set	TEST_MEMORY, 0xff000000
	.set	PM_ENABLE, 0x602
	.set	PM_TIMER, 0x608
	.set	FW_CFG, 0x510
	.set	TICK, 0x40		# vectors
	.set	LEVEL, 0x41

	.macro	ring command
	mov	$\command, %al
	out	%al, $BELL
	.endm
# A byte or a word of a port.
	.macro	put port value
	mov	$\port, %edx
	mov	$\value, %al
	out	%al, %dx
	.endm
	.macro	expect port value
	mov	$\port, %edx
	in	%dx, %al
	cmp	$\value, %al
	check
	.endm
# An MSR, whose upper half is 0.
	.macro	msr number value
	mov	$\number, %ecx
	mov	$\value, %eax
	xor	%edx, %edx
	wrmsr
	.endm
	.macro	expect_msr number value
	mov	$\number, %ecx
	rdmsr
	cmp	$\value, %eax
	check
	.endm

	kernel
	gate	TICK, on_tick
	gate	LEVEL, on_level
	interrupts
	mov	%cr4, %eax
	or	$1 << 9, %eax		# SSE registers may be used
	mov	%eax, %cr4

	# Controllers and timers: ten ticks of the interval timer come by the I/O APIC, and one of a level-triggered line waits.
	route	2, TICK
	route	21, LEVEL, 1 << 15	# level-triggered
	put	0x43, 0x34
	put	0x40, 0x9c		# 11932 counts: 100 times a second
	put	0x40, 0x2e
	wait_for ticks, 10
	cli
	put	0x2015, 1		# line 21 rises
	movl	$0x20, APIC + 0x80	# the task priority
	movl	$1, HPET + 0x10
	movl	HPET + 0xf0, %eax
	mov	%eax, hpet
	mov	$PM_TIMER, %edx
	in	%dx, %eax
	mov	%eax, pm
	rdtsc
	mov	%eax, tsc
	mov	%edx, tsc + 4

	# Devices.
	put	0x3ff, 0xa5		# the serial port's scratch register
	clock	0x50, 0x5a		# the clock's RAM
	mov	$0x50, %al
	out	%al, $0x70		# the index stays
	mov	$FW_CFG, %edx
	xor	%eax, %eax
	out	%ax, %dx		# the signature, "QEMU"
	expect	FW_CFG + 1, 'Q'
	expect	FW_CFG + 1, 'E'
	mov	$PM_ENABLE, %edx
	mov	$0x0520, %eax
	out	%ax, %dx
	mov	$0xcf8, %edx
	mov	$0x80000810, %eax	# the test device's first BAR moves
	out	%eax, %dx
	mov	$0xcfc, %edx
	mov	$0xf0100000, %eax
	out	%eax, %dx
	movb	$0, 0xf0100000		# its first test
	movb	$0xfa, 0xf0100800
	movl	$0x12345678, TEST_MEMORY + 0x100
	mov	$0x90abcdef, %eax
	out	%eax, $0xe0		# the scratch register
	ring	RING_EVENT		# the kernel counts bytes
	out	%al, $0xee
	out	%al, $0xee
	ring	RING_COALESCE		# the kernel gathers writes
	movl	$1000, LOG
	movl	$337, LOG + 4
	ring	RING_OPEN		# RAM a second time
	movl	$0x600d, WINDOW + 0x900
	put	0x92, 2

	# Registers.
	movups	pattern, %xmm5
	fldpi
	msr	0x175, 0x1234560	# IA32_SYSENTER_ESP
	msr	0xc0000102, 0x6543210	# KERNEL_GS_BASE, FS_BASE beside it
	mov	$0x1001, %eax
	mov	%eax, %dr0
	mov	$0x1003, %eax
	mov	%eax, %dr3
	mov	$0x7777, %eax
	mov	%eax, %cr2
	mov	$0x01010101, %ebx
	mov	$0x06060606, %esi
	mov	$0x07070707, %edi
	mov	$0x05050505, %ebp
	std

	ring	RING_SAVE

	pushf
	cld
	cmp	$0x01010101, %ebx
	check
	cmp	$0x06060606, %esi
	check
	cmp	$0x07070707, %edi
	check
	cmp	$0x05050505, %ebp
	check
	pop	%eax
	and	$0x600, %eax		# direction; interrupts are off
	cmp	$0x400, %eax
	check
	movups	%xmm5, found
	mov	$pattern, %esi
	mov	$found, %edi
	mov	$4, %ecx
	repe cmpsl
	check
	fldpi
	fcompp
	fnstsw	%ax
	and	$0x4500, %ax
	cmp	$0x4000, %ax		# equal
	check
	expect_msr 0x175, 0x1234560
	expect_msr 0xc0000102, 0x6543210
	mov	%dr0, %eax
	cmp	$0x1001, %eax
	check
	mov	%dr3, %eax
	cmp	$0x1003, %eax
	check
	mov	%cr2, %eax
	cmp	$0x7777, %eax
	check
	say	"registers, "

	cmpl	$0x20, APIC + 0x80
	check
	movl	$0x10 + 2 * 2, IOAPIC
	mov	IOAPIC + 16, %eax
	cmp	$TICK, %al
	check
	expect	0x21, 0xff		# the 8259s' masks
	movl	$0, APIC + 0x80
	mov	ticks, %eax
	add	$10, %eax
	mov	%eax, wanted
	sti				# the level comes first: it has waited
	nop
	nop
	cli
	cmpl	$1, levels
	check
	say	"controllers, "

	# Time has gone on, and has not jumped by more than some minutes.
	sti
1:	pause
	mov	wanted, %eax
	cmp	%eax, ticks
	jb	1b
	cli
	mov	HPET + 0xf0, %eax
	sub	hpet, %eax		# 100 MHz
	cmp	$4000000000, %eax
	ja	bad
	mov	$PM_TIMER, %edx
	in	%dx, %eax
	sub	pm, %eax
	cmp	$1000000000, %eax
	ja	bad
	rdtsc
	sub	tsc, %eax
	sbb	tsc + 4, %edx
	js	bad
	cmp	$300, %edx		# times 2^32
	ja	bad
	say	"timers, "

	expect	0x3ff, 0xa5
	in	$0x71, %al
	cmp	$0x5a, %al
	check
	expect	FW_CFG + 1, 'M'
	expect	FW_CFG + 1, 'U'
	mov	$PM_ENABLE, %edx
	in	%dx, %ax
	cmp	$0x0520, %ax
	check
	mov	$0xcfc, %edx		# the register is still selected
	in	%dx, %eax
	cmp	$0xf0100000, %eax
	check
	cmpl	$1, 0xf010000c		# the test device has counted one write
	check
	cmpl	$0x12345678, TEST_MEMORY + 0x100
	check
	in	$0xe0, %eax
	cmp	$0x90abcdef, %eax
	check
	out	%al, $0xee		# still without an exit
	in	$0xee, %al
	cmp	$3, %al
	check
	movl	$5, LOG			# still into the ring
	cmpl	$1342, LESSON_PAGE + 40
	check
	cmpl	$0x600d, 0x900
	check
	cmpl	$0x600d, WINDOW + 0x900
	check
	expect	0x92, 2
	say	"devices: as they were\n"
	kernel_end
	.text
	counting on_tick, ticks
	counting_until on_level, levels, 1, 21
	.data
	.balign	16
pattern: .long	0x11111111, 0x22222222, 0x33333333, 0x44444444
	.bss
	.balign	16
found:	.skip	16
tsc:	.quad	0
hpet:	.long	0
pm:	.long	0
ticks:	.long	0
wanted:	.long	0
levels:	.long	0
	board_data
