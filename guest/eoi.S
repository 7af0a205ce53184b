# The end of an interrupt (EOI), which the guest tells its local APIC, where the I/O APIC is the program's.
#
# Shows    KVM_EXIT_IOAPIC_EOI: a level-triggered line that is still active interrupts again, so the I/O APIC must know
# Run      RunBiscuitOS.sh --pause 0 --irqchip split --mode protected --trace /usr/bin/firmware/eoi.bin
# Look for KVM_CAP_SPLIT_IRQCHIP, before there is a vCPU; KVM_SIGNAL_MSI, by which the I/O APIC interrupts; exit 26. With
#          --irqchip full all of this stays in the kernel

	.include "lesson.inc"
	.include "board.inc"
	.code32
	.text
	.globl	_start
_start:	gate	0x31, edge
	gate	0x32, level
	interrupts
	route	5, 0x31
	route	10, 0x32, 0x8000	# bit 15: a level
	mov	$0x2005, %edx		# the test device: line 5 up
	mov	$1, %al
	out	%al, %dx
	spin_until edges, 1
	say	"an edge: 1 interrupt\n"
	mov	$0x200a, %edx		# line 10: until the handler takes it down, the second time
	mov	$1, %al
	out	%al, %dx
	spin_until levels, 2
	say	"a level: 2 interrupts\n"
	ring	RING_END
	counting edge, edges
level:	push	%eax
	push	%edx
	incl	levels
	cmpl	$2, levels
	jb	1f
	mov	$0x200a, %edx
	xor	%eax, %eax
	out	%al, %dx
1:	movl	$0, APIC + 0xb0
	pop	%edx
	pop	%eax
	iret
	printing
	board_data
	.bss
edges:	.long	0
levels:	.long	0
