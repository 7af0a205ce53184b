# Off, and resets: which one, the command line's last letter says.
#
# Run      RunBiscuitOS.sh --kernel /usr/bin/firmware/kernel/off.elf --append 'o'; echo $?
# Look for 0: o ACPI's PM1a control, as \_S5 says it; r ACPI's reset register; k the keyboard controller; p port 0x92; t a triple fault: 3

	.include "kernel.inc"
	kernel
	mov	info, %ebx
	mov	16(%ebx), %esi
1:	lodsb
	test	%al, %al
	jz	2f
	mov	%al, %bl
	jmp	1b
2:	cmp	$'o', %bl
	jne	3f
	mov	$0x604, %edx
	mov	$1 << 13 | 0 << 10, %ax
	out	%ax, %dx
3:	cmp	$'r', %bl
	jne	4f
	mov	$0xcf9, %edx
	mov	$6, %al
	out	%al, %dx
4:	cmp	$'k', %bl
	jne	5f
	mov	$0xfe, %al
	out	%al, $0x64
5:	cmp	$'p', %bl
	jne	6f
	in	$0x92, %al
	or	$1, %al
	out	%al, $0x92
6:	lidt	nothing
	ud2
	kernel_end
	.data
nothing: .quad	0
