# Loops for ever without an exit to user space.
#
# Shows    that a signal reaches even a guest that never leaves
# Run      RunBiscuitOS.sh /usr/bin/firmware/broken/loop.bin
# Look for nothing, until Ctrl-C: status 130, which is 128 + SIGINT

	.code16
	.text
	.globl	_start
_start:
	jmp	_start
