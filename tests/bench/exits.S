# Makes 200000 exits, by as many processors as the last character of the command line says: each of them its share, as OUT to the
# scratch port.

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
	mov	$second, %esi		# the trampoline
	mov	$0x8000, %edi
	mov	$second_end - second, %ecx
	cld
	rep movsb
	sgdt	0x8000 + table - second
	movl	$0x1ff, APIC + 0xf0
	movl	$0xc4500, APIC + 0x300	# INIT and start-up, to all others
	movl	$0xc4608, APIC + 0x300
	call	exits
2:	pause
	cmp	done, %ebx
	jne	2b
	kernel_end
	.text
exits:	mov	share, %ecx
	mov	$0xe0, %edx
3:	out	%al, %dx
	dec	%ecx
	jnz	3b
	lock incl done
	ret
	.code16
second:	cli
	xor	%ax, %ax
	mov	%ax, %ds
	lgdtl	0x8000 + table - second
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$8, $third
table:	.skip	6
second_end:
	.code32
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
