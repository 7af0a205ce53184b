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
	line_up	5
	spin_until edges, 1
	say	"an edge: 1 interrupt\n"
	line_up	10			# until the handler takes it down, the second time
	spin_until levels, 2
	say	"a level: 2 interrupts\n"
	ring	RING_END
	counting edge, edges
	counting_until level, levels, 2, 10
	printing
	board_data
	.bss
edges:	.long	0
levels:	.long	0
