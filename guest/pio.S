# Port I/O in every size, on the scratch register, and strings in both directions.
#
# Shows    KVM_EXIT_IO with size 1, 2 and 4; that a port is a place, and four ports can be one register; that
#          `rep ins` is one exit for many items, for KVM reads ahead, and `rep outs` an exit for each
# Run      RunBiscuitOS.sh --pause 0 --mode protected --trace=exits /usr/bin/firmware/pio.bin
# Look for "44332211 44aa2211 44aabbcc ccbbaa44": in the trace, each access with its size, and strings with their
#          count: four times 1, and once 4

	.include "lesson.inc"
	.code32
	.text
	.globl	_start
_start:	mov	$0x44332211, %eax
	out	%eax, $SCRATCH		# 4 bytes
	in	$SCRATCH, %eax
	say_eax
	say	" "
	mov	$0xaa, %al
	out	%al, $SCRATCH + 2	# 1, in the middle
	in	$SCRATCH, %eax
	say_eax
	say	" "
	mov	$0xbbcc, %ax
	out	%ax, $SCRATCH		# 2
	in	$SCRATCH, %eax
	say_eax
	say	" "
	cld
	mov	$words, %esi		# strings: of four items the last stays
	mov	$SCRATCH, %edx
	mov	$4, %ecx
	rep outsl
	mov	$words, %edi
	mov	$4, %ecx
	rep insl			# and comes back four times
	mov	words, %eax
	say_eax
	say	"\n"
	hlt
	printing

	.data
	.balign	4
words:	.long	1, 2, 3, 0xccbbaa44
