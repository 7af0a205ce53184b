# fw_cfg: what QEMU tells test kernels of the machine. Items are read through a port; a named one is looked for in the directory, and
# copied by DMA.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/fwcfg.elf --cpus 2 --fw-cfg greeting=FILE; echo $?
# Look for the number of processors, the file's text, the command line, the text of an --initrd, and 1

	.include "kernel.inc"
	.set	SELECTOR, 0x510
	.set	DATA, 0x511
	.set	DMA_LOW, 0x518		# the lower half of a request's address; a write to it carries the request out
	.set	DIRECTORY, 0x19

	kernel
	xor	%eax, %eax		# item 0: "QEMU"
	call	select
	call	four
	cmp	$0x554d4551, %eax
	check
	mov	$1, %eax		# item 1, bit 1: there is DMA
	call	select
	call	four
	test	$2, %al
	jz	bad
	say	"processors: "
	mov	$5, %eax		# item 5: how many
	call	select
	call	four
	add	$'0', %al
	mov	$SERIAL, %edx
	out	%al, %dx
	say	"\nopt/greeting: "

	mov	$DIRECTORY, %eax	# how many entries; of each four bytes of size, two of the item, two of nothing, and the name
	call	select
	call	four
	bswap	%eax
	mov	%eax, %ebp
1:	test	%ebp, %ebp
	jz	bad			# it is not there
	dec	%ebp
	mov	$entry, %edi
	mov	$64, %ecx
	mov	$DATA, %edx
	cld
	rep insb
	mov	$entry + 8, %edi
	mov	$wanted, %esi
	mov	$wanted_end - wanted, %ecx
	repe cmpsb
	jne	1b

	mov	entry, %eax		# all fields of a request are big-endian, and so is its address
	mov	%eax, request + 4
	movzwl	entry + 4, %eax
	or	$0x0a000000, %eax	# select what the upper half says, and read
	mov	%eax, request
	mov	$text, %eax
	bswap	%eax
	mov	%eax, request + 12
	mov	$request, %eax
	bswap	%eax
	mov	$DMA_LOW, %edx
	out	%eax, %dx
	cmpl	$0, request		# done, without an error
	check
	mov	$text, %esi
	call	print

	mov	$0x11, %eax		# the kernel's file
	call	select
	call	four
	cmp	$0x464c457f, %eax	# ELF
	check
	mov	$0x08, %eax		# its size
	call	select
	call	four
	cmp	$4096, %eax
	jb	bad
	say	"command line: "
	mov	$0x14, %eax		# the command line's size, with its zero, and its bytes
	call	select
	call	four
	mov	%eax, %ecx
	mov	$0x15, %eax
	call	select
	mov	$DATA, %edx
	mov	$text, %edi
	rep insb
	cmpb	$0, -1(%edi)
	check
	mov	$text, %esi
	call	print
	say	"\ninitrds: "
	mov	$0x0b, %eax		# likewise
	call	select
	call	four
	mov	%eax, %ecx
	mov	$0x12, %eax
	call	select
	mov	$DATA, %edx
	mov	$text, %edi
	rep insb
	movb	$0, (%edi)
	mov	$text, %esi
	call	print
	kernel_end
	.text
select:	mov	$SELECTOR, %edx
	out	%ax, %dx
	ret
four:	mov	$DATA, %edx		# the item's next four bytes
	xor	%eax, %eax
	mov	$4, %ecx
2:	in	%dx, %al
	ror	$8, %eax
	loop	2b
	ret
	.data
wanted:	.asciz	"opt/greeting"
wanted_end:
	.balign	8
request: .long	0, 0, 0, 0		# what to do, length, address
	.bss
entry:	.skip	64
text:	.skip	4096
