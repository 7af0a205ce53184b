# An event that KVM injects while the pages that its delivery needs were dropped: IDT, stack, and the handler with the GDT. The delivery
# faults, KVM maps the page and injects the event again: once, and not twice. It is an interrupt, INT, and an exception in turn.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/inject.elf; echo $?
# Look for "4800 events, each once", and 1: from 2 MiB pages, and with --backing anon

	.include "kernel.inc"
	.set	LESSON_PAGE, 0
	.include "board.inc"
	.set	INTERRUPT, 0x30
	.set	SOFTWARE, 0x31
	.set	ROUNDS, 200

	kernel
	gate	INTERRUPT, on_interrupt
	gate	SOFTWARE, on_software
	gate	6, on_undefined
	interrupts
	mov	$ROUNDS, %ebp
1:	mov	$8, %edi		# a bit for each page: IDT, stack, code; 8 stands for none
2:	dec	%edi
	call	drop
	incl	expected
	movl	$0x40000 | INTERRUPT, APIC + 0x300	# to itself
	sti
	nop
	cli
	call	as_expected
	call	drop
	incl	expected
	int	$SOFTWARE
	call	as_expected
	call	drop
	incl	expected
	ud2
	call	as_expected
	test	%edi, %edi
	jnz	2b
	dec	%ebp
	jnz	1b
	cmpl	$ROUNDS * 8 * 3, events
	check
	say	"4800 events, each once\n"
	kernel_end
	.text
# Drops the pages whose bits are set in EDI.
drop:	test	$1, %edi
	jz	3f
	mov	$idt, %eax
	out	%eax, $0xe4
3:	test	$2, %edi
	jz	4f
	mov	%esp, %eax
	out	%eax, $0xe4
4:	test	$4, %edi
	jz	5f
	mov	$on_interrupt, %eax
	out	%eax, $0xe4
5:	ret
as_expected:
	mov	events, %eax
	cmp	expected, %eax
	jne	bad
	ret
on_interrupt:
	incl	events
	movl	$0, APIC + 0xb0		# done
	iret
on_undefined:
	addl	$2, (%esp)		# behind the ud2
on_software:
	incl	events
	iret
	.bss
	.balign	4096		# the IDT has a page of its own
	board_data
	.balign	4096
events:	.long	0
expected: .long	0
