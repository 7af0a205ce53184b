# The serial port, polled: 8 data bits, FIFOs, the loop; then each byte that is typed comes back, until a dot.
#
# Run      echo 'abc.' | RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/serial.elf; echo $?
# Look for "abc.", and 1

	.include "kernel.inc"
	kernel
	mov	$SERIAL + 3, %edx
	mov	$0x83, %al		# the divisor, 8 bits
	out	%al, %dx
	mov	$SERIAL, %edx
	mov	$1, %al
	out	%al, %dx
	inc	%edx
	dec	%al
	out	%al, %dx
	mov	$SERIAL + 3, %edx
	mov	$3, %al
	out	%al, %dx
	dec	%edx			# FIFOs on, and emptied
	mov	$7, %al
	out	%al, %dx
	mov	$SERIAL + 4, %edx
	mov	$0x1f, %al		# the loop
	out	%al, %dx
	mov	$SERIAL, %edx
	mov	$0x5a, %al
	out	%al, %dx
	in	%dx, %al
	cmp	$0x5a, %al
	check
	mov	$SERIAL + 4, %edx
	mov	$3, %al
	out	%al, %dx
1:	mov	$SERIAL + 5, %edx
	in	%dx, %al
	test	$1, %al
	jz	1b
	mov	$SERIAL, %edx
	in	%dx, %al
	out	%al, %dx
	cmp	$'.', %al
	jne	1b
	say	"\n"
	kernel_end
