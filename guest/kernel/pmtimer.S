# ACPI's power management timer: 3579545 counts in a second. It is compared with the interval timer, which counts 1193182, and so
# three times as slowly.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/pmtimer.elf; echo $?
# Look for "three counts of the PM timer for each of the interval timer's", and 1

	.include "kernel.inc"
	.set	PM_TIMER, 0x608

	kernel
	mov	$0xe0000, %esi		# the root pointer; from there the XSDT, and its first table: the FADT
	mov	24(%esi), %esi
	mov	36(%esi), %esi
	cmpl	$0x50434146, (%esi)	# "FACP"
	check
	cmpl	$PM_TIMER, 76(%esi)
	check
	cmpl	$PM_TIMER, 212(%esi)	# the extended address field
	check
	cmpl	$0x03002001, 208(%esi)	# which is a port (1), 32 bits wide, from bit 0, read 4 bytes at a time (3)
	check
	testl	$1 << 8, 112(%esi)	# 32 bits
	jz	bad

	mov	$0xb0, %al		# channel 2 of the interval timer: one countdown from 65535, about 55 ms
	out	%al, $0x43
	in	$0x61, %al
	and	$0xfc, %al
	or	$1, %al			# its gate is open, the speaker is off
	out	%al, $0x61
	mov	$PM_TIMER, %edx
	in	%dx, %eax
	mov	%eax, %ebx
	mov	$0xff, %al
	out	%al, $0x42
	out	%al, $0x42		# it begins
1:	in	$0x61, %al		# until the count is over
	test	$0x20, %al
	jz	1b
	in	%dx, %eax
	sub	%ebx, %eax
	cmp	$3 * 65535, %eax	# not less; and not much more, on the slowest host
	jb	bad
	cmp	$3 * 65535 * 2, %eax
	ja	bad
	say	"three counts of the PM timer for each of the interval timer's\n"
	kernel_end
