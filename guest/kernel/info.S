# What a Multiboot loader reports: the command line, which begins with the kernel's own name; the modules; the memory map, in which
# the first 640 KiB are free.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/info.elf --initrd FILE --append 'a b'
# Look for the command line, then each module's bytes, then "the memory map and the sizes agree"

	.include "kernel.inc"
	kernel
	mov	info, %ebx
	mov	(%ebx), %eax
	and	$0x4d, %eax		# memory, command line, modules, map
	cmp	$0x4d, %eax
	check
	cmpl	$639, 4(%ebx)
	check
	mov	16(%ebx), %esi
	call	print
	say	"\n"
	mov	20(%ebx), %ecx		# modules: each must begin on a page, and is shown as text
	mov	24(%ebx), %edi
1:	test	%ecx, %ecx
	jz	2f
	testl	$0xfff, (%edi)
	check
	mov	8(%edi), %esi
	call	print
	say	": "
	mov	(%edi), %esi		# behind it RAM is zero
	call	print
	add	$16, %edi
	dec	%ecx
	jmp	1b
2:	mov	48(%ebx), %esi		# the map's first range begins at 0, and the third at 1 MiB, as large as told
	cmpl	$0, 4(%esi)
	check
	cmpl	$0x100000, 24 * 2 + 4(%esi)
	check
	mov	24 * 2 + 12(%esi), %eax
	shr	$10, %eax
	cmp	8(%ebx), %eax
	check
	mov	$0x6000, %edi		# all of it can be written, and the first page that a loader leaves free too
3:	movl	$0x5a5a5a5a, (%edi)
	cmpl	$0x5a5a5a5a, (%edi)
	check
	add	$4096, %edi
	cmp	$0x9f000, %edi
	jbe	3b
	say	"the memory map and the sizes agree\n"
	kernel_end
