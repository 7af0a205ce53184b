# Reads and writes where neither RAM nor a device is, in every size.
#
# Shows    KVM_EXIT_MMIO: a write is lost, a read gives ones, and the guest goes on
# Run      RunBiscuitOS.sh /usr/bin/firmware/broken/address.bin
# Look for one message, about address 0xd0000000; KVM_EXIT_HLT; status 0

	.include "protected.inc"
	.text
	.globl	_start
_start:	enter_protected_mode
	mov	$0xd0000000, %esi
	movl	$0x12345678, (%esi)
	cmpl	$-1, (%esi)
	jne	1f
	cmpw	$-1, 4(%esi)
	jne	1f
	cmpb	$-1, 0xfff(%esi)
	jne	1f
	mov	$'\n', %al
	out	%al, $0x10
	hlt
1:	ud2
