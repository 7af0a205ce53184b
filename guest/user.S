# Starts in ring 3, and tries what only ring 0 may.
#
# Shows    that a ring is two bits of CS; that port I/O is a matter of RFLAGS.IOPL; and what becomes of a guest
#          that has no handler for its exceptions
# Run      RunBiscuitOS.sh --pause 0 --mode user --replay /usr/bin/firmware/user.bin
# Look for "ring 3 may use ports"; then the report of a triple fault, since `hlt` in ring 3 is a #GP and there is
#          no IDT; in the replay, the last instruction is f4, which is `hlt`, and the mode says "ring 3".
#          ring3.bin has an IDT and lives

	.include "lesson.inc"
	.code64
	.text
	.globl	_start
_start:	mov	%cs, %eax
	and	$3, %al
	add	$'0', %al
	mov	%al, digit
	mov	$text, %esi		# a loop here, and no call of `print`: the replay is shorter
	mov	$text_end - text, %ecx
	mov	$CONSOLE, %edx
1:	mov	(%esi), %al
	out	%al, %dx
	inc	%esi
	loop	1b
	hlt

text:	.ascii	"ring "
digit:	.ascii	"? may use ports\n"
text_end:
