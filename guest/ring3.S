# Goes from ring 0 to ring 3, and comes back by faults.
#
# Shows    what a kernel needs to have a user: segments with DPL 3, a TSS that names the stack of ring 0, an IDT;
#          and what ring 3 may not do: each forbidden instruction is a #GP, whose handler prints its first byte
#          and goes on behind it
# Run      RunBiscuitOS.sh --pause 0 --mode long /usr/bin/firmware/ring3.bin
# Look for "f4 is forbidden, 0f is forbidden, fa is forbidden": hlt, mov to CR3, cli
#
# Intel SDM volume 3, 5.5 (privilege levels), 6.14 (64-bit interrupts), 8.7 (64-bit TSS). The GDT is the one
# that --mode made, with a TSS behind: src/layout.rs has its selectors.

	.include "lesson.inc"
	.set	USER_DATA, 0x23
	.set	USER_CODE, 0x2b
	.set	TSS, 0x30

	.code64
	.text
	.globl	_start
_start:	sgdt	gdt_pointer		# 1. a descriptor of 16 bytes behind the last one
	mov	gdt_pointer + 2, %rbx
	mov	$tss_descriptor, %esi
	lea	TSS(%rbx), %rdi
	mov	$2, %ecx
	rep movsq
	addw	$16, gdt_pointer
	lgdt	gdt_pointer
	mov	$TSS, %eax		# 2. which says where ring 0 has its stack
	ltr	%ax
	mov	$handler, %eax		# 3. vector 13, #GP: a gate of 16 bytes
	mov	%ax, gate
	lidt	idt_pointer
	pushq	$USER_DATA		# 4. as if an interrupt had come from ring 3: SS, RSP,
	pushq	$0x9000
	pushq	$0x0002			#    RFLAGS, with IOPL 0: no ports either, but
	pushq	$USER_CODE		#    the handler prints
	pushq	$user
	iretq

user:	hlt
	mov	%rax, %cr3
	cli
	mov	$1, %ebp
	hlt				# the handler's sign to end

# The stack: error code, RIP, CS, RFLAGS, RSP, SS.
handler:
	test	%ebp, %ebp
	jnz	2f
	mov	8(%rsp), %rbx
	movzbl	(%rbx), %ebx
	mov	%bl, %al		# the byte in two digits
	shr	$4, %al
	call	digit
	mov	%bl, %al
	and	$15, %al
	call	digit
	say	" is forbidden"
	inc	%r8d
	cmp	$3, %r8d
	je	1f
	say	", "
1:	cmp	$0x0f, %bl		# mov to CR3 has three bytes, the others one
	jne	1f
	addq	$2, 8(%rsp)
1:	incq	8(%rsp)
	add	$8, %rsp		# iretq expects no error code
	iretq
2:	say	"\n"
	hlt

digit:	cmp	$10, %al
	jb	1f
	add	$'a' - '0' - 10, %al
1:	add	$'0', %al
	out	%al, $CONSOLE
	ret
	printing

	.balign	8
tss_descriptor:
	.word	0x67, tss		# its limit, and where it is
	.byte	0, 0x89, 0, 0		# present, type 9: a 64-bit TSS
	.quad	0
tss:	.long	0
	.quad	0x8000			# RSP0
	.skip	0x66 - 12
	.word	0x68			# behind its end: there is no map of permitted ports
idt_pointer:
	.word	14 * 16 - 1
	.quad	gate - 13 * 16		# only vector 13 is there; the others would read what is before
gate:	.word	0			# the handler's low 16 bits; the rest is 0
	.word	0x18			# its CS: 64-bit code of ring 0
	.word	0x8e00			# present, an interrupt gate
	.word	0
	.quad	0
gdt_pointer:
	.skip	10
