# The HPET: its counter against the PM timer; a comparator that interrupts once, at its time; one that does so again and again; and a
# level that stays until it is acknowledged. Interrupts are not taken: the request bits of the interrupt controllers show them.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/hpet.elf; echo $?
# Look for "the counter, one-shot, periodic, level", and 1

	.include "kernel.inc"
	.set	HPET, 0xfed00000
	.set	IO_APIC, 0xfec00000
	.set	PM_TIMER, 0x608
	.set	LINE, 16		# of the I/O APIC
	.set	VECTOR, 0x51

	kernel
	cmpl	$10000000, HPET + 4	# a count takes 10 ns
	check
	movl	$1, HPET + 0x10		# on
	mov	$10, %ebp		# where the host was busy meanwhile, it is measured anew
1:	mov	HPET + 0xf0, %ebx
	mov	$35795, %ecx		# 10 ms of the PM timer
	call	wait
	mov	HPET + 0xf0, %eax
	sub	%ebx, %eax
	cmp	$1000000 - 100, %eax
	jb	bad
	cmp	$2000000, %eax
	jbe	2f
	dec	%ebp
	jnz	1b
	jmp	bad
2:	say	"the counter, "

	# The local APIC is on, and the I/O APIC leads the line to it: edge-triggered.
	movl	$0x1ff, APIC + 0xf0
	mov	$VECTOR, %eax
	call	route
	# Comparator 2: of 32 bits, its line, and only then interrupts: what it has before may have passed.
	movl	$LINE << 9 | 1 << 8, HPET + 0x140
	mov	HPET + 0xf0, %eax
	add	$1000000, %eax		# in 10 ms
	mov	%eax, %ebx
	mov	%eax, HPET + 0x148
	movl	$LINE << 9 | 1 << 8 | 1 << 2, HPET + 0x140
	call	requested
	jz	3f			# not yet, unless the host was busy for so long
	mov	HPET + 0xf0, %eax
	sub	%ebx, %eax
	js	bad
3:	call	until_requested
	mov	HPET + 0xf0, %eax
	sub	%ebx, %eax
	js	bad			# too early
	say	"one-shot, "

	# Comparator 0, periodic, each millisecond, on line 0 of the 8259s: legacy replacement.
	movl	$0, HPET + 0x140
	movl	$3, HPET + 0x10
	movl	$1 << 8 | 1 << 6 | 1 << 3 | 1 << 2, HPET + 0x100
	mov	HPET + 0xf0, %eax
	add	$100000, %eax
	mov	%eax, HPET + 0x108
	movl	$100000, HPET + 0x108
	mov	HPET + 0xf0, %ebx
	mov	$10, %ebp
1:	call	timer_line		# wait for it, ten times; the 8259 forgets it when it is initialized
	test	$1, %al
	jz	1b
	pic	0x20, 0x20, 4
	dec	%ebp
	jnz	1b
	mov	HPET + 0xf0, %eax
	sub	%ebx, %eax
	cmp	$900000, %eax		# nine periods at least
	jb	bad
	movl	$0, HPET + 0x100
	movl	$1, HPET + 0x10
	say	"periodic, "

	# Comparator 1, a level.
	mov	$VECTOR + 1 | 1 << 15, %eax
	call	route
	movl	$LINE << 9 | 1 << 8 | 1 << 1, HPET + 0x120
	mov	HPET + 0xf0, %eax
	add	$100000, %eax
	mov	%eax, HPET + 0x128
	movl	$LINE << 9 | 1 << 8 | 1 << 2 | 1 << 1, HPET + 0x120
2:	mov	HPET + 0x20, %eax	# its status bit
	test	$2, %eax
	jz	2b
	call	until_requested
	movl	$2, HPET + 0x20		# acknowledged
	cmpl	$0, HPET + 0x20
	check
	say	"level\n"
	kernel_end
	.text
# Waits for ECX counts of the PM timer.
wait:	mov	$PM_TIMER, %edx
	in	%dx, %eax
	mov	%eax, %esi
3:	in	%dx, %eax
	sub	%esi, %eax
	cmp	%ecx, %eax
	jb	3b
	ret
# The I/O APIC's entry for the line becomes EAX.
route:	movl	$0x10 + LINE * 2, IO_APIC
	mov	%eax, IO_APIC + 0x10
	mov	%eax, %edi
	and	$0x1f, %edi		# its bit among the local APIC's requests
	ret
# Not zero if the local APIC has a request for it.
requested: mov	APIC + 0x200 + (VECTOR >> 5) * 16, %eax
	bt	%edi, %eax
	sbb	%eax, %eax
	test	%eax, %eax
	ret
until_requested: call requested
	jz	until_requested
	ret
# The first 8259's requests.
timer_line: mov	$0x0a, %al
	out	%al, $0x20
	in	$0x20, %al
	ret
