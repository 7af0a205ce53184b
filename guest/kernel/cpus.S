# All processors of the MADT, started one after the other by a trampoline at 0x8000.
#
# Run      RunBiscuitOS.sh --cpus 2 --kernel /usr/bin/firmware/kernel/cpus.elf; echo $?
# Look for a dot from each, and 1

	.include "kernel.inc"
	kernel
	mov	$0xe0000, %esi		# the root pointer, on a boundary of 16
1:	cmpl	$0x20445352, (%esi)	# "RSD "
	je	2f
	add	$16, %esi
	cmp	$0x100000, %esi
	jb	1b
	jmp	bad
2:	mov	24(%esi), %esi		# the XSDT
	mov	44(%esi), %esi		# its second table
	cmpl	$0x43495041, (%esi)	# "APIC"
	check
	mov	4(%esi), %ecx
	add	%esi, %ecx		# its end
	add	$44, %esi
	mov	%ecx, %ebp
	push	%esi
	put_trampoline
	pop	%esi
	movl	$0x1ff, APIC + 0xf0
3:	cmp	%ebp, %esi
	jae	6f
	cmpb	$0, (%esi)		# a processor, and not this one
	jne	5f
	movzbl	3(%esi), %eax
	test	%eax, %eax
	jz	5f
	shl	$24, %eax
	mov	ups, %ebx
	mov	%eax, APIC + 0x310
	movl	$0x4500, APIC + 0x300
	mov	%eax, APIC + 0x310
	movl	$0x4608, APIC + 0x300
4:	pause
	cmp	ups, %ebx
	je	4b
5:	movzbl	1(%esi), %eax
	add	%eax, %esi
	jmp	3b
6:	say	".\n"
	kernel_end
	.text
	trampoline third
third:	mov	$16, %ax
	mov	%ax, %ds
	mov	$SERIAL, %edx
	mov	$'.', %al
	out	%al, %dx
	lock incl ups
7:	hlt
	jmp	7b
	.bss
ups:	.long	0
