# Goes from protected mode to 64-bit long mode by itself, over page tables of its own.
#
# Shows    the order that long mode asks for: tables, CR4.PAE, CR3, EFER.LME, CR0.PG, and a far jump to a
#          segment with L; and page tables as numbers: 3 pages map the first 2 MiB and, a second time,
#          themselves 1 GiB higher
# Run      RunBiscuitOS.sh --pause 0 --mode protected /usr/bin/firmware/long.bin
# Look for "EFER 00000500": LME, which the guest set, and LMA, which the processor added; then the first
#          entry of the PML4, read at its address and again 1 GiB higher: the same
#
# Intel SDM volume 3, "Initializing IA-32e Mode". `--mode long` starts here at once, with tables for 4 GiB.

	.include "lesson.inc"
	.set	PML4, 0x100000		# each a page of 512 entries of 8 bytes
	.set	PDPT, 0x101000
	.set	PD, 0x102000
	.set	TABLE, 3		# present, writable
	.set	PAGE, 0x83		# and with PS: a page of 2 MiB, not a table

	.code32
	.text
	.globl	_start
_start:	movl	$PDPT | TABLE, PML4	# 1. the upper halves stay 0, as RAM is
	movl	$PD | TABLE, PDPT	#    addresses from 0 on
	movl	$PD | TABLE, PDPT + 8	#    and from 1 GiB on: the same
	movl	$0 | PAGE, PD
	mov	%cr4, %eax
	or	$1 << 5, %eax		# 2. PAE: entries of 8 bytes
	mov	%eax, %cr4
	mov	$PML4, %eax		# 3. where the walk begins
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx	# 4. EFER.LME
	rdmsr
	or	$1 << 8, %eax
	wrmsr
	mov	%cr0, %eax
	or	$1 << 31, %eax		# 5. paging: from here on this is long mode, but
	mov	%eax, %cr0		#    CS says 32-bit code
	lgdt	gdt_pointer
	ljmp	$8, $1f			# 6. a segment with L
	.code64
1:	mov	$0x8000, %esp		# a stack where the tables map it
	say	"64-bit mode, EFER "
	mov	$0xc0000080, %ecx
	rdmsr
	say_eax
	say	", PML4[0] "
	mov	PML4, %eax
	say_eax
	say	" and "
	mov	PML4 + 0x40000000, %eax
	say_eax
	say	"\n"
	hlt
	printing

	.balign	8
gdt:	.quad	0
	.quad	0x00af9b000000ffff	# selector 8: code, L set and D clear
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt
