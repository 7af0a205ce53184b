# The local APIC's timer: each processor has one, and it needs no interrupt line.
#
# Shows    memory-mapped registers whose accesses cause no exit to user space: the local APIC is in the kernel
# Run      RunBiscuitOS.sh --pause 0 --irqchip --mode protected --stats /usr/bin/firmware/lapic.bin
# Look for "10 ticks", and no KVM_EXIT_MMIO

	.include "lesson.inc"
	.include "board.inc"
	.code32
	.text
	.globl	_start
_start:	gate	0x30, tick
	interrupts
	movl	$0xb, APIC + 0x3e0	# divide by 1
	movl	$0x20030, APIC + 0x320	# again and again, vector 0x30
	movl	$1000000, APIC + 0x380	# the count begins; KVM's clock for it has 1 GHz
	wait_for ticks, 10
	cli
	movl	$0, APIC + 0x380
	say	"10 ticks of the local APIC's timer\n"
	ring	RING_END
	counting tick, ticks
	printing
	board_data
	.bss
ticks:	.long	0
