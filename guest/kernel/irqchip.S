# The interrupt controllers and the interval timer, wherever they are: in the kernel (--irqchip full), in the program (split), or
# there without APICs (none). It moves interrupt lines itself, by QEMU's test device.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/irqchip.elf --irqchip split; echo $?
# Look for "requests, poll, ..., levels", and 1: the same with --irqchip full; with none the I/O APIC's part is left out

	.include "kernel.inc"
	.set	LESSON_PAGE, 0
	.include "board.inc"
	.set	EDGE, 0x45		# vectors
	.set	LEVEL, 0x4a

	kernel
	gate	0x25, on_5
	gate	0x23, on_3
	gate	0x2c, on_12
	gate	0x27, on_spurious
	gate	EDGE, on_edge
	gate	LEVEL, on_level
	lidt	idtr

	# Requests: a line that rises, one of the second controller, and what masks keep back.
	call	initialize
	mov	$0xfb, %al		# all are masked but the second controller
	out	%al, $0x21
	mov	$0xef, %al		# line 12 is not
	out	%al, $0xa1
	mov	$5, %bl
	call	up
	mov	$12, %bl
	call	up
	mov	$0x0a, %al		# IRR
	out	%al, $0x20
	in	$0x20, %al
	and	$0x24, %al
	cmp	$0x24, %al
	check
	sti
	nop
	cli
	cmpl	$1, count_12
	check
	cmpl	$0, count_5
	check
	mov	$0xdb, %al		# line 5 too
	out	%al, $0x21
	sti
	nop
	cli
	cmpl	$1, count_5
	check
	mov	$5, %bl
	call	down
	mov	$12, %bl
	call	down
	say	"requests, "

	# A poll takes the interrupt. (KVM's own controllers end the interrupt at once, and Linux 6.1's leave out bit 7 of the answer.)
	mov	$5, %bl
	call	up
	call	down
	mov	$0x0c, %al
	out	%al, $0x20
	in	$0x20, %al
	and	$7, %al
	cmp	$5, %al
	check
	mov	$0x65, %al		# the end of line 5's
	out	%al, $0x20
	mov	$0x0b, %al		# ISR
	out	%al, $0x20
	in	$0x20, %al
	cmp	$0, %al
	check
	say	"poll, "

	# Line 3 interrupts line 5's handler, and not the other way round.
	movl	$1, nests
	mov	$0xd3, %al		# lines 2, 3 and 5
	out	%al, $0x21
	mov	$5, %bl
	call	up
	call	down
	sti
	nop
	cli
	cmpl	$3, count_5
	check
	cmpl	$1, count_3
	check
	say	"priorities, "

	# Which lines can be level-triggered; a level lasts.
	mov	$0x4d0, %edx
	mov	$0xff, %al
	out	%al, %dx
	in	%dx, %al
	cmp	$0xf8, %al
	check
	inc	%edx
	mov	$0xff, %al
	out	%al, %dx
	in	%dx, %al
	cmp	$0xde, %al
	check
	mov	$5, %bl
	call	up
	sti				# its handler takes the line down at the second time
	nop
	nop
	cli
	cmpl	$5, count_5
	check
	mov	$0, %al
	out	%al, %dx
	dec	%edx
	out	%al, %dx
	say	"edges and levels, "

	# The interval timer: counter 0 in mode 2 interrupts, and says what it does.
	call	initialize
	mov	$0xff, %al
	out	%al, $0x21
1:	mov	$0x608, %edx		# ACPI's timer
	in	%dx, %eax
	mov	%eax, %ebx
	timer	65535			# 55 ms: no interrupt yet
	mov	$0x0a, %al		# IRR
	out	%al, $0x20
	in	$0x20, %al
	mov	%al, %cl
	in	%dx, %eax
	sub	%ebx, %eax
	cmp	$3 * 60000, %eax	# it took too long to tell
	ja	1b
	test	$1, %cl
	jnz	bad
	timer	1193
	mov	$0xc2, %al		# read back status and count
	out	%al, $0x43
	in	$0x40, %al
	and	$0x3f, %al
	cmp	$0x34, %al
	check
	in	$0x40, %al
	mov	%al, %bl
	in	$0x40, %al
	mov	%al, %bh
	cmp	$1193, %bx
	ja	bad
	mov	$0x0a, %al
	out	%al, $0x20
1:	in	$0x20, %al
	test	$1, %al
	jz	1b
	mov	$0x30, %al		# mode 0 without a count: it stands still
	out	%al, $0x43
	# Counter 2 in mode 0, the speaker's: its gate is shut, and then opened.
	in	$0x61, %al
	and	$0xfc, %al
	out	%al, $0x61
	mov	$0xb0, %al
	out	%al, $0x43
	mov	$0xff, %al
	out	%al, $0x42
	mov	$0x7f, %al
	out	%al, $0x42
	in	$0x61, %al
	test	$0x20, %al
	jnz	bad
	or	$1, %al
	out	%al, $0x61
2:	in	$0x61, %al
	test	$0x20, %al
	jz	2b
	say	"timer"

	mov	$1, %eax
	cpuid
	test	$1 << 9, %edx		# a local APIC
	jz	end
	interrupts
	mov	$0, %ebx		# the I/O APIC has 24 lines
	movl	$1, IOAPIC
	mov	IOAPIC + 16, %eax
	shr	$16, %eax
	cmp	$23, %al
	check
	# A masked line is lost.
	route	5, EDGE, 1 << 16
	mov	$5, %bl
	call	up
	call	down
	route	5, EDGE
	sti
	nop
	cli
	cmpl	$0, edges
	check
	call	up
	call	down
	sti
	nop
	cli
	cmpl	$1, edges
	check
	say	", messages"
	# A level awaits its end, and then comes again.
	route	10, LEVEL, 0x8000
	mov	$10, %bl
	call	up
	call	remote_irr
	cmp	$1, %al
	check
	sti				# the handler takes the line down at the third time
	nop
	nop
	cli
	cmpl	$3, levels
	check
	call	remote_irr
	cmp	$0, %al
	check
	say	", levels"
end:	say	"\n"
	kernel_end

	.text
initialize:
	pic	0x20, 0x20, 4
	pic	0xa0, 0x28, 2
	ret
# Line BL.
up:	mov	$1, %al
	jmp	1f
down:	mov	$0, %al
1:	push	%edx
	mov	$0x2000, %edx
	mov	%bl, %dl
	out	%al, %dx
	pop	%edx
	ret
# AL: whether line 10's interrupt awaits its end.
remote_irr:
	movl	$0x10 + 2 * 10, IOAPIC
	mov	IOAPIC + 16, %eax
	shr	$14, %eax
	and	$1, %eax
	ret
on_5:	push	%eax
	push	%ebx
	incl	count_5
	cmpl	$5, count_5
	jb	1f
	mov	$5, %bl
	call	down
1:	cmpl	$0, nests
	je	2f
	mov	$3, %bl			# the more urgent one comes at once
	call	up
	call	down
	sti
	nop
	cli
	cmpl	$1, count_3
	check
2:	mov	$0x20, %al
	out	%al, $0x20
	pop	%ebx
	pop	%eax
	iret
on_3:	push	%eax
	push	%ebx
	incl	count_3
	movl	$0, nests
	mov	$5, %bl			# the less urgent one waits
	call	up
	call	down
	sti
	nop
	cli
	cmpl	$2, count_5
	check
	mov	$0x20, %al
	out	%al, $0x20
	pop	%ebx
	pop	%eax
	iret
on_12:	push	%eax
	incl	count_12
	mov	$0x20, %al
	out	%al, $0xa0
	out	%al, $0x20
	pop	%eax
	iret
on_spurious:
	jmp	bad
	counting on_edge, edges
on_level:
	push	%eax
	push	%ebx
	incl	levels
	cmpl	$3, levels
	jb	1f
	mov	$10, %bl
	call	down
1:	movl	$0, APIC + 0xb0
	pop	%ebx
	pop	%eax
	iret
	board_data
	.bss
nests:	.long	0
count_3: .long	0
count_5: .long	0
count_12: .long	0
edges:	.long	0
levels:	.long	0
