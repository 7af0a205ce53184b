# Port I/O in every size and direction, with string instructions too.
#
# Shows    KVM_EXIT_IO with size 1, 2 and 4 and with a count: one exit for a whole `rep insw`, one for each byte of
#          `rep outsb`; what a port reads that nobody answers
# Run      RunBiscuitOS.sh /usr/bin/firmware/strings.bin
# Look for the line "bw4 outsb ff ffff ffffffff insw"; and on standard error, that port 0x80 is nobody's

	.code16
	.text
	.globl	_start
_start:
	mov	$0x2000, %sp
	cld
	mov	$'b', %al
	out	%al, $0x10
	mov	$'w', %ax		# the high byte is lost
	out	%ax, $0x10
	mov	$'4', %eax		# as are the upper three
	out	%eax, $0x10

	mov	$words, %si		# items of one byte, an exit each
	mov	$0x10, %dx
	mov	$words_end - words, %cx
	rep outsb

	in	$0x80, %al		# in all three sizes; each must be ones
	cmp	$0xff, %al
	jne	wrong
	in	$0x80, %ax
	cmp	$0xffff, %ax
	jne	wrong
	in	$0x80, %eax
	cmp	$0xffffffff, %eax
	jne	wrong
	mov	$ones, %si
	mov	$ones_end - ones, %cx
	rep outsb

	mov	$0x3000, %di		# and a string in: four words
	mov	$0x80, %dx
	mov	$4, %cx
	rep insw
	mov	$0x3000, %si
	mov	$4, %cx
1:	lodsw
	cmp	$0xffff, %ax
	jne	wrong
	loop	1b
	mov	$insw, %si
	mov	$0x10, %dx
	mov	$insw_end - insw, %cx
	rep outsb
	hlt

wrong:	mov	$'!', %al
	out	%al, $0x10
	hlt

words:	.ascii	" outsb"
words_end:
ones:	.ascii	" ff ffff ffffffff"
ones_end:
insw:	.ascii	" insw\n"
insw_end:
