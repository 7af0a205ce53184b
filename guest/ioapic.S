# The I/O APIC: the same timer by another way, and a line that the guest itself moves by the test device's port.
#
# Shows    that line 0 of a PC is the I/O APIC's pin 2 (KVM_SET_GSI_ROUTING); an edge and a level (KVM_IRQ_LINE)
# Run      RunBiscuitOS.sh --pause 0 --irqchip --mode protected --trace=calls /usr/bin/firmware/ioapic.bin
# Look for "10 ticks", "an edge: 1", "a level: more than 1"; KVM_IRQ_LINE in the trace

	.include "lesson.inc"
	.include "board.inc"
	.code32
	.text
	.globl	_start
_start:	gate	0x30, tick
	gate	0x31, edge
	gate	0x32, level
	interrupts
	route	2, 0x30
	route	5, 0x31
	route	10, 0x32, 0x8000	# bit 15: a level
	timer	1193
	wait_for ticks, 10
	say	"10 ticks of the PIT through the I/O APIC\n"
	line_up	5
	spin_until edges, 1
	mov	$10000, %ecx
1:	pause
	loop	1b
	cmpl	$1, edges
	jne	2f
	say	"an edge: 1 interrupt\n"
2:	line_up	10			# until the handler takes it down, the third time
	spin_until levels, 3
	say	"a level: more than 1 interrupt, until it went\n"
	ring	RING_END
	counting tick, ticks
	counting edge, edges
	counting_until level, levels, 3, 10
	printing
	board_data
	.bss
ticks:	.long	0
edges:	.long	0
levels:	.long	0
