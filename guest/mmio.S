# Memory-mapped I/O in every size, on the lessons' page.
#
# Shows    KVM_EXIT_MMIO: an access that no slot covers exits as port I/O does, but KVM must decode the
#          instruction to know what it does; 8 bytes are possible here, and a string instruction exits once per item
# Run      RunBiscuitOS.sh --pause 0 --mode long --trace=exits /usr/bin/firmware/mmio.bin
# Look for "55667788 5566aabb 556600bb 000000cc, time goes on": in the trace, each access with its len

	.include "lesson.inc"
	.code64
	.text
	.globl	_start
_start:	mov	$LESSON_PAGE, %ebx
	movabs	$0x1122334455667788, %rax
	mov	%rax, (%rbx)		# 8 bytes
	mov	(%rbx), %eax		# 4, of these
	say_eax
	say	" "
	movw	$0xaabb, (%rbx)		# 2
	mov	(%rbx), %rax
	say_eax
	say	" "
	movb	$0, 1(%rbx)		# 1
	mov	(%rbx), %eax
	say_eax
	say	" "
	cld
	mov	$three, %esi		# a string, forwards: three bytes to three places
	mov	%rbx, %rdi
	mov	$3, %ecx
	rep movsb
	movzbl	2(%rbx), %eax
	say_eax
	mov	8(%rbx), %r8		# the time, twice
1:	mov	8(%rbx), %rax
	cmp	%r8, %rax
	jbe	1b
	say	", time goes on\n"
	hlt
	printing

	.data
three:	.byte	0xaa, 0xbb, 0xcc
