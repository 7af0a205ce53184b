# A guest whose vCPU is stopped again and again: it rings to be saved, and the steal time that KVM tells it must never go back. It
# ends when there was some.

	.include "kernel.inc"
	.set	BELL, 0xec
	.set	RING_SAVE, 13
	.set	KVM_STEAL_TIME, 0x4b564d03
	kernel
	mov	$KVM_STEAL_TIME, %ecx
	mov	$steal + 1, %eax	# bit 0: it is told
	xor	%edx, %edx
	wrmsr
	mov	$20, %ebx
1:	mov	$RING_SAVE, %al
	out	%al, $BELL
	mov	$1000000, %ecx
2:	dec	%ecx
	jnz	2b
	mov	steal + 4, %edx
	mov	steal, %eax
	cmp	before + 4, %edx
	jb	bad
	ja	3f
	cmp	before, %eax
	jb	bad
3:	mov	%eax, before
	mov	%edx, before + 4
	dec	%ebx
	jnz	1b
	or	%edx, %eax
	jz	bad
	kernel_end
	.bss
	.balign	64
steal:	.skip	64
before:	.skip	8
