# Pushes until its stack has left RAM at the lower end, and returns.
#
# Shows    what a lost push does: the write goes to nobody, the read gives ones, and `ret` jumps there
# Run      RunBiscuitOS.sh --mode protected --base 0x10000 --load 0x11000 /usr/bin/firmware/broken/stack.bin
# Look for the message about the first address without RAM, 0xfffc: that is the true cause; then the report, where
#          RIP is 0xffffffff, and the stack has no RAM

	.code32
	.text
	.globl	_start
_start:	mov	$0x10008, %esp		# RAM begins at 0x10000: two pushes fit
	push	%eax
	push	%eax
	call	1f
1:	ret
