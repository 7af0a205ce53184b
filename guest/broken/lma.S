# Is never entered: the program is asked for long mode without the bit that says so.
#
# Shows    that KVM_SET_SREGS looks at what it is given: CR0.PG with EFER.LME is long mode, and EFER.LMA must be set
#          too (EINVAL since Linux 4.16)
# Run      RunBiscuitOS.sh --mode long --set efer=0x100 /usr/bin/firmware/broken/lma.bin
# Look for "rule broken: EFER.LME with CR0.PG is long mode: EFER.LMA must say so", before EINVAL; status 1

	.code64
	.text
	.globl	_start
_start:	hlt
