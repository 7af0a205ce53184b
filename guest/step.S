# A few instructions to be watched one by one.
#
# Shows    KVM_SET_GUEST_DEBUG with KVM_GUESTDBG_SINGLESTEP: KVM_EXIT_DEBUG after each instruction
# Run      RunBiscuitOS.sh --pause 0 --mode long --step /usr/bin/firmware/step.bin
# Look for a line an instruction: its address, its bytes, and the registers that it changed; the loop three
#          times; the call and the return by RSP; at the end "6". An instruction that writes to a
#          device's address shows with the next one as one line

	.include "lesson.inc"
	.code64
	.text
	.globl	_start
_start:	xor	%eax, %eax
	mov	$3, %ecx
1:	add	%ecx, %eax
	dec	%ecx
	jnz	1b
	call	digit
	out	%al, $CONSOLE
	hlt

digit:	add	$'0', %al
	ret
