# Writes that may be handled later: each with an exit, and then by the ring of coalesced writes.
#
# Shows    KVM_REGISTER_COALESCED_MMIO on addresses and on a port; that the ring is emptied before the next exit is handled, so that
#          the order of writes is kept
# Run      RunBiscuitOS.sh --pause 0 --irqchip --mode protected --stats /usr/bin/firmware/coalesced.bin
# Look for the sums, which are right both times; 199 exits saved: the ring has room for 169 writes, and the next one exits

	.include "lesson.inc"
	.include "board.inc"
	.code32
	.text
	.globl	_start
_start:	call	write
	mov	LESSON_PAGE + 32, %eax
	say_eax
	say	" writes by exits, their sum "
	mov	LESSON_PAGE + 40, %eax
	say_eax
	say	"\n"
	ring	RING_COALESCE
	ring	RING_COALESCE_PORT
	call	write
	mov	LESSON_PAGE + 32, %eax
	say_eax
	say	" with those of the ring, their sum "
	mov	LESSON_PAGE + 40, %eax
	say_eax
	say	"\n"
	ring	RING_END
write:	mov	$100, %ecx		# 1 + ... + 100 to addresses, and as often 1 to the port
1:	mov	%ecx, LOG(, %ecx, 4)
	mov	$1, %al
	out	%al, $0xef
	loop	1b
	ret
	printing
