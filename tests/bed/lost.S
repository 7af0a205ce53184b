# Sleeps without having told anyone where to go on. The alarm wakes the machine.

	.include "kernel.inc"
	kernel
	mov	$1, %al			# any second, minute, hour
1:	mov	%al, %ah
	out	%al, $0x70
	mov	$0xff, %al
	out	%al, $0x71
	mov	%ah, %al
	add	$2, %al
	cmp	$7, %al
	jb	1b
	mov	$0x0b, %al
	out	%al, $0x70
	mov	$0x22, %al
	out	%al, $0x71
	mov	$0x602, %edx
	mov	$1 << 10, %eax
	out	%ax, %dx
	mov	$0x604, %edx
	mov	$1 << 13 | 1 << 10, %eax
	out	%ax, %dx
2:	hlt
	jmp	2b
	kernel_end
