# 0xff000000: 64 KiB that behave as memory in every size, although each access exits. Reads above it give ones.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/memory.elf; echo $?
# Look for "memory", and 1

	.include "kernel.inc"
	kernel
	mov	$0xff000000, %edi
	movl	$0x44332211, (%edi)
	movb	$0x99, 1(%edi)
	movw	$0xbbaa, 4(%edi)
	cmpl	$0x44339911, (%edi)
	check
	cmpw	$0xaa44, 3(%edi)
	check
	lock incl (%edi)
	cmpl	$0x44339912, (%edi)
	check
	movl	$7, 0xfffc(%edi)
	cmpl	$7, 0xfffc(%edi)
	check
	cmpl	$-1, 0x10000(%edi)
	check
	mov	$text, %esi		# strings, to and from
	mov	$0xff000100, %edi
	mov	$10, %ecx
	cld
	rep movsb
	mov	$0xff000100, %esi
	mov	$copy, %edi
	mov	$10, %ecx
	rep movsb
	mov	$copy, %esi
	call	print
	kernel_end
	.data
text:	.ascii	"as memory"
	.byte	10
	.bss
copy:	.skip	16
