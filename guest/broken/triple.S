# Dies of a triple fault.
#
# Shows    KVM_EXIT_SHUTDOWN: the exception finds no handler, the double fault finds none, and the
#          processor gives up. On AMD, KVM resets a vCPU that shut down: what was, only a replay tells
# Run      RunBiscuitOS.sh --mode protected --replay /usr/bin/firmware/broken/triple.bin
# Look for the state after a reset; then, in the replay, `lidt` (0f 01 1d) and `ud2` (0f 0b), which is the last
#          instruction; and before it an idt with limit 0

	.code32
	.text
	.globl	_start
_start:	lidt	none			# an IDT of no entries
	ud2
none:	.word	0
	.long	0
