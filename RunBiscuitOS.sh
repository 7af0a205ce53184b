#!/bin/ash
# Prepares huge pages for KOB-2M and starts it with this script's arguments; `--help` lists them.
# It needs busybox alone, and changes nothing that is right already.

# `make install` writes the program's name here.
PROGRAM=BiscuitOS_app
MOUNT=/mnt/HugePagefs
POOL=/sys/kernel/mm/hugepages/hugepages-2048kB
# Enough for the default guest; for more RAM, which a kernel has, as many as it takes.
PAGES=20

fail() {
	echo "RunBiscuitOS.sh: $*" >&2
	exit 1
}

program=$(dirname "$0")/$PROGRAM
# How much RAM the arguments ask for, and from where. A value that is no number, the program refuses. A word behind an option
# that takes a value is that value.
size= kernel= backing= cpu= snapshot= takes=
for word; do
	case $takes in
	size) size=$word ;;
	backing) backing=$word ;;
	cpu) cpu=$word ;;
	snapshot) snapshot=$word ;;
	esac
	[ ! "$takes" ] || { takes= && continue; }
	case $word in
	--) break ;;
	# A question needs no huge pages.
	-h* | -V* | --h* | --v* | --le* | -lesson) exec "$program" "$@" ;;
	-m | -memory | --me | --mem | --memo | --memor | --memory) takes=size ;;
	--me*=*) size=${word#*=} ;;
	-m[0-9]*) size=${word#-m} ;;
	-k | -kernel) kernel=256M takes=other ;;
	-k* | --k*=*) kernel=256M ;;
	--k*) kernel=256M takes=other ;;
	-b | -backing) takes=backing ;;
	-base) takes=other ;;
	-b*) backing=${word#-b} ;;
	--bac*=*) backing=${word#*=} ;;
	--bac*) takes=backing ;;
	-cpu | --cpu) takes=cpu ;;
	--cpu=*) cpu=${word#*=} ;;
	--rest*=*) snapshot=${word#*=} ;;
	-restore | --rest*) takes=snapshot ;;
	--*=*) ;;
	-[ipc] | -initrd | -append | -params | -cpus | -smp | --bas* | --l* | --e* | --mo* | --se* | --sa* | --pa* | --in* | --a* | --cp* | \
		--rese* | --trace-*) takes=other ;;
	esac
done
# Neither does this one, nor such memory.
case $backing:$cpu in
thp:* | anon:* | *:help) exec "$program" "$@" ;;
esac
# A snapshot's header says where its RAM is in it, 0 for elsewhere, and how large RAM is: docs/snapshot.md.
if [ -f "$snapshot" ]; then
	set_size() { size=$2 && [ "$1" = 0 ]; }
	set_size $(od -A n -t u8 -j 24 -N 16 "$snapshot" 2> /dev/null) || [ "$backing" ] || exec "$program" "$@"
fi
size=${size:-$kernel}
case $size in
*[kK]) shift=10 ;;
*[mM]) shift=20 ;;
*[gG]) shift=30 ;;
*) shift=0 ;;
esac
number=${size%[kKmMgG]}
case $number in
# The program says what is wrong with a number, such as one that does not fit in 64 bits.
'' | 0 | 0[!x]* | *[!0-9a-fA-Fx]* | [!0]*[!0-9]* | ????????????????*) ;;
*)
	needed=$(((number << shift) / 2097152 + 4))
	[ $needed -le $PAGES ] || PAGES=$needed
	;;
esac

if ! grep -q " $MOUNT hugetlbfs " /proc/mounts; then
	mkdir -p $MOUNT || fail "$MOUNT can't be made: are you root?"
	mount -t hugetlbfs -o pagesize=2M none $MOUNT ||
		fail "no hugetlbfs: the kernel needs CONFIG_HUGETLBFS, and you must be root"
fi

# The default file of an earlier run holds pages, or their reservations, for its whole size. A run with it has them again, but not one that
# goes on from a copy of it.
held=
[ "$backing$snapshot" ] || held=$(stat -c %s $MOUNT/BiscuitOS_HugePage 2> /dev/null)
available=$(($(cat $POOL/free_hugepages) - $(cat $POOL/resv_hugepages) + ${held:-0} / 2097152))

# Fewer than asked for is no error here: the program says what it lacks. If it would not start, the pool becomes what it was.
if [ $available -lt $PAGES ]; then
	pool=$(cat $POOL/nr_hugepages)
	echo $((pool + PAGES - available)) > $POOL/nr_hugepages || fail "$POOL/nr_hugepages can't be written: are you root?"
	"$program" --check "$@" > /dev/null 2>&1 || echo "$pool" > $POOL/nr_hugepages
fi

exec "$program" "$@"
