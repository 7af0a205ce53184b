# Loads page tables that map nothing.
#
# Shows    a page fault that nobody handles: the next instruction can't be fetched, nor can the handler
# Run      RunBiscuitOS.sh --mode long --replay /usr/bin/firmware/broken/tables.bin
# Look for KVM_EXIT_SHUTDOWN; in the replay, 0f 22 d8, which loads CR3 with rax; behind it there is nothing to fetch
#          any more: the walk ends at once, since 0x300000 holds zeros

	.code64
	.text
	.globl	_start
_start:	mov	$0x300000, %eax
	mov	%rax, %cr3
	hlt
