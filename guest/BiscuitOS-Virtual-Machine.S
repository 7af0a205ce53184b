# KOB-2M's guest: prints its line through a port, again and again.
#
# Shows    the smallest useful guest: no BIOS, no stack, no interrupts; port I/O exits to the VMM
# Run      RunBiscuitOS.sh
# Look for a line every 6 seconds; Ctrl-C ends it, since the guest never halts
#
# It is loaded at guest-physical 0x1000 and starts there in real mode, all segments at 0.
# A character goes out as the low byte of a word: KVM_EXIT_IO with size 2, and the VMM prints one byte.
# The word that ends the text is 0x000a: a newline, and the zero byte behind it, which is RAM that
# nobody has written yet.

	.code16
	.text
	.globl	_start
_start:
	mov	$TEXT, %bx
1:	mov	(%bx), %ax
	out	%ax, $0x10
	cmp	$0x000a, %ax
	je	_start
	inc	%bx
	jmp	1b

	.set	TEXT, 0x1040		# where the code looks for it

	.ifdef	ORIGINAL
# The original put its text at 0x1040 of the *data section*, which the linker places behind the code:
# so the image held it at offset 0x104f, and each pass printed 4111 zero bytes before the line.
	.data
	.org	0x1040
	.else
	.org	TEXT - 0x1000		# .org counts from the start of the image, which is at 0x1000
	.endif
	.ascii	"Hello BiscuitOS :)\n"
