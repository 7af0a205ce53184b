# Prints one byte and halts: the shortest life of a VM.
#
# Shows    what making a VM costs: `make bench` times its whole life
# Run      RunBiscuitOS.sh /usr/bin/firmware/halt.bin
# Look for "x", without a newline, and KVM_EXIT_HLT

	.code16
	.text
	.globl	_start
_start:
	mov	$'x', %al
	out	%al, $0x10
	hlt
