# ACPI's tables, found as a kernel finds them that no loader has told: the root pointer lies on a multiple of 16 in the firmware's
# area, and leads to the XSDT, and that to all tables but two, which the FADT names. The sum of each table's bytes is 0.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/acpi.elf --no-hpet; echo $?
# Look for the tables' names, and 1; with --no-acpi "no tables"

	.include "kernel.inc"

	kernel
	cld
	mov	$0xe0000, %ebx
1:	cmpl	$0x20445352, (%ebx)	# "RSD PTR "
	jne	2f
	cmpl	$0x20525450, 4(%ebx)
	je	root
2:	add	$16, %ebx
	cmp	$0x100000, %ebx
	jb	1b
	say	"no tables\n"
	jmp	end

root:	mov	%ebx, %esi		# the first version's sum, and that of all
	mov	$20, %ecx
	call	sum
	mov	%ebx, %esi
	mov	20(%ebx), %ecx
	call	sum
	mov	24(%ebx), %ebp
	mov	%ebp, %esi
	call	table
	mov	4(%ebp), %edi		# its entries are addresses of 8 bytes
	shr	$3, %edi
	sub	$4, %edi		# behind a header of 36
	add	$36, %ebp
3:	mov	(%ebp), %esi
	cmpl	$0, 4(%ebp)
	check
	call	table
	cmpl	$0x50434146, (%esi)	# "FACP"
	jne	4f
	push	%esi
	mov	40(%esi), %esi		# the DSDT
	call	table
	pop	%esi
	mov	36(%esi), %esi		# the FACS has no sum
	test	%esi, %esi
	jz	4f
	call	show
4:	add	$8, %ebp
	dec	%edi
	jnz	3b
	say	"\n"
end:
	kernel_end
	.text
# Checks the table at ESI, and shows its name.
table:	push	%esi
	mov	4(%esi), %ecx
	call	sum
	pop	%esi
# Shows the four letters at ESI.
show:	push	%esi
	mov	(%esi), %eax
	mov	%eax, name
	mov	$name, %esi
	call	print
	pop	%esi
	ret
# The ECX bytes at ESI add up to 0.
sum:	xor	%ah, %ah
5:	lodsb
	add	%al, %ah
	loop	5b
	test	%ah, %ah
	check
	ret
	.data
name:	.asciz	"1234 "
