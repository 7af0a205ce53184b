# Instructions that are hard to step across, in 64-bit code from 0x1100 on; and what must not be left of a step. It ends with
# status 1, and with 3 if a copy of RFLAGS has TF set, or if the timer's interrupt has not come once. INT is not here: the stub
# steps it by a breakpoint at the handler, which QEMU's emulated SVM does not have.

	.set	TF, 1 << 8
	.set	EXIT, 0xf4
	.code64
	.text
	.globl	_start
_start:	lidt	idt_pointer
	mov	$0x11, %al		# the first 8259: vector 0x20, and line 0 alone
	out	%al, $0x20
	mov	$0x20, %al
	out	%al, $0x21
	mov	$4, %al
	out	%al, $0x21
	mov	$1, %al
	out	%al, $0x21
	mov	$0xfe, %al
	out	%al, $0x21
	mov	$0x30, %al		# the interval timer, once, after 1 ms
	out	%al, $0x43
	mov	$0xa9, %al
	out	%al, $0x40
	mov	$4, %al
	out	%al, $0x40
	mov	$0xc0000080, %ecx	# EFER: SYSCALL is on
	rdmsr
	or	$1, %al
	wrmsr
	mov	$0xc0000081, %ecx	# STAR: ring 0's code segment
	mov	$0x18, %edx
	xor	%eax, %eax
	wrmsr
	mov	$0xc0000082, %ecx	# LSTAR
	mov	$called, %eax
	xor	%edx, %edx
	wrmsr
	mov	$0xc0000084, %ecx	# SFMASK: all flags stay
	xor	%eax, %eax
	wrmsr
	pushq	$0x10			# for IRETQ: SS, RSP,
	push	%rsp
	pushq	$0x202			# RFLAGS, with interrupts on,
	pushq	$0x18			# CS, RIP
	pushq	$back
	mov	$_start, %esi
	mov	$0x3000, %edi
	mov	$3, %ecx
	jmp	steps

	.org	0x100
steps:	rep movsb
	pushfq
	pop	%rbx
	sti
	nop				# QEMU takes a HLT right behind STI for a part of it
	hlt
	nop
	syscall
	iretq
back:	nop
	or	%r11d, %ebx
	test	$TF, %ebx
	jnz	bad
1:	pause
	cmpl	$1, ticks
	jb	1b
	jne	bad
	xor	%eax, %eax
	jmp	end
bad:	mov	$1, %eax
end:	mov	$EXIT, %edx
	out	%eax, %dx

called:	jmp	*%rcx
tick:	push	%rax
	incl	ticks
	mov	$0x20, %al
	out	%al, $0x20
	pop	%rax
	iretq

	.balign	8
ticks:	.long	0
idt_pointer:
	.word	0x21 * 16 - 1
	.quad	gate - 0x20 * 16
	.balign	8
gate:	.word	tick, 0x18, 0x8e00	# present, an interrupt gate of ring 0
	.skip	10
