# PCI: QEMU's test device is looked for with configuration mechanism 1. Each of its tests is run: a byte is written ten times where the
# device says, and it counts those writes that exit. Then its addresses are moved, and switched off.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/pci.elf; echo $?
# Look for the names of six tests: ten exits without an eventfd, none with one; then "moved, off", and 1

	.include "kernel.inc"
	.set	ADDRESS, 0xcf8
	.set	DATA, 0xcfc
	.set	ELSEWHERE, 0x8000	# so far from its first place

	kernel
	mov	$0x80000000, %edi	# bus 0, device 0
1:	xor	%ebx, %ebx
	call	read
	cmp	$0x00051b36, %eax
	je	2f
	add	$1 << 11, %edi		# the next device
	cmp	$0x80010000, %edi
	jb	1b
	jmp	bad
2:	mov	$4, %ebx		# it may be switched off: ports and addresses on
	call	read
	or	$3, %eax
	call	write

	mov	$0x10, %ebx		# BAR 0: how large?
	call	read
	push	%eax
	mov	$-1, %eax
	call	write
	call	read
	cmp	$0xfffff000, %eax
	check
	pop	%eax
	call	write
	mov	%eax, %ebp
	xor	%ecx, %ecx
3:	movb	%cl, (%ebp)		# test number ECX begins
	cmpb	$1, 1(%ebp)		# in bytes? There may be no more tests
	jne	5f
	lea	16(%ebp), %esi		# its name
	call	print
	mov	4(%ebp), %edx		# where, and what
	mov	8(%ebp), %al
	mov	$10, %ebx
4:	mov	%al, (%ebp, %edx)
	dec	%ebx
	jnz	4b
	mov	12(%ebp), %eax
	call	count
	inc	%ecx
	jmp	3b

5:	cmp	$3, %ecx
	check
	mov	$0x14, %ebx		# BAR 1, of ports
	call	read
	test	$1, %al
	jz	bad
	and	$~1, %eax
	mov	%eax, %ebp
	xor	%ecx, %ecx
6:	mov	%ebp, %edx
	mov	%cl, %al
	out	%al, %dx
	inc	%edx
	in	%dx, %al
	cmp	$1, %al
	jne	0f
	dec	%edx			# its number: those of ports begin with 3
	in	%dx, %al
	sub	$3, %al
	cmp	%cl, %al
	check
	inc	%edx
	lea	16(%ebp), %edx		# its name, byte by byte
	mov	$name, %esi
9:	in	%dx, %al
	mov	%al, (%esi)
	inc	%edx
	inc	%esi
	test	%al, %al
	jnz	9b
	mov	$name, %esi
	call	print
	lea	8(%ebp), %edx
	in	%dx, %al
	mov	%al, %bl
	lea	4(%ebp), %edx
	in	%dx, %eax
	lea	(%eax, %ebp), %edx
	mov	%bl, %al
	mov	$10, %ebx
7:	out	%al, %dx
	dec	%ebx
	jnz	7b
	lea	12(%ebp), %edx
	in	%dx, %eax
	call	count
	inc	%ecx
	jmp	6b

0:	cmp	$3, %ecx
	check
	mov	$0x10, %ebx		# to another place, with a test that has an eventfd
	call	read
	mov	%eax, %ebp
	movb	$1, (%ebp)
	add	$ELSEWHERE, %eax
	call	write
	mov	ELSEWHERE + 4(%ebp), %edx
	mov	8 + ELSEWHERE(%ebp), %al
	mov	%al, ELSEWHERE(%ebp, %edx)
	cmpl	$0, ELSEWHERE + 12(%ebp)	# no exit: the eventfd has moved too
	check
	cmpl	$-1, (%ebp)		# nothing is left here
	check
	mov	$0x14, %ebx		# its ports likewise: how many, and to another place
	call	read
	push	%eax
	mov	$-1, %eax
	call	write
	call	read
	cmp	$0xffffff01, %eax
	check
	pop	%eax
	add	$0x200, %eax
	call	write
	lea	-1(%eax), %edx
	movb	$0, %al
	out	%al, %dx
	inc	%edx
	in	%dx, %al		# the width
	cmp	$1, %al
	check
	sub	$0x200, %edx
	in	%dx, %al		# nothing is left here
	cmp	$0xff, %al
	check
	add	$0x200, %edx
	say	"moved, "
	mov	$4, %ebx
	call	read
	and	$~2, %eax
	call	write
	cmpl	$-1, ELSEWHERE(%ebp)
	check
	say	"off\n"
	kernel_end
	.text
# Shows the count in EAX; ECX is the test's number.
count:	test	%ecx, %ecx
	jz	9f
	cmp	$0, %al
	check
	say	": 0\n"
	ret
9:	cmp	$10, %al
	check
	say	": 10\n"
	ret
# EAX becomes register EBX of function EDI.
read:	call	address
	in	%dx, %eax
	ret
# Register EBX of function EDI becomes EAX.
write:	call	address
	out	%eax, %dx
	ret
address: push	%eax
	lea	(%edi, %ebx), %eax
	mov	$ADDRESS, %edx
	out	%eax, %dx
	mov	$DATA, %edx
	pop	%eax
	ret
	.bss
name:	.skip	64
