# Talks to a port that nobody answers.
#
# Shows    that a PC's bus floats: a write is lost, a read gives ones, and the guest goes on
# Run      RunBiscuitOS.sh /usr/bin/firmware/broken/port.bin
# Look for one message about port 0x80, none about 0x81, which is nobody's either; KVM_EXIT_HLT; status 0

	.code16
	.text
	.globl	_start
_start:
	out	%al, $0x80
	in	$0x81, %al
	cmp	$0xff, %al
	jne	1f
	mov	$'\n', %al
	out	%al, $0x10
	hlt
1:	ud2
