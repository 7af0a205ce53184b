# Two vCPUs: one wakes the other, and they send each other interrupts.
#
# Shows    a second vCPU that waits for INIT and SIPI, and starts in real mode (SDM volume 3, 9.4); IPIs, without an exit
# Run      RunBiscuitOS.sh --pause 0 --cpus 2 --mode protected --trace=exits /usr/bin/firmware/ipi.bin
# Look for "vCPU 1 is up" from vCPU 1, and "100 round trips"; no exit is for an interrupt

	.include "lesson.inc"
	.include "board.inc"
	.set	TRAMPOLINE, 0x8000
	.code32
	.text
	.globl	_start
_start:	gate	0x40, pong
	gate	0x41, back
	interrupts
	sgdt	TRAMPOLINE + gdtr - second
	mov	$second, %esi		# where SIPI's page number can say it
	mov	$TRAMPOLINE, %edi
	mov	$gdtr - second, %ecx
	cld
	rep movsb
	movl	$1 << 24, APIC + 0x310	# to APIC id 1
	movl	$0x4500, APIC + 0x300	# INIT
	movl	$1 << 24, APIC + 0x310
	movl	$0x4600 + TRAMPOLINE / 4096, APIC + 0x300	# SIPI
1:	pause
	cmpl	$0, up
	je	1b
	sti
	xor	%ebp, %ebp
2:	movl	$1 << 24, APIC + 0x310
	movl	$0x4040, APIC + 0x300	# vector 0x40
	inc	%ebp
3:	pause				# as spin_until does
	cmp	%ebp, backs
	jb	3b
	cmp	$100, %ebp
	jb	2b
	say	"100 round trips\n"
	ring	RING_END

# The second vCPU, copied to TRAMPOLINE: into protected mode, by the first one's GDT.
	.code16
second:	cli
	xor	%ax, %ax
	mov	%ax, %ds
	lgdtl	TRAMPOLINE + gdtr - second
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$8, $third
gdtr:	.skip	6
	.code32
third:	mov	$16, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %ss
	mov	$stack, %esp
	lidt	idtr
	movl	$0x1ff, APIC + 0xf0
	say	"vCPU 1 is up\n"
	movl	$1, up
	sti
5:	hlt
	jmp	5b
pong:	movl	$0, APIC + 0xb0
	movl	$0, APIC + 0x310	# to APIC id 0
	movl	$0x4041, APIC + 0x300
	iret
	counting back, backs
	printing
	board_data
	.bss
up:	.long	0
backs:	.long	0
	.skip	1024
stack:
