# MSI: an interrupt sent as a memory write, without an interrupt line.
#
# Shows    KVM_SIGNAL_MSI, by a call for each; and the same by an eventfd and the routing table (KVM_IRQFD,
#          KVM_SET_GSI_ROUTING), where a write to a port becomes an interrupt without an exit
# Run      RunBiscuitOS.sh --pause 0 --irqchip --mode protected --trace /usr/bin/firmware/msi.bin
# Look for "3 messages"; in the trace, KVM_SIGNAL_MSI three times, and no exit at port 0xee

	.include "lesson.inc"
	.include "board.inc"
	.code32
	.text
	.globl	_start
_start:	gate	0x50, message
	interrupts
	movl	$APIC, LESSON_PAGE	# the scratch register holds the message: its address is processor 0's,
	movl	$0x50, LESSON_PAGE + 4	# its data the vector
	ring	RING_MSI
	ring	RING_MSI
	spin_until messages, 1		# two that came before the first was taken, may be one
	ring	RING_MSI
	spin_until messages, 2
	say	"3 messages by KVM_SIGNAL_MSI\n"
	ring	RING_EVENT
	ring	RING_ROUTE
	movl	$0, messages
	mov	$100, %ebx
1:	mov	messages, %esi
	inc	%esi
	out	%al, $COUNTER
2:	pause
	cmp	%esi, messages
	jb	2b
	dec	%ebx
	jnz	1b
	say	"100 messages by a port, an eventfd and a route\n"
	ring	RING_END
	counting message, messages
	printing
	board_data
	.bss
messages: .long	0
