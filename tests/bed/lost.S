# Sleeps without having told anyone where to go on. The alarm wakes the machine.

	.include "kernel.inc"
	kernel
	alarm_at_next_second
	sleep_to_ram
	kernel_end
