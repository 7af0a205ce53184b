# Boots Linux on several vCPUs in virtual time, on this one processor.

# several CPUS: the milliseconds from exec to power-off.
#
# The emulator can hang here, and then it is tried once more. QEMU 7.2's emulated SVM can deliver an interrupt twice that KVM has
# injected once, also where the guest has interrupts off (helper_vmrun leaves `exception_index` set, and with -icount the end of a
# budget delivers it): Linux then waits for a lock that it holds itself. QEMU's own KVM hangs alike there.
several() {
	for try in 1 2; do
		before=$(awk '{ print $1 * 1000 }' /proc/uptime)
		timeout 20 /usr/bin/BiscuitOS_app -b anon --kernel /boot/vmlinuz --initrd /boot/initrd --cpus "$1" \
			--append 'console=ttyS0 quiet do=off' > /tmp/out 2> /tmp/err < /dev/null && status=0 || status=$?
		after=$(awk '{ print $1 * 1000 }' /proc/uptime)
		[ $status != 0 ] || break
		echo "the emulator hung with $1 vCPUs" >&2
	done
	grep -q "KOB-2M: .* $1 CPUs" /tmp/out || { echo "MISSED: Linux on $1 vCPUs does not finish" >&2; bad=1; }
	printf '%-44s %10s ms\n' "exec to power-off: Linux on $1 vCPUs" $((after - before))
}
bad=0
several 1
several 2
several 4
exit $bad
