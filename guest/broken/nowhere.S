# Jumps to where no RAM is.
#
# Shows    KVM_EXIT_INTERNAL_ERROR once more: without RAM there is nothing to execute, and KVM's emulator can't
#          fetch the instruction either
# Run      RunBiscuitOS.sh --mode long /usr/bin/firmware/broken/nowhere.bin
# Look for "no RAM" behind the code: RIP 0xd0000000 is not RAM; at the top of the stack, the address that the call
#          left: where it came from

	.include "lesson.inc"
	.code64
	.text
	.globl	_start
_start:	mov	$NOWHERE, %eax
	call	*%rax
