# Port 0xe4: the host's mapping of a page is dropped. The guest sees nothing of it: what is there stays there.
#
# Run      RunBiscuitOS.sh --stats --kernel /usr/bin/firmware/kernel/drop.elf; echo $?
# Look for "100 pages dropped", and 1; with --stats, two page faults for each

	.include "kernel.inc"
	kernel
	mov	$0x800000, %edi
	mov	$100, %ecx
1:	mov	%ecx, (%edi)
	mov	%edi, %eax
	out	%eax, $0xe4
	cmp	%ecx, (%edi)
	check
	add	$4096, %edi
	loop	1b
	say	"100 pages dropped\n"
	kernel_end
