# Dies of a triple fault.
#
# Shows    KVM_EXIT_SHUTDOWN: the exception finds no handler, the double fault finds none, and the
#          processor gives up
# Run      RunBiscuitOS.sh /usr/bin/firmware/broken/triple.bin
# Look for the state after a reset: on AMD, KVM resets a vCPU that shut down

	.include "protected.inc"
	.text
	.globl	_start
_start:	enter_protected_mode
	lidt	none			# an IDT of no entries
	ud2
none:	.word	0
	.long	0
