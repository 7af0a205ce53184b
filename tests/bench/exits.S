# Makes 200000 exits, by as many processors as the last character of the command line says: each of them its share, as OUT to the
# scratch port; and switches off.

	.include "kernel.inc"
	.set	APIC, 0xfee00000
	kernel
	mov	16(%ebx), %esi		# the command line
1:	lodsb
	test	%al, %al
	jnz	1b
	movzbl	-2(%esi), %ebx
	sub	$'0', %ebx
	mov	$200000, %eax
	xor	%edx, %edx
	div	%ebx
	mov	%eax, share
	put_trampoline
	movl	$0x1ff, APIC + 0xf0
	movl	$0xc4500, APIC + 0x300	# INIT and start-up, to all others
	movl	$0xc4608, APIC + 0x300
	call	exits
2:	pause
	cmp	done, %ebx
	jne	2b
	mov	$0x604, %edx		# off, which is status 0
	mov	$1 << 13 | 0 << 10, %ax
	out	%ax, %dx
	kernel_end
	.text
exits:	mov	share, %ecx
	mov	$0xe0, %edx
3:	out	%al, %dx
	dec	%ecx
	jnz	3b
	lock incl done
	ret
	trampoline third
third:	mov	$16, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$other, %esp
	call	exits
4:	hlt
	jmp	4b
	.bss
share:	.long	0
done:	.long	0
	.skip	256
other:
