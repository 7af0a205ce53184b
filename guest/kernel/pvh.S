# PVH: a note names the entry, and the loader tells of the machine in a structure of its own: command line, module, memory map, ACPI.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/pvh.elf --initrd FILE --append 'a b'; echo $?
# Look for the command line, the file's text, "the memory map and the tables are there", and 1

	.include "kernel.inc"
	.section .note, "a", @note
	.balign	4
	.long	4, 4, 18		# sizes of name and value, and the type: XEN_ELFNOTE_PHYS32_ENTRY
	.asciz	"Xen"
	.long	_start

	.text
	.code32
	.globl	_start
_start:	cmpl	$0x336ec578, (%ebx)	# EBX points to the start information
	jne	bad
	mov	$stack, %esp
	mov	%ebx, info
	lgdt	gdtr
	ljmp	$8, $1f
1:	flat_segments
	mov	24(%ebx), %esi		# command line
	call	print
	say	"\n"
	mov	12(%ebx), %ecx		# how many modules
	test	%ecx, %ecx
	jz	2f
	cmp	$1, %ecx
	check
	mov	16(%ebx), %edi
	mov	(%edi), %esi		# behind it RAM is zero
	call	print
2:	mov	40(%ebx), %esi		# the memory map: the first range begins at 0 and is RAM
	cmpl	$0, (%esi)
	check
	cmpl	$1, 16(%esi)
	check
	cmpl	$4, 48(%ebx)
	check
	mov	32(%ebx), %esi		# ACPI's root pointer, if there is one
	test	%esi, %esi
	jz	3f
	cmpl	$0x20445352, (%esi)
	check
	say	"the memory map and the tables are there\n"
	jmp	4f
3:	say	"the memory map is there, tables are not\n"
4:
	kernel_end
