# PCI Express' configuration space: ACPI's table MCFG tells where it lies, and there each function has 4 KiB. QEMU's test device is looked
# for, and its first BAR is sized.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/ecam.elf; echo $?
# Look for "the test device, its BAR, nothing behind", and 1

	.include "kernel.inc"
	.set	FUNCTIONS, 256		# of bus 0

	kernel
	mov	$0xe0000, %esi		# the root pointer, the XSDT, and of its tables MCFG
	mov	24(%esi), %esi
	mov	4(%esi), %ecx
	add	%esi, %ecx		# where it ends
	add	$36, %esi
1:	cmp	%ecx, %esi
	jae	bad
	mov	(%esi), %eax
	add	$8, %esi
	cmpl	$0x4746434d, (%eax)	# "MCFG"
	jne	1b
	mov	44(%eax), %ebp
	cmpl	$0, 48(%eax)		# below 4 GiB
	check
	cmpl	$0, 52(%eax)		# segment 0, buses 0 to 0
	check
	mov	%ebp, %edi
	mov	$FUNCTIONS, %ecx
2:	cmpl	$0x00051b36, (%edi)
	je	3f
	add	$4096, %edi
	loop	2b
	jmp	bad
3:	say	"the test device, "
	mov	0x10(%edi), %ebx
	movl	$-1, 0x10(%edi)
	mov	0x10(%edi), %eax
	cmp	$0xfffff000, %eax
	check
	mov	%ebx, 0x10(%edi)
	cmp	0x10(%edi), %ebx
	check
	movw	$0, 4(%edi)		# a half of a register: addresses off
	cmpw	$0, 4(%edi)
	check
	movb	$2, 4(%edi)		# and a byte: on
	cmpb	$1, 1(%ebx)		# it answers there, with the width of a test
	je	4f
	movb	$0, (%ebx)
	cmpb	$1, 1(%ebx)
	check
4:	say	"its BAR, "
	cmpl	$-1, 0x100(%edi)	# it is no PCI Express device: nothing is behind 256 bytes
	check
	cmpl	$-1, 4096(%edi)		# no function
	check
	say	"nothing behind\n"
	kernel_end
