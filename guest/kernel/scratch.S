# Ports 0xe0 to 0xe3, and 0xe8 for bytes: a register in every size, and strings. 0x530 and 0x531, where there is nothing: ones.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/scratch.elf; echo $?
# Look for "scratch", and 1

	.include "kernel.inc"
	kernel
	mov	$0x44332211, %eax
	out	%eax, $0xe0
	in	$0xe2, %ax
	cmp	$0x4433, %ax
	check
	in	$0xe1, %al
	cmp	$0x22, %al
	check
	mov	$0x99, %al
	out	%al, $0xeb
	in	$0xe8, %eax
	cmp	$0x99332211, %eax
	check
	mov	$words, %esi
	mov	$0xe0, %edx
	mov	$3, %ecx
	cld
	rep outsw
	mov	$words, %edi
	mov	$3, %ecx
	rep insw
	cmpl	$0x33333333, words
	check
	mov	$0x530, %edx
	in	%dx, %ax
	cmp	$0xffff, %ax
	check
	inc	%edx
	in	%dx, %al
	cmp	$0xff, %al
	check
	say	"scratch\n"
	kernel_end
	.data
words:	.word	0x1111, 0x2222, 0x3333
