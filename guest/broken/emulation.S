# Uses an instruction that KVM can't emulate.
#
# Shows    KVM_EXIT_INTERNAL_ERROR: where no RAM is, KVM carries out the access itself, with its own
#          emulator, which knows the common instructions alone; FBLD loads a decimal number of 80 bits
# Run      RunBiscuitOS.sh /usr/bin/firmware/broken/emulation.bin
# Look for the bytes df 25 00 00 00 d0, and RIP at them

	.include "protected.inc"
	.text
	.globl	_start
_start:	enter_protected_mode
	fbld	0xd0000000
	hlt
