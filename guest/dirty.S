# Writes to some pages, and asks which ones KVM has seen written.
#
# Shows    KVM_MEM_LOG_DIRTY_PAGES and KVM_GET_DIRTY_LOG: a bit for each page, taken and cleared at once; what
#          makes the copy of a running guest to another host possible
# Run      RunBiscuitOS.sh --pause 0 --mode long --dirty-log /usr/bin/firmware/dirty.bin
#          RunBiscuitOS.sh --pause 0 --mode long --dirty-log --stats /usr/bin/firmware/dirty.bin
# Look for a first list with the pages that it has written: 0x200000 to 0x202fff, and 0x400000; then another with
#          0x600000: each page that it writes is reported once. Four more are listed: KVM notes a page when it
#          maps it writable, as the image's own at 0x1000; and with nested paging the processor reads the three
#          page tables at 0xffa000 as if it wrote to them, so that each list has them.
#          With --stats, the reason why KVM maps RAM in pages of 4 KiB

	.include "lesson.inc"
	.code64
	.text
	.globl	_start
_start:	movb	$1, 0x200000
	movb	$1, 0x201000
	movb	$1, 0x202fff
	movb	$1, 0x400000
	ring	RING_DIRTY
	movb	$1, 0x600000
	ring	RING_DIRTY
	hlt
