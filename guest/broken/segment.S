# Is never entered: CS claims to be 64-bit and 32-bit code at once.
#
# Shows    KVM_EXIT_FAIL_ENTRY: what KVM does not check, the processor does, and refuses to enter the guest
# Run      RunBiscuitOS.sh --mode long --set cs.db=1 /usr/bin/firmware/broken/segment.bin
# Look for what the hardware's code means; the registers as they were set; "rule broken: CS.L and CS.D together are reserved"; `L` and `D/B` in
#          the line of cs

	.code64
	.text
	.globl	_start
_start:	hlt
