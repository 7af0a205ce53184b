# Ports 0x2000 and following: each moves an interrupt line, here line 9 of the 8259s.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/lines.elf; echo $?
# Look for "line 9 up, line 9 down", and 1

	.include "kernel.inc"
	kernel
	mov	$9, %ebx
	mov	$0x2009, %edx
	mov	$1, %al
	out	%al, %dx
	call	request
	cmp	$2, %al
	check
	say	"line 9 up, "
	mov	$0x2009, %edx
	xor	%eax, %eax
	out	%al, %dx
	call	request
	cmp	$0, %al
	check
	say	"line 9 down\n"
	kernel_end
	.text
# What the second 8259 has been asked for, as long as a line is up: it is a level now.
request: mov	$0x4d1, %edx		# lines 8 to 15: levels or edges
	mov	$2, %al
	out	%al, %dx
	mov	$0x0a, %al		# to be read: the requests
	out	%al, $0xa0
	in	$0xa0, %al
	and	$2, %al
	ret
