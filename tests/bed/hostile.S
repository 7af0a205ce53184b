# 20000 accesses to random ports and addresses with random values, by the seed in ESI. Ends with status 1, if no access ends the
# run before.

	.include "kernel.inc"
# The next random number, in EAX.
	.macro	random
	imul	$1664525, %esi, %esi
	add	$1013904223, %esi
	mov	%esi, %eax
	rol	$11, %eax
	.endm
	.set	COUNT, 20000
	kernel
	mov	$COUNT, %ebp
1:	random
	mov	%eax, %ebx			# decides what kind of access it is
	random
	test	$3, %bl
	jz	3f
	mov	%eax, %edx			# a port: any below 0x4000, or one of those with devices
	and	$0x3fff, %edx
	test	$4, %bl
	jz	2f
	and	$15, %edx
	movzwl	ports(, %edx, 2), %edx
	bt	$16, %ebx
	adc	$0, %edx
2:	random
	test	$8, %bl
	jnz	4f
	test	$16, %bl
	jnz	5f
	out	%al, %dx
	in	%dx, %al
	jmp	6f
4:	out	%ax, %dx
	in	%dx, %ax
	jmp	6f
5:	out	%eax, %dx
	in	%dx, %eax
	jmp	6f
3:	mov	%eax, %edi			# an address: of the window, of the lessons' page, of the memory whose accesses exit
	and	$0xfff8, %edi
	mov	%ebx, %ecx
	shr	$8, %ecx
	and	$3, %ecx
	or	bases(, %ecx, 4), %edi
	mov	%ebx, %ecx
	shr	$12, %ecx
	and	$7, %ecx
	add	%ecx, %edi
	mov	%eax, (%edi)
	mov	%al, 1(%edi)
	mov	(%edi), %ax
	mov	(%edi), %edx
6:	dec	%ebp
	jnz	1b
	kernel_end
	.data
	.balign	4
ports:	.word	0x10, 0xe0, 0xe3, 0xe4, 0xe8, 0xec, 0xee, 0xef, 0x70, 0x71, 0x3f8, 0x3fb, 0x600, 0xcf8, 0xcfc, 0x2004
bases:	.long	0xc0000000, 0xe0000000, 0xff000000, 0xe0000000
