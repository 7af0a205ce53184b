# Port 0xf4: 32 bits V end the machine with status (V << 1) | 1.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/exit.elf; echo $?
# Look for 85

	.include "kernel.inc"
	kernel
	mov	$42, %eax
	out	%eax, $EXIT
	kernel_end
