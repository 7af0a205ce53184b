# Starts in protected mode: the program has set it up.
#
# Shows    that a mode is a state of registers: KVM_SET_SREGS loads them, hidden parts of segments too,
#          and no instruction of the guest is needed
# Run      RunBiscuitOS.sh --pause 0 --mode protected /usr/bin/firmware/flat.bin
#          RunBiscuitOS.sh --pause 0 --mode protected --trace=calls /usr/bin/firmware/flat.bin
# Look for "protected mode, CR0 00000033"; in the trace, the line of KVM_SET_SREGS: what protected.bin did in
#          seven steps

	.include "lesson.inc"
	.code32
	.text
	.globl	_start
_start:	say	"protected mode, CR0 "
	mov	%cr0, %eax
	say_eax
	say	"\n"
	hlt
	printing
