# A port that counts, by exits and by an eventfd; and an eventfd that raises an interrupt.
#
# Shows    KVM_IOEVENTFD on a port, and on an address with a value that must match; KVM_IRQFD, and with a resampling eventfd,
#          which tells of the guest's acknowledgement
# Run      RunBiscuitOS.sh --pause 0 --irqchip --mode protected --stats /usr/bin/firmware/eventfd.bin
# Look for the counts in hexadecimal, 3e8 and 7d0; "exits saved" at the end, and how few KVM_EXIT_IO there are for 2000 writes

	.include "lesson.inc"
	.include "board.inc"
	.code32
	.text
	.globl	_start
_start:	gate	0x31, edge
	gate	0x32, level
	interrupts
	mov	$1000, %ecx
1:	out	%al, $COUNTER		# an exit each
	loop	1b
	in	$COUNTER, %eax
	say_eax
	say	" by exits\n"
	ring	RING_EVENT
	mov	$1000, %ecx
2:	out	%al, $COUNTER		# none
	loop	2b
	in	$COUNTER, %eax
	say_eax
	say	" with those by the eventfd\n"
	ring	RING_EVENT_MATCH
	mov	$100, %ecx
3:	movl	$1, LESSON_PAGE + 24	# the value that matches: no exit
	movl	$2, LESSON_PAGE + 24	# another
	loop	3b
	in	$COUNTER, %eax
	say_eax
	say	" with 200 writes to an address, half without an exit\n"
	route	5, 0x31
	route	10, 0x32, 0x8000
	ring	RING_IRQ
	out	%al, $COUNTER
	spin_until edges, 1
	say	"an interrupt by an irqfd\n"
	ring	RING_IRQ_LEVEL		# an event raises one line: now it is 10
	out	%al, $COUNTER
	spin_until levels, 1
	mov	LESSON_PAGE + 48, %eax
	say_eax
	say	" acknowledged\n"
	ring	RING_END
	counting edge, edges
	counting level, levels
	printing
	board_data
	.bss
edges:	.long	0
levels:	.long	0
