# Halts with interrupts off.
#
# Shows    KVM_EXIT_HLT: the processor waits for an interrupt that it would not take. A kernel does this to stop
#          for good; here it ends the run
# Run      RunBiscuitOS.sh /usr/bin/firmware/broken/halt.bin
# Look for "RFLAGS.IF is 0: no interrupt could wake it"; status 0

	.code16
	.text
	.globl	_start
_start:	cli
	hlt
