# The time stamp counter's frequency: two leaves of CPUID tell it, and the PM timer measures it.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/tsc.elf --tsc-khz 3000000; echo $?
# Look for "two leaves agree, and so does the PM timer", and 1

	.include "kernel.inc"
	.set	PM_TIMER, 0x608		# 3579.545 kHz
	.set	KILOHERTZ_OF_PM, 3580

	kernel
	mov	$0x40000000, %eax	# the last of the hypervisor's leaves
	cpuid
	cmp	$0x40000010, %eax
	jb	bad
	mov	$0x40000010, %eax	# EAX: kHz
	cpuid
	mov	%eax, kilohertz
	xor	%eax, %eax		# the last of the processor's leaves
	cpuid
	cmp	$0x15, %eax
	jb	bad
	mov	$0x15, %eax		# the crystal's Hz in ECX, times EBX / EAX
	xor	%ecx, %ecx
	cpuid
	mov	%eax, %esi
	mov	%ecx, %eax
	mov	$1000, %ecx
	xor	%edx, %edx
	div	%ecx
	mul	%ebx
	div	%esi
	cmp	%eax, kilohertz
	check
	say	"two leaves agree, "

	# A host that takes the processor away between two reads spoils a measurement: one of twenty has to be right.
	mov	$20, %ebp
1:	mov	$PM_TIMER, %edx
	in	%dx, %eax
	mov	%eax, %esi
	rdtsc
	mov	%eax, %edi
2:	mov	$PM_TIMER, %edx
	in	%dx, %eax
	sub	%esi, %eax
	cmp	$35795, %eax		# 10 ms
	jb	2b
	mov	%eax, %ebx
	rdtsc
	sub	%edi, %eax
	mov	%eax, %ecx		# what the TSC has counted
	mov	%ebx, %eax
	mull	kilohertz
	mov	$KILOHERTZ_OF_PM, %ebx
	div	%ebx			# and what it should have
	mov	%eax, %ebx
	sub	%ecx, %eax
	jns	3f
	neg	%eax
3:	mov	$100, %ecx		# not more than one of a hundred off
	mul	%ecx
	cmp	%ebx, %eax
	jb	4f
	dec	%ebp
	jnz	1b
	jmp	bad
4:	say	"and so does the PM timer\n"
	kernel_end
	.bss
kilohertz: .long 0
