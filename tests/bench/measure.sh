# Measures, in the small BiscuitOS. Times are virtual where QEMU counts instructions: they repeat.

P=/usr/bin/BiscuitOS_app
F=/usr/bin/firmware
RAM=/mnt/HugePagefs/BiscuitOS_HugePage

# row NAME PROGRAM FLOOR RUNS UNIT NANOSECONDS: a line of the table: the sums over so many runs, in the
# unit, which has so many nanoseconds; and their ratio.
row() {
	awk -v n="$1" -v a="$2" -v b="$3" -v d="$4" -v u="$5" -v ns="$6" \
		'BEGIN { printf "%-44s %10.3f %10.3f %-3s %6.3f\n", n, a / d / ns, b / d / ns, u, a / b }'
}
figure() { printf '%-44s %10s %s\n' "$1" "$2" "$3"; }
over() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b * 1.10) }'; }
soon() { until "$@"; do usleep 20000; done; }
lines() { [ "$(wc -l < /tmp/out)" -ge 1 ]; }

RunBiscuitOS.sh --version > /dev/null
printf '%-44s %10s %10s %-3s %6s\n' "$(uname -r)" program floor '' ratio
bad=0

set -- $(/bench/turns 20 "$P $F/halt.bin" "/bench/floor $RAM $F/halt.bin")
row 'start to end: one byte, HLT' $1 $2 40 ms 1000000
over $1 $2 && bad=1
set -- $(/bench/turns 2 "$P $F/storm.bin" "/bench/floor $RAM $F/storm.bin")
row 'an I/O exit, of 200000' $1 $2 800000 us 1000
over $1 $2 && bad=1

strace -o /tmp/trace $P $F/halt.bin > /dev/null 2>&1
figure 'system calls from exec to the first KVM_RUN' "$(sed '1d; /KVM_RUN/,$d' /tmp/trace | wc -l)"
strace -o /tmp/trace /bench/floor $RAM $F/halt.bin > /dev/null 2>&1
figure '  of the floor' "$(sed '1d; /KVM_RUN/,$d' /tmp/trace | wc -l)"
figure 'program' "$(stat -c %s $P)" bytes

# faults NAME ARGUMENT...: of a guest that has touched all its RAM and pauses. It also looks at the resident memory.
faults() {
	name=$1
	shift
	: > /tmp/out
	$P --pause 60 "$@" $F/touch.bin > /tmp/out 2> /dev/null &
	soon lines
	resident=$(awk '/^Rss/ { print $2 }' /proc/$!/smaps_rollup)
	figure "$name" "$(cat /sys/kernel/debug/kvm/*-*/pf_taken)"
	kill $!
	wait $! 2> /dev/null
}
faults 'nested page faults of touch: 2 MiB pages'
# Huge pages do not count as resident: what is left is the program's own.
own=$resident
faults '  slot at 0x1000' --base 0x1000
faults '  anonymous memory' --backing anon
figure "resident memory without the guest's" "$own" KiB

[ $bad = 0 ] || echo 'more than 1.10 of the floor' >&2
exit $bad
