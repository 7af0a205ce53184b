# 200,000 exits: one byte each, without a newline, then HLT.
#
# Shows    what an I/O exit costs: the guest does nothing but exit
# Run      time RunBiscuitOS.sh /usr/bin/firmware/storm.bin > /dev/null
# Look for the seconds, times 5, in microseconds an exit

	.code16
	.text
	.globl	_start
_start:
	mov	$'.', %al
	mov	$200000, %ecx
1:	out	%al, $0x10
	dec	%ecx
	jnz	1b
	hlt
