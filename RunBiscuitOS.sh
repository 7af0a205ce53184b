#!/bin/ash
# Prepares huge pages for KOB-2M and starts it with this script's arguments; `--help` lists them.
# It needs busybox alone, and changes nothing that is right already.

# `make install` writes the program's name here.
PROGRAM=BiscuitOS_app
MOUNT=/mnt/HugePagefs
POOL=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
PAGES=20

fail() {
	echo "RunBiscuitOS.sh: $*" >&2
	exit 1
}

if ! grep -q " $MOUNT hugetlbfs " /proc/mounts; then
	mkdir -p $MOUNT || fail "$MOUNT can't be made: are you root?"
	mount -t hugetlbfs -o pagesize=2M none $MOUNT ||
		fail "no hugetlbfs: the kernel needs CONFIG_HUGETLBFS, and you must be root"
fi

# Fewer than asked for is no error here: the program says what it lacks.
if [ "$(cat $POOL)" -lt $PAGES ]; then
	echo $PAGES > $POOL || fail "$POOL can't be written: are you root?"
fi

exec "$(dirname "$0")/$PROGRAM" "$@"
