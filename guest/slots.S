# Has a second slot added and taken away while it runs.
#
# Shows    KVM_SET_USER_MEMORY_REGION on a running VM: what is at an address changes from one instruction to
#          the next. The second slot is the start of RAM once more, at 0xc0000000: two guest-physical addresses,
#          one host-virtual one
# Run      RunBiscuitOS.sh --pause 0 --mode long --trace /usr/bin/firmware/slots.bin
# Look for "ffffffff 00c0ffee ffffffff": no RAM, which reads ones; RAM, where it finds what it wrote at the other
#          address; and none again. In the trace, a KVM_EXIT_MMIO for the first and the last, none for the
#          second, and KVM_SET_USER_MEMORY_REGION between

	.include "lesson.inc"
	.code64
	.text
	.globl	_start
_start:	mov	$WINDOW + 0x8000, %ebx
	movl	$0x00c0ffee, 0x8000	# in RAM
	mov	(%rbx), %eax
	say_eax
	ring	RING_OPEN
	say	" "
	mov	(%rbx), %eax
	say_eax
	ring	RING_CLOSE
	say	" "
	mov	(%rbx), %eax
	say_eax
	say	"\n"
	hlt
	printing
