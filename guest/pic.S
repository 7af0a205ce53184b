# The 8259 and the PIT: a PC's first timer, through its first interrupt controller. Both are in the kernel.
#
# Shows    KVM_CREATE_IRQCHIP, KVM_CREATE_PIT2: port accesses that cause no exit to user space, and a HLT
#          that waits in KVM
# Run      RunBiscuitOS.sh --pause 0 --irqchip --mode protected --stats /usr/bin/firmware/pic.bin
# Look for "10 ticks"; among the exits there is no KVM_EXIT_HLT, and KVM_EXIT_IO for the text and the bell alone

	.include "lesson.inc"
	.include "board.inc"
	.code32
	.text
	.globl	_start
_start:	gate	0x20, tick
	lidt	idtr
	mov	$0x11, %al		# the first 8259: edges, four words follow
	out	%al, $0x20
	mov	$0x20, %al		# its lines are vectors 0x20 to 0x27
	out	%al, $0x21
	mov	$4, %al			# the second one is at line 2
	out	%al, $0x21
	mov	$1, %al			# an x86
	out	%al, $0x21
	mov	$0xfe, %al		# line 0 alone
	out	%al, $0x21
	timer	1193
	wait_for ticks, 10
	cli
	say	"10 ticks of the PIT through the 8259\n"
	ring	RING_END
tick:	push	%eax
	incl	ticks
	mov	$0x20, %al		# end of interrupt
	out	%al, $0x20
	pop	%eax
	iret
	printing
	board_data
	.bss
ticks:	.long	0
