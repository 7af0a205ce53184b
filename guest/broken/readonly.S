# Writes to memory that it may only read.
#
# Shows    KVM_MEM_READONLY: a read is memory, without an exit; a write leaves with KVM_EXIT_MMIO, as to a ROM
# Run      RunBiscuitOS.sh --pause 0 --mode long --trace=exits /usr/bin/firmware/broken/readonly.bin
# Look for the message about 0xc0008000; "00c0ffee 00c0ffee": the second read finds what was there before the write;
#          one KVM_EXIT_MMIO, the write

	.include "lesson.inc"
	.code64
	.text
	.globl	_start
_start:	mov	$WINDOW + 0x8000, %ebx
	movl	$0x00c0ffee, 0x8000
	ring	RING_OPEN_READONLY
	mov	(%rbx), %eax
	say_eax
	movl	$0xbad, (%rbx)
	say	" "
	mov	(%rbx), %eax
	say_eax
	say	"\n"
	hlt
	printing
