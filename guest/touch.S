# Writes a byte to every page of RAM, tells how many there are, and halts.
#
# Shows    which pages back the guest: KVM maps memory only when it is touched, so that afterwards
#          /sys/kernel/debug/kvm/*/pages_2m and pages_4k count all of it
# Run      RunBiscuitOS.sh /usr/bin/firmware/touch.bin
#          RunBiscuitOS.sh --base 0x1000 /usr/bin/firmware/touch.bin
#          RunBiscuitOS.sh --backing anon /usr/bin/firmware/touch.bin
# Look for "4096 pages", beside a message about the first address without RAM; and in those two files,
#          during the pause after the line, 8 pages of 2 MiB and none of 4 KiB; in the two
#          counter-examples, none of 2 MiB and 4096 of 4 KiB
#
# Where RAM ends no one tells it: it writes, and reads back. Where no RAM is, a read gives ones.

	.include "protected.inc"
	.text
	.globl	_start
_start:	enter_protected_mode

	xor	%ecx, %ecx		# pages found
	mov	$0xff0, %esi		# a byte near the end of page 0, where this image is not
1:	movb	$0x5a, (%esi)
	cmpb	$0x5a, (%esi)
	je	2f
	test	%ecx, %ecx		# no RAM: below it, if none was found yet, else behind it
	jnz	3f
	jmp	4f
2:	inc	%ecx
4:	add	$0x1000, %esi
	jnc	1b			# 4 GiB at most

3:	mov	%ecx, %eax		# the number in decimal, from the last digit on
	mov	$digits, %edi
	mov	$10, %ebx
5:	xor	%edx, %edx
	div	%ebx
	add	$'0', %dl
	dec	%edi
	mov	%dl, (%edi)
	test	%eax, %eax
	jnz	5b
6:	mov	(%edi), %al
	out	%al, $0x10
	inc	%edi
	cmp	$end, %edi
	jb	6b
	hlt

	.skip	10			# 2^32 - 1 has ten digits
digits:	.ascii	" pages\n"
end:
