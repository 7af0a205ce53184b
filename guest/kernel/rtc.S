# The real-time clock: its RAM keeps what is written; the time is set and goes on; the update, periodic and alarm interrupts come on
# line 8. Interrupts are not taken: the second 8259 shows that they were requested.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/rtc.elf; echo $?
# Look for "RAM, time, update, periodic, alarm", and 1

	.include "kernel.inc"
	kernel
	mov	$0x50, %ah		# a byte of RAM
	mov	$0x5a, %bl
	call	write
	call	read
	cmp	$0x5a, %al
	check
	say	"RAM, "

	mov	$0x0b, %ah		# stop, decimal digits, 24 hours
	mov	$0x82, %bl
	call	write
	mov	$0, %ah			# 23:59:58
	mov	$0x58, %bl
	call	write
	mov	$2, %ah
	mov	$0x59, %bl
	call	write
	mov	$4, %ah
	mov	$0x23, %bl
	call	write
	mov	$0x0b, %ah
	mov	$0x02, %bl
	call	write
1:	mov	$2, %ah			# until midnight
	call	read
	cmp	$0x59, %al
	je	1b
	cmp	$0, %al
	check
	mov	$4, %ah
	call	read
	cmp	$0, %al
	check
	mov	$0x0b, %ah		# stop, binary numbers, 12 hours: 11 p.m.
	mov	$0x84, %bl
	call	write
	mov	$0, %ah
	mov	$58, %bl
	call	write
	mov	$2, %ah
	mov	$59, %bl
	call	write
	mov	$4, %ah
	mov	$0x8b, %bl
	call	write
	mov	$0x0b, %ah
	mov	$0x04, %bl
	call	write
1:	mov	$0x0a, %ah		# it is about to change
	call	read
	test	$0x80, %al
	jz	1b
2:	mov	$0x0a, %ah
	call	read
	test	$0x80, %al
	jnz	2b
	mov	$2, %ah
	call	read
	cmp	$59, %al
	je	1b
	mov	$4, %ah			# 12 a.m.
	call	read
	cmp	$12, %al
	check
	say	"time, "

	mov	$0x12, %bl		# update
	mov	$0x90, %bh
	call	await
	say	"update, "
	mov	$0x0a, %ah		# periodic, 64 times a second
	mov	$0x2a, %bl
	call	write
	mov	$0x42, %bl
	mov	$0xc0, %bh
	call	await
	say	"periodic, "
	mov	$1, %ah			# the alarm comes each second
	mov	$0xff, %bl
	call	write
	mov	$3, %ah
	call	write
	mov	$5, %ah
	call	write
	mov	$0x22, %bl
	mov	$0xa0, %bh
	call	await
	say	"alarm\n"
	kernel_end
	.text
# Register AH becomes BL.
write:	mov	%ah, %al
	out	%al, $0x70
	mov	%bl, %al
	out	%al, $0x71
	ret
# AL becomes register AH.
read:	mov	%ah, %al
	out	%al, $0x70
	in	$0x71, %al
	ret
# Register B becomes BL; waits for its interrupt, and for the flags in BH.
await:	pic	0xa0, 0x28, 2
	mov	$0x0c, %ah		# no flags
	call	read
	mov	$0x0b, %ah
	call	write
2:	mov	$0x0a, %al		# requested?
	out	%al, $0xa0
	in	$0xa0, %al
	test	$1, %al
	jz	2b
	mov	$0x0c, %ah
	call	read
	and	%bh, %al
	cmp	%bh, %al
	check
	mov	$0x0b, %ah		# no interrupts
	mov	$2, %bl
	call	write
	ret
