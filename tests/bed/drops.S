# The boot processor drops a page 2000 times, and each time the other one goes on reading and writing its neighbours, which lie in
# the same 2 MiB. Ends with status 17.

	.include "kernel.inc"
	kernel
	start_others
1:	pause
	cmpl	$0, up
	je	1b
	mov	$2000, %ecx
	mov	$0x800000, %eax
2:	mov	%ecx, (%eax)
	out	%eax, $0xe4
	cmp	%ecx, (%eax)
	check
	loop	2b
	mov	$8, %al			# 8 << 1 | 1
	out	%al, $EXIT
	kernel_end
	.text
	trampoline third
third:	mov	$16, %ax
	mov	%ax, %ds
	movl	$1, up
3:	mov	$0x801000, %edi
4:	incl	(%edi)
	add	$4096, %edi
	cmp	$0xa00000, %edi
	jb	4b
	jmp	3b
	.bss
up:	.long	0
