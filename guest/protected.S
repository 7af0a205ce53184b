# Goes from real mode to 32-bit protected mode by itself, step by step.
#
# Shows    what protected mode takes: a table of descriptors, GDTR, one bit of CR0, and a far jump
# Run      RunBiscuitOS.sh --pause 0 /usr/bin/firmware/protected.bin
# Look for "real mode, then protected mode": the first half printed by 16-bit code, the second by 32-bit code.
#          With --step: at `0f 22 c0` cr0 gets bit 0 and nothing else changes; the
#          jump after it makes cs.selector 0x8, cs.db 1 and cs.limit 4 GiB
#
# Intel SDM volume 3, "Switching to Protected Mode".

	.include "lesson.inc"
	.code16
	.text
	.globl	_start
_start:	mov	$real, %si		# 1. so far: 16-bit code, segments of 64 KiB
	mov	$real_end - real, %cx
	mov	$CONSOLE, %dx
	cld
	rep outsb
	cli				# 2. no interrupt while there is no table of handlers
	lgdtl	gdt_pointer		# 3. where descriptors are
	mov	%cr0, %eax
	or	$1, %al			# 4. CR0.PE; the code that runs is still 16-bit:
	mov	%eax, %cr0		#    CS keeps what was loaded in real mode
	ljmpl	$8, $1f			# 5. until a jump loads CS from the table
	.code32
1:	mov	$16, %eax		# 6. and the others
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$0x8000, %esp		# 7. a stack: now there can be calls
	say	"protected mode\n"
	hlt
	printing

real:	.ascii	"real mode, then "
real_end:
	.balign	8
gdt:	.quad	0			# selector 0 is none
	.quad	0x00cf9b000000ffff	# selector 8: code, base 0, limit 4 GiB, 32-bit
	.quad	0x00cf93000000ffff	# selector 16: data, likewise
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt
