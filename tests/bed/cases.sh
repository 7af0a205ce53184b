# The program in the small BiscuitOS, on a real /dev/kvm: what a user would type, and what must come back.
#
# A case is a function whose name says what it proves; it fails where one of its commands does. Around
# each case the harness below checks that no process, no lock and no huge page is left.

P=/usr/bin/BiscuitOS_app
F=/usr/bin/firmware
HELLO=$F/_BiscuitOS-VM.iso
RAM=/mnt/HugePagefs/BiscuitOS_HugePage
POOL=/sys/kernel/mm/hugepages/hugepages-2048kB

# ---- what the cases use

# p STATUS ARGUMENT...: runs the program, which must end with STATUS; its output is in `out` and `err`.
p() {
	want=$1 status=0
	shift
	timeout 60 $P "$@" > out 2> err || status=$?
	# What an old Linux lacks is said, and is not what the cases are about.
	! is_old || sed -i '/this KVM has no KVM_CAP_EXIT_HYPERCALL/d' err
	is $status "$want"
}
# Likewise as nobody, who owns nothing.
p_as_nobody() {
	want=$1 status=0
	shift
	su -s /bin/sh nobody -c "cd $PWD; $P $*" > out 2> err || status=$?
	is $status "$want"
}
is() { [ "$1" = "$2" ] || { echo "is '$1', not '$2'"; false; }; }
# Standard error says this; standard output is this.
says() { grep -qF -- "$1" err || { echo "no '$1' in: $(cat err)"; false; }; }
# lacks TEXT FILE: the file does not have it. (A `!` in front of a command never fails a case.)
lacks() { grep -qF -- "$1" "$2" && { echo "'$1' in: $(cat "$2")"; return 1; } || :; }
silent() { is "$(cat err)" ""; }
# Likewise with one space for several, as between columns.
shows() { tr -s ' ' < err | grep -qF -- "$1" || { echo "no '$1' in: $(cat err)"; false; }; }
# only LINE: standard error is this message alone.
only() { is "$(cat err)" "BiscuitOS_app: $1"; }
# The guest ended with the status that was expected, through port 0xf4, and that is all that there was to say.
tells_status() { only "the guest ended with status $want through port 0xf4"; }
prints() { printf "$1" | cmp -s - out || { echo "not '$1' but: $(od -c out | head)"; false; }; }
# start_from FILE ARGUMENT...: the program in the background, which reads the file; its number is $pid.
start_from() {
	input=$1
	shift
	# What the run before has said must not be taken for what this one says.
	: > out
	: > err
	$P "$@" < "$input" > out 2> err &
	pid=$!
}
start() { start_from /dev/null "$@"; }
# soon COMMAND...: waits until it succeeds, half a minute at most: the bed may have half a processor.
soon() {
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || { echo "never: $*"; return 1; }
		usleep 50000
	done
}
lines() { [ "$(wc -l < out)" -ge "$1" ]; }
# ended STATUS: the program in the background ends by itself, with this status. One that does not is killed; how long a busy
# bed takes for it says nothing.
ended() {
	status=0
	(sleep 20; kill -9 $pid) &
	killer=$!
	wait $pid || status=$?
	kill $killer
	is $status "$1"
}
free_pages() { echo $(($(cat $POOL/free_hugepages) - $(cat $POOL/resv_hugepages))); }
# kvm_stat NAME: KVM's own figure for the one VM that there is.
kvm_stat() { cat /sys/kernel/debug/kvm/*-*/"$1"; }
skip() { echo "skip: $*"; exit 77; }
# Whether this is the oldest Linux that there is a kernel of.
is_old() { case $(uname -r) in 5.10.*) true ;; *) false ;; esac; }
counts_pages() {
	! is_old || skip 'this Linux does not count the pages of each size: 5.15 is the first'
}
# maps HUGE SMALL: so many pages of 2 MiB and of 4 KiB KVM maps the guest with.
maps() {
	if is_old; then
		says "KVM maps $1 large pages; before Linux 5.15 it does not count the small ones"
	else
		says "KVM maps $1 of 2 MiB and $2 of 4 KiB"
	fi
}

# ---- the drop-in

the_line_comes_byte_for_byte() {
	RunBiscuitOS.sh --pause 0 2> err | head -n 3 > out
	prints 'Hello BiscuitOS :)\nHello BiscuitOS :)\nHello BiscuitOS :)\n'
	silent
}
the_script_twice_stacks_no_mount_and_keeps_a_larger_pool() {
	for round in 1 2; do
		RunBiscuitOS.sh --pause 0 $F/halt.bin > out 2> err
		prints x
	done
	is "$(grep -c hugetlbfs /proc/mounts)" 1
	is "$(cat $POOL/nr_hugepages)" 20
	echo 25 > $POOL/nr_hugepages
	RunBiscuitOS.sh $F/halt.bin > out 2> err
	is "$(cat $POOL/nr_hugepages)" 25
	# The pages of the default file are no other backing's.
	RunBiscuitOS.sh --backing memfd $F/halt.bin > out 2> err
	is "$(cat $POOL/nr_hugepages)" 28
	prints x
	echo 20 > $POOL/nr_hugepages
	# Small pages, and questions, need none.
	rm $RAM
	echo 3 > $POOL/nr_hugepages
	for arguments in '-b anon' '--backing=thp' '-bthp --memory 64M'; do
		RunBiscuitOS.sh $arguments $F/halt.bin > out 2> err
		prints x
		is "$arguments: $(cat $POOL/nr_hugepages)" "$arguments: 3"
	done
	RunBiscuitOS.sh --cpu help > out
	is "$(cat $POOL/nr_hugepages)" 3
	echo 20 > $POOL/nr_hugepages
}
a_start_that_fails_leaves_the_pool_as_it_was() {
	echo 3 > $POOL/nr_hugepages
	for arguments in --no-such-option missing '--memory 3M' '--memory 9999999999999999999G' '--kernel missing' "--kernel $HELLO" '--initrd x' '--trace-file /nowhere/x' --help; do
		RunBiscuitOS.sh $arguments > out 2> err || :
		is "$arguments: $(cat $POOL/nr_hugepages)" "$arguments: 3"
	done
	RunBiscuitOS.sh $F/halt.bin > out 2> err
	is "$(cat $POOL/nr_hugepages)" 20
}
the_script_hands_on_its_arguments_and_the_status() {
	RunBiscuitOS.sh --no-such-option 2> err && status=0 || status=$?
	is $status 2
	says '--no-such-option: no such option'
	RunBiscuitOS.sh --version > out
	prints 'KOB-2M 0.1.0\n'
}
the_file_can_be_looked_at_while_the_guest_runs_and_afterwards() {
	start
	soon lines 1
	is "$(stat -c '%s %a' $RAM)" '16777216 600'
	# The image, where it was loaded: an offset in the file is an offset in the slot.
	size=$(stat -c %s $HELLO)
	dd if=$RAM bs=1 skip=4096 count=$size 2> /dev/null | cmp - $HELLO
	kill $pid
	ended 143
	is "$(stat -c '%s %a' $RAM)" '16777216 600'
}
the_guest_starts_in_zeros() {
	p 0 --pause 0 $F/touch.bin
	is "$(dd if=$RAM bs=1 skip=$((0x5ff0)) count=1 2> /dev/null | od -An -tx1)" ' 5a'
	p 0 $F/halt.bin
	is "$(dd if=$RAM bs=1 skip=$((0x5ff0)) count=1 2> /dev/null | od -An -tx1)" ' 00'
}
the_original_image_prints_its_zero_bytes() {
	$P --pause 0 $F/original.bin 2> err | head -c 4130 > out
	{ head -c 4111 /dev/zero; printf 'Hello BiscuitOS :)\n'; } | cmp - out
}
the_guest_halts_and_standard_error_says_so() {
	p 0 $F/halt.bin
	prints x
	says 'KVM_EXIT_HLT'
	says 'RIP 0x1005'
}
a_pause_follows_each_newline() {
	start --pause 1.5
	soon lines 1
	before=$(cut -d' ' -f1 /proc/uptime | tr -d .)
	soon lines 2
	took=$(($(cut -d' ' -f1 /proc/uptime | tr -d .) - before))
	kill $pid
	ended 143
	[ $took -ge 120 ] && [ $took -le 1000 ] || { echo "took $took hundredths"; false; }
}
a_pause_stops_one_vcpu_and_the_other_goes_on() {
	p 17 --backing anon --pause 100 --cpus 2 --kernel /root/pause.elf
	prints '\n'
	tells_status
}
port_io_in_every_size_and_strings() {
	p 0 --pause 0 $F/strings.bin
	prints 'bw4 outsb ff ffff ffffffff insw\n'
	says 'no device at port 0x80'
}
a_storm_of_exits_loses_no_byte() {
	p 0 $F/storm.bin
	is "$(wc -c < out)" 200000
	is "$(tr -d . < out)" ""
}
only_the_indispensable_calls_are_made() {
	strace -f -o trace -e trace=ioctl $P --pause 0 $F/halt.bin > out 2> err
	is "$(grep -o 'KVM_[A-Z0-9_]*' trace | tr '\n' ' ')" \
		'KVM_GET_API_VERSION KVM_CREATE_VM KVM_SET_TSS_ADDR KVM_SET_IDENTITY_MAP_ADDR KVM_SET_USER_MEMORY_REGION KVM_GET_VCPU_MMAP_SIZE KVM_CREATE_VCPU KVM_GET_SREGS KVM_SET_SREGS KVM_SET_REGS KVM_RUN KVM_RUN KVM_GET_REGS KVM_GET_SREGS '
}

# ---- which pages

# pages BACKING_PAGES_2M PAGES_4K ARGUMENT...: what KVM maps once the guest has touched all of RAM.
pages() {
	counts_pages
	want="$1 of 2 MiB, $2 of 4 KiB"
	shift 2
	start --pause 9 "$@" $F/touch.bin
	soon lines 1
	got="$(kvm_stat pages_2m) of 2 MiB, $(kvm_stat pages_4k) of 4 KiB"
	kill $pid
	ended 143
	is "$(cat out)" '4096 pages'
	is "$got" "$want"
}
ram_is_mapped_by_2_mib_pages() { pages 8 0; }
the_original_s_slot_gets_none() { pages 0 4096 --base 0x1000; }
anonymous_memory_gets_none() { pages 0 4096 --backing anon; }
anonymous_memory_gets_none_where_transparent_huge_pages_are_on() {
	echo always > /sys/kernel/mm/transparent_hugepage/enabled
	pages 0 4096 --backing anon
}
a_memfd_is_mapped_by_2_mib_pages_without_a_mount() {
	umount /mnt/HugePagefs
	pages 8 0 --backing memfd
	p 0 --stats --pause 0 --backing memfd $F/touch.bin
	says '16 MiB of RAM in 8 pages of 2 MiB of a memfd; KVM maps 8 of 2 MiB and 0 of 4 KiB'
	p 2 --backing memfd --memory 3M
	says '--memory 3M: not a multiple of 2 MiB, the page size of a memfd'
	says 'Next: --memory 4M'
	echo 5 > $POOL/nr_hugepages
	p 1 --backing memfd $F/halt.bin
	says 'mmap a memfd: ENOMEM (12)'
	says '8 pages of 2 MiB are needed; the pool has 5, 5 free'
	echo 20 > $POOL/nr_hugepages
}
transparent_huge_pages_are_mapped_as_such_where_the_host_gives_them() {
	thp=/sys/kernel/mm/transparent_hugepage
	echo madvise > $thp/enabled
	pages 8 0 --backing thp
	p 0 --stats --pause 0 --backing thp $F/touch.bin
	says 'of RAM, anonymous, with transparent huge pages; KVM maps 8 of 2 MiB and 0 of 4 KiB'
	echo never > $thp/enabled
	p 0 --stats --pause 0 --backing thp $F/touch.bin
	echo madvise > $thp/enabled
	says 'KVM maps 0 of 2 MiB and 4096 of 4 KiB: the host had no huge page for the rest'
}
ram_of_an_image_goes_on_above_4_gib() {
	echo 1 > /proc/sys/vm/overcommit_memory
	p 0 --backing anon --memory 5G --trace=calls $F/halt.bin
	echo 0 > /proc/sys/vm/overcommit_memory
	prints x
	says 'slot 0, GPA 0x0, 3 GiB,'
	says 'slot 2, GPA 0x100000000, 2 GiB,'
}
ram_is_mapped_by_1_gib_pages() {
	counts_pages
	gib=/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages
	[ -e $gib ] || skip 'this processor has no 1 GiB pages'
	[ "$(cat $gib)" -gt 0 ] || skip 'this machine has no memory to spare for a page of 1 GiB'
	mkdir -p /mnt/1G
	mount -t hugetlbfs -o pagesize=1G none /mnt/1G
	p 2 --backing /mnt/1G/ram
	says '--memory 16M: not a multiple of 1 GiB, the page size of /mnt/1G/ram'
	[ ! -e /mnt/1G/ram ]
	p 1 --backing /mnt/1G/ram --memory 2G
	says '2 pages of 1 GiB are needed; the pool has 1, 1 free, of which 0 are reserved'
	start --backing /mnt/1G/ram --memory 1G --pause 9 $F/touch.bin
	soon lines 1
	got="$(kvm_stat pages_1g) $(kvm_stat pages_2m) $(kvm_stat pages_4k)"
	kill $pid
	ended 143
	is "$(cat out)" '262144 pages'
	rm /mnt/1G/ram
	umount /mnt/1G
	is "$got" '1 0 0'
}
a_character_device_can_be_ram() {
	p 0 --pause 0 --backing /dev/zero --memory 1M $F/touch.bin
	prints '256 pages\n'
}

# ---- signals, pipes, terminals

a_vm_is_there() { ls -d /sys/kernel/debug/kvm/$pid-* > /dev/null 2>&1; }
stops() {
	signal=$1 status=$2
	shift 2
	start "$@"
	soon a_vm_is_there
	usleep 200000
	kill -$signal $pid
	ended $status
	silent
}
sigint_stops_a_guest_that_never_leaves() { stops INT 130 $F/broken/loop.bin; }
sigterm_stops_a_guest_that_never_leaves() { stops TERM 143 $F/broken/loop.bin; }
sighup_stops_a_guest_that_never_leaves() { stops HUP 129 $F/broken/loop.bin; }
a_signal_stops_the_pause() { stops INT 130 --pause 60 $HELLO; }
a_signal_stops_a_storm_of_exits() { stops TERM 143 --pause 0 $HELLO; }
a_signal_at_any_moment_stops_the_program() {
	for delay in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 25 30 35 40 50 60 70 80 90; do
		start --pause 60
		usleep $((delay * 1000))
		kill -TERM $pid
		ended 143
	done
}
a_hangup_that_is_ignored_stays_so() {
	(trap '' HUP; exec $P --pause 60 > out 2> err) &
	pid=$!
	soon lines 1
	kill -HUP $pid
	usleep 300000
	kill -0 $pid
	kill -TERM $pid
	ended 143
}
a_reader_that_has_gone_ends_the_program_quietly() {
	{ status=0; $P --pause 0 2> err || status=$?; echo $status > status; } | head -n 1 > out
	soon test -s status
	is "$(cat status)" 141
	silent
}
asleep() { for look in 1 2 3 4 5; do grep -q '^State:.S' /proc/$pid/status || return 1; usleep 20000; done; }
a_reader_that_is_stuck_does_not_keep_a_signal_out() {
	mkfifo pipe
	sleep 60 < pipe &
	reader=$!
	$P --pause 0 > pipe 2> err &
	pid=$!
	# The pipe is full once the program sleeps without a pause.
	soon asleep
	kill -TERM $pid
	ended 143
	kill $reader
	silent
}
a_full_disk_is_told() {
	status=0
	$P --pause 0 > /dev/full 2> err || status=$?
	is $status 1
	says 'write standard output: ENOSPC (28)'
}
a_file_size_limit_is_told_and_leaves_nothing() {
	(ulimit -f 100; p 1 $F/halt.bin)
	says "ftruncate $RAM: EFBIG (27)"
	[ ! -e $RAM ]
}
a_closed_standard_output_is_told_and_gets_no_other_file() {
	status=0
	$P --pause 0 $F/halt.bin 2> err >&- || status=$?
	is $status 1
	says 'write standard output: EBADF (9)'
	$P --pause 0 $F/halt.bin > out 2>&- <&-
	prints x
}

# ---- guests that go wrong

a_triple_fault_is_told() {
	p 3 --mode protected $F/broken/triple.bin
	says 'KVM_EXIT_SHUTDOWN: triple fault'
	# AMD's SVM leaves nothing of the state, and KVM resets the vCPU; Intel's VMX leaves it as it was.
	if grep -qw svm /proc/cpuinfo; then
		says 'This is the state after a reset'
	else
		says 'rip 0x1007'
	fi
}
an_instruction_that_kvm_cannot_emulate_is_told() {
	p 3 $F/broken/emulation.bin
	says 'KVM_EXIT_INTERNAL_ERROR: suberror 1, KVM_INTERNAL_ERROR_EMULATION'
	says 'df 25 00 00 00 d0'
	says 'rip 0x1041'
}
a_port_that_nobody_answers_reads_ones() {
	p 0 --pause 0 $F/broken/port.bin
	prints '\n'
	is "$(grep -c 'no device at port' err)" 1
	says 'no device at port 0x80'
}
a_note_does_not_overtake_what_the_guest_said() {
	status=0
	$P --pause 0 $F/strings.bin > both 2>&1 || status=$?
	is $status 0
	is "$(head -c 9 both)" 'bw4 outsb'
}
an_address_that_nobody_answers_reads_ones() {
	p 0 --pause 0 $F/broken/address.bin
	prints '\n'
	is "$(grep -c 'no RAM or device at address' err)" 1
	says 'at address 0xd0000000'
}

# ---- options

an_image_can_be_loaded_and_entered_anywhere() {
	p 0 --load 0x8000 $F/halt.bin
	prints x
	p 0 --load 0x812345 $F/halt.bin
	prints x
	says 'RIP 0x234a, CS base 0x810000'
	# Past its first two instructions: AL is 0, so that nothing but HLT is left of it.
	p 0 --entry 0x1004 $F/halt.bin
	prints ''
	p 0 --base 2M --load 2M $F/halt.bin
	prints x
	p 0 --base 0xff000000 --memory 2M --load 0xff0ffff0 --backing anon $F/halt.bin
	prints x
}
an_image_may_fill_ram_but_no_more() {
	head -c 8187 /dev/zero > image
	cat $F/halt.bin >> image
	p 0 --backing anon --memory 8K --base 0x1000 --entry 0x2ffb image
	prints x
	echo >> image
	p 1 --backing anon --memory 8K --base 0x1000 image
	says 'image: too large for the 8 KiB of RAM from 0x1000 on; needs at least --memory 12K'
	cat image | p 1 --backing anon --memory 8K --base 0x1000 /proc/self/fd/0
	says 'too large for the 8 KiB of RAM from 0x1000 on'
	says 'Raise --memory or lower --load'
}
an_image_can_come_through_a_pipe() {
	cat $F/halt.bin | p 0 /proc/self/fd/0
	prints x
}

# ---- bad input: the thing, the error, the remedy, the status; nothing touched, nothing left

no_kvm_is_told() {
	mv /dev/kvm /dev/kvm.away
	p 1
	mv /dev/kvm.away /dev/kvm
	says 'open /dev/kvm: ENOENT (2): no KVM in this kernel, or no module'
	says 'modprobe kvm_amd || modprobe kvm_intel'
}
no_permission_for_kvm_is_told() {
	p_as_nobody 1
	says 'open /dev/kvm: EACCES (13): permission denied'
	says 'Be root, or join the group that may'
}
a_device_that_is_not_kvm_is_told() {
	mv /dev/kvm /dev/kvm.away
	mknod /dev/kvm c 1 3
	p 1
	rm /dev/kvm
	mv /dev/kvm.away /dev/kvm
	says 'KVM_GET_API_VERSION on /dev/kvm: ENOTTY (25): not KVM'
	says 'mknod /dev/kvm c 10 232'
}
bad_images_are_told() {
	p 1 missing
	says 'open missing: ENOENT (2): no such file'
	p 1 /tmp
	says '/tmp: a directory'
	says 'Name a file in it'
	: > empty
	p 1 empty
	says 'empty: the file is empty'
	p 1 /dev/null
	says '/dev/null: the file is empty'
	p 1 --backing anon /boot/vmlinuz
	says '/boot/vmlinuz: a Linux bzImage, and not raw code'
	says 'Boot it with --kernel /boot/vmlinuz'
	p 1 --backing anon $F/kernel/exit.elf
	says 'exit.elf: an ELF file, and not raw code'
	p 1 --backing anon /dev/zero
	says '/dev/zero: too large for the 15.9 MiB of RAM from 0x1000 on'
	head -c 16777216 /dev/zero > large
	p 1 large
	says 'large: too large for the 15.9 MiB of RAM from 0x1000 on; needs at least --memory 18M'
	p 0 --check -b anon -m 18M large
	cp $HELLO unreadable
	chmod 0 unreadable
	chmod 666 /dev/kvm
	p_as_nobody 1 --backing anon unreadable
	chmod 600 /dev/kvm
	says 'open unreadable: EACCES (13): permission denied'
}
a_bad_image_leaves_the_file_as_it_was() {
	p 0 --pause 0 $F/touch.bin
	p 1 missing
	p 1 --memory 32M /tmp
	is "$(stat -c %s $RAM)" 16777216
	is "$(dd if=$RAM bs=1 skip=$((0x5ff0)) count=1 2> /dev/null | od -An -tx1)" ' 5a'
}
without_hugetlbfs_the_file_is_refused_and_not_left() {
	umount /mnt/HugePagefs
	p 1
	[ ! -e $RAM ]
	says "$RAM: not on hugetlbfs"
	says 'mount -t hugetlbfs none /mnt/HugePagefs; or --backing memfd'
	rmdir /mnt/HugePagefs
	p 1
	says "open $RAM: ENOENT (2): no such directory"
	$(sed -n 's/  As root: \(mkdir -p .*\) &&.*/\1/p' err)
	$(sed -n 's/  As root: .*&& \(mount .*\)/\1/p' err)
	p 0 $F/halt.bin
}
an_interrupted_call_is_made_again() {
	for when in 2 13; do
		strace -f -o /dev/null -e inject=ioctl:error=EINTR:when=$when $P $F/halt.bin > out 2> err
		prints x
	done
	start --pause 2 $F/touch.bin
	soon lines 1
	kill -STOP $pid
	kill -CONT $pid
	wait $pid
	is "$(cat out)" '4096 pages'
}
a_signal_stops_the_wait_for_an_image_from_a_pipe() {
	mkfifo image
	start image
	soon asleep
	kill -TERM $pid
	ended 143
	silent
	# And with somebody who writes slowly.
	{ usleep 300000; head -c 2 $F/halt.bin; usleep 300000; tail -c +3 $F/halt.bin; } > image &
	p 0 image
	prints x
}
bad_backings_are_told() {
	echo precious > plain
	p 1 --backing plain
	says 'plain: not on hugetlbfs'
	is "$(cat plain)" precious
	p 1 --backing /tmp
	says 'open /tmp: EISDIR (21)'
	ln -s $RAM link
	p 1 --backing link
	says 'open link: ELOOP (40): a symbolic link'
	mkfifo pipe
	p 1 --backing pipe
	says 'pipe: neither a file nor a character device'
	p 2 --backing ''
	says '--backing: needs a value'
	p 1 --backing Anon
	says 'Anon: not on hugetlbfs, so RAM would be in 4 KiB pages'
	says '--backing takes a file on hugetlbfs, a character device, memfd, thp or anon'
	[ ! -e Anon ]
	p 1 --backing /nowhere/ram
	says 'open /nowhere/ram: ENOENT (2): no such directory'
	says 'Check the path of --backing'
	p 1 --backing /dev/null
	says "mmap /dev/null: ENODEV (19): it can't be mapped"
	chmod 666 /dev/kvm
	p_as_nobody 1
	chmod 600 /dev/kvm
	says "open $RAM: EACCES (13): permission denied"
	p 2 --memory 3M
	says "--memory 3M: not a multiple of 2 MiB, the page size of $RAM"
}
a_pool_that_is_too_small_is_told_with_the_command_that_helps() {
	echo 5 > $POOL/nr_hugepages
	rm -f $RAM
	p 1 $F/halt.bin
	[ ! -e $RAM ]
	says "mmap $RAM: ENOMEM (12)"
	says '8 pages of 2 MiB are needed; the pool has 5, 5 free, of which 0 are reserved'
	says 'As root: echo 8 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages'
	# With three of the five promised to another.
	start --backing /mnt/HugePagefs/other --memory 6M --pause 60
	soon lines 1
	p 1 $F/halt.bin
	says '8 pages of 2 MiB are needed; the pool has 5, 4 free, of which 2 are reserved'
	sed -n 's/.*As root: //p' err > command
	sh command
	p 0 $F/halt.bin
	kill $pid
	ended 143
	rm /mnt/HugePagefs/other
	echo 20 > $POOL/nr_hugepages
}
a_mount_that_is_too_small_is_told() {
	mkdir small
	mount -t hugetlbfs -o size=4M none small
	p 1 --backing small/ram $F/halt.bin
	umount small
	says 'The pool has enough. Check the size= option of the mount'
}
# This one before those with version 1, from which a controller does not soon come back.
a_limit_of_a_cgroup_is_found() {
	mount -t cgroup2 none /sys/fs/cgroup
	echo +hugetlb > /sys/fs/cgroup/cgroup.subtree_control 2> /dev/null ||
		{ umount /sys/fs/cgroup; skip 'this kernel has no hugetlb cgroup of version 2'; }
	mkdir -p /sys/fs/cgroup/low/free
	echo 4M > /sys/fs/cgroup/low/hugetlb.2MB.max
	status=0
	sh -c "echo \$\$ > /sys/fs/cgroup/low/cgroup.procs; exec $P --check" > out 2> err || status=$?
	rmdir /sys/fs/cgroup/low/free /sys/fs/cgroup/low
	echo -hugetlb > /sys/fs/cgroup/cgroup.subtree_control
	umount /sys/fs/cgroup
	is $status 1
	finds 'MISSING cgroup /low 2 MiB pages up to 4 MiB, too few'
	finds 'As root: echo 16M > /sys/fs/cgroup/low/hugetlb.2MB.max'
	finds 'This machine would not start.'
}
# under_limit BYTES ARGUMENT...: the program where a cgroup limits its pages of 2 MiB. It fails.
under_limit() {
	limit=$1
	shift
	mkdir cgroup
	soon mount -t cgroup -o hugetlb none cgroup 2> /dev/null || skip 'this kernel has no hugetlb cgroup of version 1'
	mkdir cgroup/one
	echo "$limit" > cgroup/one/hugetlb.2MB.limit_in_bytes
	sh -c 'echo $$ > cgroup/one/cgroup.procs; exec "$@"' sh "$P" "$@" > out 2> err && status=0 || status=$?
	rmdir cgroup/one
	umount cgroup
	is $status 1
}
a_limit_of_the_hugetlb_cgroup_is_told() {
	under_limit 0
	says 'the host has no page for guest-physical address 0x1000'
}
a_page_that_the_host_refuses_the_guest_is_told_with_the_state() {
	# The page of the image, and none for what the guest touches then.
	under_limit 2M --pause 0 $F/touch.bin
	says 'KVM_RUN failed'
	says 'mode: 32-bit protected mode'
	says 'KVM_RUN on a vCPU: EFAULT (14): the host has no page for what the guest touched'
}
a_page_for_tables_that_the_host_refuses_is_told() {
	# The page of the image, and none for the tables, which the program writes itself.
	under_limit 2M --mode long $F/touch.bin
	says 'the host has no page for guest-physical address 0xff9000'
}
a_second_vm_on_the_same_file_is_refused() {
	start --pause 60
	soon lines 1
	p 1 $F/halt.bin
	says "flock $RAM: EAGAIN (11): another VM has it"
	is "$(stat -c %s $RAM)" 16777216
	kill -0 $pid
	start_pid=$pid
	p 0 --backing /mnt/HugePagefs/second $F/halt.bin
	rm /mnt/HugePagefs/second
	pid=$start_pid
	kill $pid
	ended 143
}
more_memory_than_the_host_has_is_told() {
	echo 2 > /proc/sys/vm/overcommit_memory
	for backing in anon thp; do
		p 1 --backing $backing --memory 4095M --load 0x1000 $F/halt.bin
		says 'mmap anonymous memory: ENOMEM (12): more memory than the host has'
	done
	echo 0 > /proc/sys/vm/overcommit_memory
}
each_call_that_fails_is_named_and_gives_all_back() {
	for call in 1:KVM_GET_API_VERSION 2:KVM_CREATE_VM 3:KVM_SET_TSS_ADDR 4:KVM_SET_IDENTITY_MAP_ADDR \
		5:KVM_SET_USER_MEMORY_REGION 6:KVM_GET_VCPU_MMAP_SIZE 7:KVM_CREATE_VCPU 8:KVM_GET_SREGS \
		9:KVM_SET_SREGS 10:KVM_SET_REGS; do
		status=0
		strace -o /dev/null -e inject=ioctl:error=ENOMEM:when=${call%:*} $P $F/halt.bin > out 2> err || status=$?
		is $status 1
		says "${call#*:}"
		says 'ENOMEM (12)'
		is "$(free_pages)" 20
		[ ! -e $RAM ]
	done
	# Where the guest has run, its memory stays to be looked at. Each thread's calls are counted apart, and only the vCPU's
	# makes forty. Of the main thread's, two ask whether standard output and error are terminals.
	for call in 40:KVM_RUN:storm 13:KVM_GET_REGS:halt; do
		status=0
		strace -f -o /dev/null -e inject=ioctl:error=ENOMEM:when=${call%%:*} $P $F/${call##*:}.bin > out 2> err || status=$?
		is $status 1
		says "$(echo $call | cut -d: -f2)"
		is "$(free_pages)" 12
	done
	# The call, the object by which strace finds it, and what is said.
	image=$F/halt.bin vcpu=anon_inode:kvm-vcpu:0
	for call in "fstat $image" "fstat $RAM" "flock $RAM" "fstatfs $RAM" "ftruncate $RAM" "fallocate $RAM" "mmap $RAM" \
		"mmap $vcpu"; do
		rm -f $RAM
		status=0
		strace -o /dev/null -P "${call#* }" -e inject=${call% *}:error=EIO $P $image > out 2> err || status=$?
		is $status 1
		says "$(echo "$call" | sed "s,$vcpu,kvm_run,")"
		says 'EIO (5)'
		is "$(free_pages)" 20
		# Of one that another has locked, only that one may dispose.
		[ ! -e $RAM ] || [ "${call% *}" = flock ]
	done
}
# fails_in_turn STATUS ARGUMENT...: makes each call of a run fail in turn. Then the run ends with status 1 and the call's name, or
# does without the call, with STATUS; it never hangs, dies of a signal, or leaves anything behind. What the C library does for
# itself, such as to wake a thread, is left out.
CALLS='open close fcntl fstat fstatfs flock ftruncate fallocate memfd_create unlink brk mmap munmap madvise mprotect ioctl eventfd2 clone
	rt_sigaction rt_sigprocmask pread64 read write ppoll tkill prlimit64 clock_gettime'
fails_in_turn() {
	want=$1
	shift
	timeout ${limit:-60} strace -f -o trace $P "$@" > complete 2> err < /dev/null || :
	for call in $CALLS; do
		# Each thread's calls are counted apart.
		most=$(grep -E "^[0-9]+ +$call\\(" trace | cut -d' ' -f1 | sort | uniq -c | sort -rn | awk 'NR == 1 { print $1 }')
		number=1
		while [ $number -le "${most:-0}" ]; do
			status=0
			timeout ${limit:-60} strace -f -o /dev/null -e signal=none -e inject=$call:error=EIO:when=$number $P "$@" > out 2> err < /dev/null || status=$?
			said="$call $number of $*: status $status: $(tail -n 3 err)"
			case $status in
			"$want") ;;
			# Where standard error can't be written, nobody can be told.
			1) [ "$call" = write ] && cmp -s out complete || grep -qE '(KVM_[A-Z0-9_]+|open|f?stat(fs)?|flock|ftruncate|fallocate|mmap|malloc|eventfd|pthread_create|sigaction|p?read|write|tkill)[^:]*: E(IO|NOMEM|AGAIN) ' out err || { echo "no call in $said"; return 1; } ;;
			*) echo "$said"; return 1 ;;
			esac
			[ "$(free_pages)" = 20 ] || [ "$(stat -c %s $RAM)" = 16777216 ] || { echo "pages left by $said"; return 1; }
			rm -f $RAM
			is "$said $(free_pages)" "$said $(cat $POOL/nr_hugepages)"
			number=$((number + 1))
			# What comes so often is the same again and again: of that each tenth.
			[ $number -le 120 ] || number=$((number + 9))
		done
	done
}
# Half of the runs on each kernel, for the time that they take.
each_call_of_a_run_fails_in_turn() {
	case $(uname -r) in
	5.10.* | 6.1.* | 7.*)
		fails_in_turn 0 $F/halt.bin
		fails_in_turn 0 --check $F/halt.bin
		;;
	*)
		fails_in_turn 0 --stats --pause 0 $F/touch.bin
		fails_in_turn 17 -b anon -m 16M --cpus 2 --kernel /root/two.elf
		# Linux: what differs is how it is loaded. FAULTS=all tries the rest too, which takes an hour.
		[ "${FAULTS-}" = all ] || CALLS='open fstat pread64 clone'
		limit=60
		fails_in_turn 0 -b anon --kernel /boot/vmlinuz --initrd /boot/initrd --append 'console=ttyS0 quiet do=off'
		;;
	esac
}
a_read_of_a_kernel_that_fails_is_named() {
	for number in 1 2 3 4 5; do
		strace -o /dev/null -e inject=pread64:error=EIO:when=$number $P -b anon -m 16M --kernel $F/kernel/cpus.elf > out 2> err < /dev/null && status=0 || status=$?
		is $status 1
		says "pread $F/kernel/cpus.elf: EIO (5)"
	done
}
an_msr_that_kvm_refuses_is_named() {
	when=$(strace -e trace=ioctl -e signal=none $P -b anon --irqchip $F/halt.bin 2>&1 > /dev/null | grep -n KVM_SET_MSRS | cut -d: -f1)
	strace -o /dev/null -e inject=ioctl:retval=1:when=$when $P -b anon --irqchip $F/halt.bin > out 2> err && status=0 || status=$?
	is $status 1
	says 'KVM_SET_MSRS on a vCPU: KVM refuses MSR 0x2ff'
}
no_descriptor_is_left_open_by_a_reset() {
	huge
	start --kernel $F/kernel/off.elf --append r --reset=restart
	soon sh -c '[ $(grep -c "which starts again" err) -ge 2 ]'
	before=$(ls /proc/$pid/fd | wc -l)
	soon sh -c '[ $(grep -c "which starts again" err) -ge 22 ]'
	soon sh -c '[ $(grep -c "which starts again" err) -ge 42 ]'
	# A machine has fewer than 20; it may be half built or half gone when they are counted.
	[ "$(ls /proc/$pid/fd | wc -l)" -le $((before + 20)) ]
	kill $pid
	ended 143
}
pages_that_are_written_through_the_window_are_logged() {
	# Protected mode: open the window, write to 0xc0000010, close it, ask for the log.
	printf '\260\001\346\354\306\005\020\000\000\300\132\260\000\346\354\260\003\346\354\364' > guest
	p 0 --mode protected --dirty-log guest
	says 'pages written through the window:'
	says '  0xc0000000 to 0xc0000fff: 1'
}
a_run_page_that_is_too_small_is_refused() {
	strace -o /dev/null -e inject=ioctl:retval=1000:when=6 $P $F/halt.bin > out 2> err && status=0 || status=$?
	is $status 1
	says 'KVM_GET_VCPU_MMAP_SIZE on /dev/kvm: 1000 bytes are too few for struct kvm_run'
}
another_version_of_the_interface_is_refused() {
	strace -o /dev/null -e inject=ioctl:retval=13:when=1 $P $F/halt.bin > out 2> err && status=0 || status=$?
	is $status 1
	says 'KVM_GET_API_VERSION on /dev/kvm: version 13 and not 12'
}

# ---- the instruments

# told TIMES: so often have statistics been shown.
told() { [ "$(grep -c 'KVM maps' err)" -ge "$1" ]; }
statistics_come_at_any_time_that_sigusr1_asks_for_them() {
	start --pause 60 --stats
	soon lines 1
	for round in 1 2 3; do
		kill -USR1 $pid
		soon told $round
	done
	says 'KVM_EXIT_IO'
	says '16 MiB of RAM in 8 pages of 2 MiB on hugetlbfs; KVM maps 1'
	maps 1 0
	kill $pid
	ended 143
	start --stats $F/broken/loop.bin
	soon a_vm_is_there
	usleep 200000
	kill -USR1 $pid
	soon grep -q 'KVM maps' err
	kill -0 $pid
	kill $pid
	ended 143
}
without_stats_sigusr1_shows_what_kvm_counts() {
	counts_pages
	start --pause 60
	soon lines 1
	kill -USR1 $pid
	soon told 1
	says 'exits to the program: only --stats counts them'
	shows 'pages_2m 1'
	says 'KVM maps 1 of 2 MiB and 0 of 4 KiB'
	kill -0 $pid
	kill $pid
	ended 143
}
statistics_and_findings_are_objects_for_tools() {
	p 0 --stats --json --pause 0 $F/touch.bin
	grep '^{' err > json
	is "$(wc -l < json)" 1
	for part in '"KVM_EXIT_HLT": 1' '"page_bytes": 2097152'; do
		grep -qF "$part" json
	done
	is_old || grep -qF '"mapped": {"4k": 0, "2m": 8, "1g": 0' json
	p 1 --check --json missing
	grep -qF '"would_start": false' out
	grep -qF '{"verdict": "missing", "name": "IMAGE", "detail": "open missing: ENOENT (2)' out
}
how_long_exits_take_to_handle_is_drawn_as_bars() {
	p 0 --stats --pause 0 -b anon $F/mmio.bin --mode long
	says 'time to handle them:'
	# Each exit is in one bar.
	sum=$(sed -n '/time to handle them/,/KVM.s, /p' err | sed -n 's/^      < .* [mu]*s *\([0-9]*\).*/\1/p' | awk '{ sum += $1 } END { print sum }')
	is "$sum" "$(sed -n 's/^  exits to the program: \([0-9]*\),.*/\1/p' err)"
	p 0 --stats --json --pause 0 -b anon $F/halt.bin
	grep -q '"handling_ns": {"KVM_EXIT_IO": {"[0-9]*": ' err
}
# is_array FILE: a JSON array with an object a line.
is_array() {
	[ "$(head -c 2 "$1")" = '[{' ] && [ "$(tail -n 1 "$1")" = ']' ] || { head -n 2 "$1"; tail -n 2 "$1"; return 1; }
	is "$(sed '1d;$d' "$1" | grep -v '^,{"name": ".*}$' | head -n 3)" ''
}
a_timeline_is_whole_whenever_the_program_ends() {
	start --pause 0 -b anon --trace-file ./line --trace-format timeline $F/_BiscuitOS-VM.iso
	soon grep -q KVM_EXIT_IO line
	kill -9 $pid
	wait $pid || :
	is_array line
	p 1 --kernel $F/kernel/cpus.elf -b anon --cpus 2 --trace-file ./line --trace-format timeline
	is_array line
	for part in '"name": "KVM_CREATE_VM", "cat": "call", "pid": 1, "tid": [0-9]*, "ph": "X"' '"thread_name".*"vCPU 1"' '"guest", "cat": "guest"' \
		'"KVM_EXIT_[A-Z]*", "cat": "exit"' '"cat": "device"'; do
		grep -q "$part" line || { echo "no $part"; return 1; }
	done
	p 1 --kernel $F/kernel/board.elf -b anon --cpus 2 --trace-file ./line --trace-format timeline
	grep -q '"KVM_SIGNAL_MSI", "cat": "interrupt".*"ph": "i"' line
	# No reader is waited for.
	mkfifo pipe
	p 1 -b anon --trace-file ./pipe --trace-format timeline $F/halt.bin
	says 'ESPIPE (29): a timeline needs a regular file'
	p 1 -b anon --stats=live $F/halt.bin
	says 'standard error is no terminal'
}
a_trace_goes_to_a_file_and_is_reported_where_it_cannot_be_written() {
	p 0 --trace-file trace $F/halt.bin
	grep -q 'KVM_CREATE_VM' trace
	grep -q 'KVM_EXIT_IO' trace
	is "$(grep -c KVM_EXIT_IO err)" 0
	p 1 --trace-file /dev/full $F/halt.bin
	prints x
	says 'write /dev/full: ENOSPC (28)'
	says 'The trace is incomplete'
	cp $F/halt.bin mine
	for option in '' '-b anon -k' '-b anon -k none -i'; do
		p 2 --trace-file mine $option mine
		says '--trace-file mine: this file is part of the machine'
		cmp mine $F/halt.bin
	done
	mkfifo pipe
	p 1 --trace-file pipe $F/halt.bin
	says 'open pipe: ENXIO (6): a FIFO that nobody reads, a socket, or a device without a driver'
	p 1 --trace-file /nowhere/trace $F/halt.bin
	says 'open /nowhere/trace: ENOENT (2)'
	says 'Check the path of --trace-file'
	status=0
	$P --trace $F/halt.bin > out 2> /dev/full || status=$?
	is $status 1
}
a_small_stack_is_enough() {
	chmod 666 /dev/kvm
	for size in 8 16; do
		# The kernel may push the stack's start down by 8 KiB: then no program starts with 8.
		[ $size = 16 ] || echo 0 > /proc/sys/kernel/randomize_va_space
		status=0
		su -s /bin/sh nobody -c "ulimit -s $size; exec $P --backing anon --stats --trace $F/halt.bin" > out 2> err || status=$?
		is $status 0
		prints x
		status=0
		su -s /bin/sh nobody -c "ulimit -s $size; exec timeout -s INT 1 $P --backing anon $HELLO" > out 2> err || status=$?
		is $status 130
		echo 2 > /proc/sys/kernel/randomize_va_space
	done
	chmod 600 /dev/kvm
}
a_kick_that_fails_is_named_and_ends_the_program() {
	status=0
	strace -f -o /dev/null -e inject=tkill:error=EAGAIN -e signal=none timeout -s INT 2 $P --backing anon $F/broken/loop.bin > out 2> err || status=$?
	is $status 1
	says 'tkill: EAGAIN (11)'
	# The queue of real-time signals has nothing to do with it.
	(ulimit -i 0; stops TERM 143 --backing anon $F/broken/loop.bin)
}
a_handler_that_cannot_be_installed_is_named() {
	for when in 1 2 3 4 5 6 7 8 9; do
		status=0
		strace -o /dev/null -e inject=rt_sigaction:error=EINVAL:when=$when $P --backing anon $F/halt.bin > out 2> err || status=$?
		is $status 1
		says 'sigaction: EINVAL (22)'
	done
}
a_page_that_cannot_be_dropped_does_no_harm() {
	huge
	for call in memfd_create madvise; do
		rm -f $RAM
		strace -f -o /dev/null -e inject=$call:error=ENOMEM $P --kernel $F/kernel/drop.elf > out 2> err < /dev/null && status=0 || status=$?
		is $status 1
		prints '100 pages dropped\n'
		says "a page was not dropped: $call: ENOMEM (12) (reported once)"
		says 'the guest ended with status 1 through port 0xf4'
	done
	# Here RAM may have a hole.
	strace -f -o /dev/null -e inject=mremap:error=ENOMEM $P --kernel $F/kernel/drop.elf > out 2> err < /dev/null && status=0 || status=$?
	is $status 1
	says 'mremap: ENOMEM (12): a part of RAM may be lost'
}
# first REQUEST ARGUMENT...: which one of the program's ioctls is the first such request.
first() {
	request=$1
	shift
	strace -e trace=ioctl -e signal=none $P "$@" --backing anon $F/halt.bin 2>&1 > /dev/null | grep -n "$request" | cut -d: -f1 | head -n 1
}
statistics_that_are_lost_or_cannot_be_had_are_told() {
	status=0
	$P --stats --backing anon $F/halt.bin > out 2> /dev/full || status=$?
	is $status 1
	! is_old || skip 'this Linux has no KVM_GET_STATS_FD: 5.14 is the first'
	umount /sys/kernel/debug
	sh -c "ulimit -n 7; exec $P --stats --backing anon $F/halt.bin" > out 2> err
	mount -t debugfs none /sys/kernel/debug
	says "KVM's: missing: KVM_GET_STATS_FD on a VM: EMFILE"
	says 'EMFILE (24): too many open files'
	says 'Raise ulimit -n'
}
without_binary_statistics_debugfs_is_asked_and_else_it_is_said() {
	counts_pages
	when=$(first GET_STATS_FD --stats)
	strace -o /dev/null -e inject=ioctl:error=ENOTTY:when=$when..$((when + 1)) $P --stats --pause 0 $F/touch.bin > out 2> err
	says "KVM's, from debugfs:"
	shows 'pages_2m 8'
	says 'KVM maps 8 of 2 MiB and 0 of 4 KiB'
	umount /sys/kernel/debug
	strace -o /dev/null -e inject=ioctl:error=ENOTTY:when=$when..$((when + 1)) $P --stats --pause 0 $F/touch.bin > out 2> err
	mount -t debugfs none /sys/kernel/debug
	says "KVM's: missing"
	says 'They need KVM_GET_STATS_FD (Linux 5.14), or debugfs'
	says 'KVM does not say in which pages it maps them'
	lacks ' 0 of ' err
}
the_statistics_are_those_that_the_kernel_describes() {
	counts_pages
	start --stats --pause 60 $F/touch.bin
	soon lines 1
	kill -USR1 $pid
	soon grep -q 'KVM maps' err
	for name in pages_2m io_exits mmio_exits halt_exits; do
		is "$name $(kvm_stat $name)" "$(tr -s ' ' < err | sed -n "s/^ \\($name .*\\)/\\1/p" | grep . || echo "$name 0")"
	done
	kill $pid
	ended 143
}
a_call_that_fails_shows_in_the_trace() {
	strace -o /dev/null -e inject=ioctl:error=ENOMEM:when=2 $P --trace=calls $F/halt.bin > out 2> err && status=0 || status=$?
	is $status 1
	says 'KVM_CREATE_VM(4, 0) = -1 ENOMEM (12)'
}
exits_are_traced_without_calls_and_calls_without_exits() {
	p 0 --trace=exits $F/halt.bin
	is "$(grep -c '	exit ' err)" 2
	is "$(grep -c 'KVM_CREATE_VM' err)" 0
	p 0 --trace=calls $F/halt.bin
	is "$(grep -c '	exit ' err)" 0
	is "$(grep -c 'KVM_CREATE_VM' err)" 1
}
a_trace_shows_the_calls_at_the_end_too() {
	p 0 --trace=calls --backing anon $F/halt.bin
	says 'KVM_GET_REGS('
	is "$(grep -c 'close(' err)" 5
	is "$(tail -n 1 err | cut -f2)" 'munmap(16 MiB) = 0'
}
tables_and_image_do_not_overlap() {
	head -c $((2097152 - 4096 - 28672 - 5)) /dev/zero > large
	cat $F/halt.bin >> large
	p 0 --mode long --memory 2M --entry 0x1f8ffb large
	prints x
	echo >> large
	p 1 --mode long --memory 2M large
	says 'large: too large for the 1.9 MiB of RAM from 0x1000 on; needs at least --memory 4M'
	says 'This --mode keeps the last 28 KiB of RAM'
	p 1 --mode long --memory 8K --backing anon $F/halt.bin
	says 'too large for the '
	p 1 --mode long --load 0xffa000 $F/halt.bin
	says 'too large for the '
	# As long as it fits, a mode works at any base.
	p 0 --mode long --memory 64K --backing anon $F/halt.bin
	prints x
}
registers_can_be_set() {
	p 0 --set rax=0x79 --entry 0x1002 $F/halt.bin
	prints y
	p 0 --set cs.base=0x1000 --set cs.selector=0x100 --set rip=2 --set rax=0x7a $F/halt.bin
	prints z
}
a_kernel_without_msr_exits_is_told_and_the_guest_sees_a_fault() {
	when=$(first ENABLE_CAP --mode long)
	strace -o /dev/null -e inject=ioctl:error=EINVAL:when=$when $P --mode long --pause 0 $F/cpuid.bin > out 2> err
	says 'this KVM has no KVM_CAP_X86_USER_SPACE_MSR'
	grep -q 'MSR 4b4f4232 is absent' out
}
a_doorbell_that_means_nothing_is_told() {
	printf '\260\077\346\354\260\003\346\354\260\004\346\354' > guest
	p 0 guest
	says 'doorbell: 63 means nothing'
	says 'doorbell: there is no dirty log without --dirty-log'
	is "$(grep -c HLT err)" 0
}
a_replay_shows_nothing_but_the_way() {
	p 3 --pause 0 --mode user --replay $F/user.bin
	prints 'ring 3 may use ports\n'
	is "$(grep -c 'replay: the last 32 of' err)" 1
	is "$(grep -c 'KVM_EXIT_SHUTDOWN' err)" 1
}
what_can_not_be_replayed_is_told() {
	cat $F/broken/triple.bin | p 3 --mode protected --replay /proc/self/fd/0
	says 'replay: not possible: IMAGE is not a regular file'
	# TF traps after the first instruction; under single-step it is the stepper's own.
	p 3 --mode protected --replay --set rflags=0x102 $F/halt.bin
	says 'this time it did not die'
}
registers_that_can_not_be_are_refused_with_a_reason() {
	p 2 --set cs.limit=0x100000000 $F/halt.bin
	says '--set cs.limit=0x100000000: the value has more bits than the register'
	is_old || {
		p 1 --set cr0=0xffffffffffffffff $F/halt.bin
		says 'KVM_SET_SREGS on a vCPU: EINVAL (22): KVM refuses these registers'
	}
	p 0 --pause 0 --mode long --base 3G --load 0xc0001000 --set rip=0xc0001000 $F/slots.bin
	says 'doorbell 1 (RING_OPEN): KVM_SET_USER_MEMORY_REGION on a VM: EEXIST (17): RAM lies there already'
	# A window that did not open is not closed.
	lacks 'doorbell 0' err
	! is_old || skip 'this KVM takes any CR0'
	p 1 --check --kernel $F/kernel/cpus.elf --backing anon --set cr0=0xffffffffffffffff
	finds 'MISSING VM and vCPU KVM_SET_SREGS on a vCPU: EINVAL (22): KVM refuses these registers'
}
a_failed_entry_shows_the_registers_that_were_set() {
	grep -qw svm /proc/cpuinfo || skip 'an AMD processor refuses this'
	p 3 --mode long --set cs.db=1 --set rbx=0x1234 $F/halt.bin
	says 'rip 0x1000'
	says 'rbx 0x1234'
}
the_task_priority_can_be_set() {
	# mov %cr8, %rax; add $'0', %al; out; hlt
	printf '\104\017\040\300\004\060\346\020\364' > guest
	p 0 --mode long --set cr8=5 guest
	prints 5
}
a_signal_stops_a_replay() {
	# It dies after 16 million rounds: soon as it is, not so step by step.
	printf '\271\0\0\0\1\111\165\375\017\013' > guest
	start --mode protected --replay guest
	soon grep -q SHUTDOWN err
	kill -TERM $pid
	ended 143
}

# ---- the check

check() {
	want=$1
	shift
	p $want --check "$@"
	silent
}
finds() { tr -s ' ' < out | grep -qF -- "$1" || { echo "no '$1' in: $(cat out)"; false; }; }
a_host_that_will_do_passes_the_check_and_nothing_is_left() {
	check 0
	finds 'ok /dev/kvm may be read and written, API version 12'
	finds 'ok nested paging on'
	if is_old; then
		finds 'absent KVM_CAP_BINARY_STATS_FD'
	else
		finds 'ok KVM_CAP_BINARY_STATS_FD 1'
	fi
	finds 'ok pool of 2 MiB pages 20 pages, 20 free, of which 0 are reserved'
	finds 'This machine would start.'
	[ ! -e $RAM ]
	p 0 --pause 0 $F/touch.bin
	check 0
	# What the last run left is still there.
	is "$(dd if=$RAM bs=1 skip=$((0x5ff0)) count=1 2> /dev/null | od -An -tx1)" ' 5a'
}
what_is_missing_is_found_with_its_remedy() {
	mv /dev/kvm /dev/kvm.away
	check 1
	mv /dev/kvm.away /dev/kvm
	is "$(head -n 1 out | cut -d' ' -f1)" MISSING
	finds 'MISSING KVM open /dev/kvm: ENOENT (2): no KVM in this kernel, or no module'
	finds 'This machine would not start.'
	echo 5 > $POOL/nr_hugepages
	check 1
	finds 'As root: echo 8 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages'
	echo 20 > $POOL/nr_hugepages
	check 1 missing
	finds 'MISSING IMAGE open missing: ENOENT (2): no such file'
	mkfifo pipe
	check 0 --backing anon pipe
	finds 'unknown IMAGE pipe: not a regular file, so not read'
	check 1 --memory 3M
	finds 'not a multiple of 2 MiB, the page size of'
	check 0 --backing anon
	p 1 --check --mode long --set efer=0x100
	says 'rule broken: EFER.LME'
	umount /mnt/HugePagefs
	check 1
	finds 'not on hugetlbfs'
	[ ! -e $RAM ]
}
who_has_the_backing_is_found() {
	start --pause 60
	soon lines 1
	check 1
	finds 'another VM has it'
	finds "It is process $pid"
	kill $pid
	ended 143
}

# ---- the harness

# ---- the board

# b STATUS ARGUMENT...: a lesson of the board.
b() {
	want=$1
	shift
	p "$want" --pause 0 --irqchip --mode protected "$@"
}
the_pic_and_the_pit_tick_without_an_exit() {
	b 0 --stats $F/pic.bin
	prints '10 ticks of the PIT through the 8259\n'
	shows 'KVM_EXIT_IO 38'
	lacks KVM_EXIT_HLT err
}
an_edge_is_one_interrupt_and_a_level_is_until_it_goes() {
	b 0 --trace=calls $F/ioapic.bin
	prints '10 ticks of the PIT through the I/O APIC\nan edge: 1 interrupt\na level: more than 1 interrupt, until it went\n'
	says 'KVM_IRQ_LINE('
	says 'GSI 10, level 0) = 0'
}
the_local_apic_ticks_without_an_exit() {
	b 0 --stats $F/lapic.bin
	prints "10 ticks of the local APIC's timer\n"
	lacks KVM_EXIT_MMIO err
}
two_vcpus_wake_and_interrupt_each_other() {
	p 0 --pause 0 --cpus 2 --mode protected --trace=exits $F/ipi.bin
	prints 'vCPU 1 is up\n100 round trips\n'
	says 'vCPU 1 exit 2 KVM_EXIT_IO'
	says 'vCPU 0 exit 2 KVM_EXIT_IO'
	lacks 'KVM_EXIT_MMIO' err
}
a_message_is_an_interrupt_by_a_call_and_by_a_route() {
	b 0 --trace $F/msi.bin
	prints '3 messages by KVM_SIGNAL_MSI\n100 messages by a port, an eventfd and a route\n'
	is "$(grep -c 'KVM_SIGNAL_MSI(.*address 0xfee00000, data 0x50) = 1' err)" 3
	lacks 'OUT port 0xee' err
}
a_doorbell_is_heard_without_an_exit() {
	b 0 --stats $F/eventfd.bin
	prints '000003e8 by exits\n000007d0 with those by the eventfd\n00000898 with 200 writes to an address, half without an exit\nan interrupt by an irqfd\n00000001 acknowledged\n'
	shows 'KVM_EXIT_MMIO 101'
	# Before Linux 5.11 KVM left an event that raises an interrupt to be counted, too.
	grep -q 'exits saved: 110[01] by ioeventfd' err
}
coalesced_writes_come_before_the_next_exit_is_answered() {
	b 0 --stats $F/coalesced.bin
	prints '000000c8 writes by exits, their sum 0000141e\n00000190 with those of the ring, their sum 0000283c\n'
	says 'exits saved: 0 by ioeventfd, 199 by the ring'
}
without_a_board_an_event_is_no_interrupt() {
	# Real mode: write RING_IRQ, write it again, print.
	printf '\260\007\346\354\346\354\260x\346\020\364' > guest
	p 0 guest
	prints x
	says 'doorbell 7 (RING_IRQ): KVM_IRQFD'
}
a_doorbell_that_is_rung_twice_gets_a_warning_and_the_guest_goes_on() {
	# RING_EVENT and RING_COALESCE_PORT, each twice, then print.
	printf '\260\005\346\354\346\354\260\013\346\354\346\354\260x\346\020\364' > guest
	p 0 guest
	prints x
	says 'doorbell 5 (RING_EVENT): KVM_IOEVENTFD on a VM: EEXIST (17)'
}

# ---- test kernels

# k STATUS NAME ARGUMENT...: a Multiboot kernel.
k() {
	want=$1 name=$2
	shift 2
	p "$want" --kernel $F/kernel/$name.elf "$@" < /dev/null
}
huge() { echo 150 > $POOL/nr_hugepages; }
multiboot_tells_memory_modules_and_the_command_line() {
	huge
	echo NR_CPUS=2 > env
	echo two > more
	k 1 info --initrd env --initrd more --append 'a b'
	prints "$F/kernel/info.elf a b\nenv: NR_CPUS=2\nmore: two\nthe memory map and the sizes agree\n"
	tells_status
}
pvh_tells_command_line_module_memory_and_tables() {
	huge
	echo 'module text' > module
	k 1 pvh --initrd module --append 'a b'
	prints 'a b\nmodule text\nthe memory map and the tables are there\n'
	tells_status
	k 1 pvh -b anon --no-acpi
	prints '\nthe memory map is there, tables are not\n'
	p 1 --kernel $F/kernel/pvh.elf --protocol multiboot
	says 'not for --protocol multiboot: it has no Multiboot header'
	p 1 --kernel /boot/vmlinuz --protocol pvh
	says 'not for --protocol pvh: it is no ELF file with a PVH entry among its notes'
	p 1 --kernel $F/kernel/info.elf --protocol linux
	says 'not for --protocol linux: it is no bzImage and no ELF file of 64 bits'
	p 2 --kernel $F/kernel/pvh.elf --protocol xen
	says '--protocol xen: not one of linux, multiboot, pvh'
	p 2 --protocol pvh
	says '--protocol: only with --kernel'
}
a_kernel_finds_acpi_s_tables_of_the_devices_that_exist() {
	k 1 acpi -b anon
	prints 'XSDT FACP DSDT FACS APIC MCFG HPET \n'
	tells_status
	k 1 acpi -b anon --no-hpet --cpus 3
	prints 'XSDT FACP DSDT FACS APIC MCFG \n'
	k 1 acpi -b anon --no-apic
	prints 'XSDT FACP DSDT FACS MCFG HPET \n'
	k 1 acpi -b anon --no-acpi
	prints 'no tables\n'
}
each_test_device_is_there() {
	huge
	k 85 exit
	tells_status
	for name in scratch lines memory drop; do
		k 1 $name
		tells_status
	done
	prints '100 pages dropped\n'
	# From small pages too.
	k 1 drop -b anon -m 64M
}
the_serial_port_is_one_for_a_kernel_that_polls_it() {
	huge
	status=0
	echo 'abcdefghijklmnopqrstuvwxyz 0123456789.' | timeout 60 $P --kernel $F/kernel/serial.elf > out || status=$?
	is $status 1
	prints 'abcdefghijklmnopqrstuvwxyz 0123456789.\n'
}
all_processors_of_the_madt_start() {
	huge
	k 1 cpus --cpus 4
	prints '....\n'
}
sixty_four_processors_start() {
	k 1 cpus --cpus 64 -b anon
	prints '................................................................\n'
}
a_page_is_dropped_while_another_vcpu_uses_its_neighbours() {
	huge
	for backing in $RAM memfd anon; do
		rm -f $RAM
		k 17 ../../../../root/drops --cpus 2 --backing $backing --stats
		says 'the guest ended with status 17 through port 0xf4'
		# One page is dropped and mapped again 2000 times. Its 511 neighbours stay mapped.
		! is_old || continue
		faults=$(awk '$1 == "pf_fixed" { sum += $2 } END { print sum }' err)
		[ "$faults" -ge 2000 ]
		[ "$faults" -le 3000 ]
	done
	rm -f $RAM
	k 1 drop --stats
	is_old || says 'KVM maps 1 of 2 MiB and 100 of 4 KiB: the guest has used the page-drop device'
	# Afterwards the file has what the guest left: 100, 99, 98, each in a page of its own.
	is "$(od -An -tu4 -v -w4 -j $((0x800000)) -N 4 $RAM)$(od -An -tu4 -v -w4 -j $((0x801000)) -N 4 $RAM)" '        100         99'
}
an_event_whose_pages_were_dropped_is_injected_once() {
	huge
	for backing in $RAM memfd thp anon; do
		k 1 inject -b $backing
		prints '4800 events, each once\n'
		rm -f $RAM
	done
}
a_guest_that_nothing_can_wake_ends() {
	# cli; hlt; jmp to the hlt
	printf '\372\364\353\375' > guest
	before=$(cut -d. -f1 /proc/uptime)
	p 3 --irqchip --backing anon guest
	[ $(($(cut -d. -f1 /proc/uptime) - before)) -le 40 ]
	says 'every vCPU that was started has executed HLT with interrupts off: nothing can wake the guest'
	says 'rip 0x1002'
	p 3 --cpus 3 --backing anon guest
	says 'nothing can wake the guest'
	# Also where a device keeps the vCPU waiting when it is asked: mov $10, %al; out %al, $0x10; cli; hlt; jmp to the hlt.
	printf '\260\012\346\020\372\364\353\375' > guest
	p 3 --irqchip --backing anon --pause 4 guest
	says 'nothing can wake the guest'
	# And where an NMI waits for a vCPU that was not started, for which KVM_RUN returns at once.
	k 3 ../../../../root/nmi --backing anon --cpus 2
	says 'nothing can wake the guest'
}
an_idle_guest_costs_nothing() {
	# Real mode: unmask line 4 at the first 8259, sti; hlt; jmp to the hlt. Nothing is typed.
	printf '\260\357\346\041\373\364\353\375' > guest
	mkfifo typed
	exec 3<> typed
	for where in full split none; do
		start_from typed --irqchip $where --backing anon guest
		# It is asked once whether anything could wake it, and then looked at ever more seldom.
		sleep 11
		exits=$(kvm_stat exits)
		timeout 10 strace -f -o calls -p $pid 2> /dev/null || :
		is "$(kvm_stat exits)" "$exits"
		# strace itself interrupts what waits: each of the two threads goes back once, and so does a third that is KVM's. A
		# vCPU waits in KVM_RUN, or, with no local APIC in the kernel, in a futex of the program's.
		is "$(grep -cvE 'restart_syscall|detached|ppoll|ioctl\([0-9]*, KVM_RUN|futex\(' calls)" 0
		[ "$(wc -l < calls)" -le 6 ] || { cat calls; return 1; }
		kill $pid
		ended 143
	done
	exec 3>&-
}
a_guest_that_an_nmi_could_wake_goes_on() {
	# Protected mode: line 4 of the I/O APIC, the serial port's, is an NMI; cli; hlt; jmp to the hlt.
	printf '\307\005\000\000\300\376\030\000\000\000\307\005\020\000\300\376\040\004\000\000\372\364\353\375' > guest
	timeout 8 $P --irqchip --mode protected --backing anon guest > out 2> err < /dev/null && status=0 || status=$?
	is $status 143
	silent
}
whatever_a_guest_accesses_the_program_does_not_panic() {
	for seed in 1 2 3 4 5 6 7 8 9 10 11 12; do
		case $seed in
		[1-4]) where=full ;;
		[5-8]) where=split ;;
		*) where=none ;;
		esac
		timeout 60 $P -b anon -m 16M --irqchip $where --kernel /root/hostile.elf --set rsi=$seed > out 2> err < /dev/null && status=0 || status=$?
		! grep -qi 'bug of KOB\|panicked' err || { tail -n 3 err; return 1; }
		# It switches itself off, resets, asks for a status of its own, dies, or comes to its end.
		case $status in
		0 | 3) ;;
		*) grep -qF "status $status through port 0xf4" err || { echo "seed $seed: status $status: $(tail -n 3 err)"; return 1; } ;;
		esac
	done
}
fw_cfg_describes_the_machine() {
	printf 'from a file\n' > greeting
	printf 'a module\n' > module
	k 1 fwcfg -b anon --cpus 3 --fw-cfg greeting=greeting --append 'a b' --initrd module
	prints 'processors: 3\nopt/greeting: from a file\ncommand line: a b\ninitrds: a module\n'
	tells_status
	k 3 fwcfg -b anon --fw-cfg greetings=greeting
	# What is wrong is said before anything is done.
	p 1 --kernel $F/kernel/fwcfg.elf --fw-cfg greeting=none
	only 'open none: ENOENT (2): no such file
  Check the path of --fw-cfg'
	p 1 --kernel $F/kernel/fwcfg.elf --fw-cfg greeting=/tmp
	says '/tmp: a directory'
	p 1 --check --kernel $F/kernel/fwcfg.elf -b anon --fw-cfg greeting=none
	finds 'MISSING --fw-cfg open none: ENOENT (2)'
	[ ! -e $RAM ]
}
clocks_and_timers_are_a_pc_s() {
	for how in '' '--irqchip split' '--irqchip none' '--pit program'; do
		k 1 pmtimer -b anon $how
		prints "three counts of the PM timer for each of the interval timer's\n"
		k 1 rtc -b anon $how
		prints 'RAM, time, update, periodic, alarm\n'
		[ "$how" = '--irqchip none' ] || {
			k 1 hpet -b anon $how
			prints 'the counter, one-shot, periodic, level\n'
		}
	done
	k 3 hpet -b anon --no-hpet
	for how in '' '--irqchip split' '--irqchip none' '--cpu baseline'; do
		k 1 tsc -b anon $how
		prints 'two leaves agree, and so does the PM timer\n'
	done
}
pci_s_configuration_space_lies_in_memory_too() {
	k 1 ecam -b anon
	prints 'the test device, its BAR, nothing behind\n'
}
acpi_s_events_interrupt_a_guest_that_is_awake() {
	mkfifo typed
	exec 3<> typed
	for where in full split none; do
		start_from typed -b anon --irqchip $where --kernel $F/kernel/button.elf
		soon grep -q 'the alarm' out
		printf '\001p' >&3
		ended 0
		prints 'the alarm, the button\n'
	done
}
pci_has_the_test_device_and_its_registers_move() {
	k 1 pci -b anon --trace=exits
	prints 'mmio-no-eventfd: 10\nmmio-wildcard-eventfd: 0\nmmio-datamatch-eventfd: 0\nportio-no-eventfd: 10\nportio-wildcard-eventfd: 0\nportio-datamatch-eventfd: 0\nmoved, off\n'
	is "$(grep -c 'PCI test device' err)" "$(grep 'PCI test device' err | grep -c 'MMIO\|IO')"
}
a_guest_sleeps_and_its_alarm_or_the_button_wakes_it() {
	huge
	k 1 sleep
	prints 'asleep, awake because of the alarm\n'
	says 'the guest sleeps (ACPI S3); its alarm or Ctrl-A P wakes it'
	says 'the guest wakes up'
	k 1 sleep -b anon --append x
	prints 'asleep, awake because of the alarm\n'
	for where in split none; do
		k 1 sleep -b anon --irqchip $where
		prints 'asleep, awake because of the alarm\n'
	done
	# The button, behind Ctrl-A or by SIGTERM; without --grace, SIGTERM ends the run.
	mkfifo typed
	exec 3<> typed
	start_from typed -b anon --kernel $F/kernel/sleep.elf --append button
	soon grep -q sleeps err
	printf '\001p' >&3
	ended 1
	prints 'asleep, awake because of the button\n'
	# What fw_cfg has from a file stays open meanwhile, and a register is set at the start alone.
	echo x > item
	start -b anon --kernel $F/kernel/sleep.elf --append button --grace 9 --fw-cfg x=item --set rdi=5 < /dev/null
	soon grep -q sleeps err
	rm item
	kill $pid
	ended 1
	start -b anon --kernel $F/kernel/sleep.elf --append button < /dev/null
	soon grep -q sleeps err
	kill $pid
	ended 143
	# A guest without a waking vector is reset.
	k 0 ../../../../root/lost -b anon
	says 'the guest wakes up, but its FACS has no waking vector: the machine is reset'
}
a_sleeping_machine_costs_nothing() {
	start -b anon --kernel $F/kernel/sleep.elf --append button < /dev/null
	soon grep -q sleeps err
	before=$(cut -d' ' -f14,15 /proc/$pid/stat)
	sleep 3
	# In ticks of 10 ms; one may be another's.
	after=$(cut -d' ' -f14,15 /proc/$pid/stat)
	[ $((${after% *} + ${after#* } - ${before% *} - ${before#* })) -le 1 ]
	kill $pid
	ended 143
}
init_resets_the_processor_and_a_reset_the_machine() {
	huge
	for backing in $RAM anon; do
		k 1 reset -b $backing --reset=restart
		prints 'the processor, the machine, RAM is as it was\n'
		says 'the guest reset the machine, which starts again'
		k 1 reset -b $backing --reset=cold
		prints 'the processor, the machine, RAM is empty\n'
	done
	for where in full split none; do
		k 1 reset -b anon --reset=restart --append e --irqchip $where
		prints 'the processor, the machine, RAM is as it was\n'
	done
	k 0 reset -b anon
	prints 'the processor, the machine, '
	only 'the guest reset the machine'
}
a_triple_fault_is_reported_and_resets_where_a_reset_is_wanted() {
	k 3 off -b anon --append t
	start -b anon --kernel $F/kernel/off.elf --append t --reset=restart < /dev/null
	soon sh -c '[ "$(grep -c "a triple fault resets the machine, which starts again" err)" -ge 3 ]'
	says 'KVM_EXIT_SHUTDOWN: triple fault'
	kill $pid
	ended 143
}
one_kernel_uses_the_whole_board() {
	huge
	k 1 board
	prints '1 processors, 10 ms, awake, reset\n'
	k 1 board --cpus 4 --stats
	prints '4 processors, 10 ms, awake, reset\n'
	k 1 board --cpus 4 --irqchip split
	prints '4 processors, 10 ms, awake, reset\n'
}
the_guest_s_cpuid_and_msrs_are_those_of_this_machine() {
	# mov $1, %eax; cpuid; shr $21, %ecx; and $1, %cl; mov %cl, %al; out %al, $0xf4: whether there is an x2APIC
	printf '\270\001\000\000\000\017\242\301\351\025\200\341\001\210\310\346\364' > guest
	p 1 --mode protected -b anon guest
	tells_status
	p 3 --irqchip --mode protected -b anon guest
	tells_status
	# mov $0x40000001, %eax; cpuid; shr $7, %eax; and $1, %al; out %al, $0xf4: KVM_FEATURE_PV_UNHALT
	printf '\270\001\000\000\100\017\242\301\350\007\044\001\346\364' > guest
	p 1 --mode protected -b anon guest
	tells_status
	# mov $0x1a0, %ecx; rdmsr; and $1, %al; out %al, $0xf4: fast strings; then shr $11, %eax; and $3, %al: what KVM has set
	printf '\146\271\240\001\000\000\017\062\044\001\346\364' > guest
	p 3 --irqchip -b anon guest
	tells_status
	printf '\146\271\240\001\000\000\017\062\146\301\350\013\044\003\346\364' > guest
	p 7 --irqchip -b anon guest
	tells_status
}
an_idle_guest_that_can_be_woken_is_disturbed_once() {
	# mask the 8259's lines; sti; hlt; jmp to the sti
	printf '\260\377\346\041\373\364\353\374' > guest
	strace -f -o trace -e trace=tkill -e signal=none timeout 9 $P --irqchip --backing anon guest > out 2> err < /dev/null && status=0 || status=$?
	is $status 143
	# Once to ask, once for the end. A busy host may hold the guest up so long that it is asked before it has halted, and then again.
	kicks=$(grep -c tkill trace)
	[ "$kicks" -ge 2 ] && [ "$kicks" -le 5 ] || { echo "$kicks kicks in 9 s"; false; }
}
a_step_is_shown_behind_what_loads_the_flags() {
	# KVM's emulator carries out CPUID; IRETQ goes to ring 3 with TF clear.
	p 0 --step --mode long $F/cpuid.bin
	says 'step 0x1017: 0f a2	'
	says 'step 0x1019: 89 1c'
	p 0 --step --mode long $F/ring3.bin
	says 'step 0x105f: 48 cf	'
	says 'step 0x1061: f4'
	says 'step 0x106b: f4'
}
a_step_goes_on_behind_hlt_where_an_interrupt_wakes_the_guest() {
	b 0 --step $F/pic.bin
	prints '10 ticks of the PIT through the 8259\n'
	# Here a step begins with HLT.
	k 3 ../../../../root/wake -b anon --step
	says ': f4'
	says 'KVM_EXIT_SHUTDOWN: triple fault'
	k 3 ../../../../root/wake -b anon --replay
	says 'KVM_EXIT_SHUTDOWN: triple fault'
	says 'replay: the last 32 of'
	says ' 0f 0b'
	lacks 'this time it did not die' err
}
a_guest_that_cannot_be_read_again_is_not_restarted() {
	# mov $0xfe, %al; out %al, $0x64
	printf '\260\376\346\144\364' > guest
	cat guest | p 0 --irqchip --backing anon --reset=restart /proc/self/fd/0
	says 'the guest reset the machine, which does not start again: IMAGE is not a regular file'
}
off_is_off_and_a_reset_is_told() {
	huge
	k 0 off --append o
	silent
	for way in r k p; do
		k 0 off --append $way
		says 'the guest reset the machine'
	done
	k 3 off --append t
	says 'KVM_EXIT_SHUTDOWN: triple fault'
}
the_death_of_a_kernel_is_replayed_without_its_words() {
	huge
	k 3 off --append t
	mv out first
	k 3 off --append t --replay
	says 'KVM_EXIT_SHUTDOWN: triple fault'
	says 'replay: running the guest again, step by step'
	says ' 0f 0b'
	cmp out first
	k 3 off --append t --replay --cpus 2
	says 'replay: not possible with several vCPUs'
}
a_reset_starts_the_guest_anew_where_that_is_asked_for() {
	huge
	start --kernel $F/kernel/off.elf --append r --reset=restart
	soon sh -c '[ $(grep -c "which starts again" err) -ge 3 ]'
	kill $pid
	ended 143
}
the_last_words_wait_for_a_slow_reader() {
	huge
	# A pipe holds 64 KiB.
	{
		head -c 65536 /dev/zero
		timeout 60 $P --kernel $F/kernel/memory.elf < /dev/null 2> err || echo $? > status
	} | { sleep 2; tail -c +65537 > out; }
	is "$(cat status)" 1
	prints 'as memory\n'
	want=1 tells_status
}
ctrl_a_x_leaves_and_twice_is_one() {
	huge
	{ printf 'a\001\001b'; sleep 1; printf '\001x'; } | timeout 60 $P --kernel $F/kernel/serial.elf > out 2> err
	prints 'a\001b'
	only 'Ctrl-A X: the machine is switched off'
}
ctrl_a_and_a_question_mark_list_the_keys() {
	huge
	{ printf '\001?'; sleep 1; printf '\001x'; } | timeout 60 $P --kernel $F/kernel/serial.elf > out 2> err
	says 'keys behind Ctrl-A'
	says '  X       leave'
}
ctrl_a_x_leaves_a_guest_that_does_not_listen_behind_much_that_was_typed() {
	{ head -c 5000 /dev/zero | tr '\0' a; sleep 1; printf '\001x'; } |
		timeout 60 $P --irqchip --backing anon $F/broken/loop.bin > out 2> err
	only 'Ctrl-A X: the machine is switched off'
}
ctrl_a_x_leaves_where_nobody_reads_the_output() {
	mkfifo full
	sleep 30 < full &
	reader=$!
	{ sleep 2; printf '\001x'; } | timeout 60 $P --irqchip --backing anon --pause 0 $HELLO > full 2> err
	only 'Ctrl-A X: the machine is switched off'
	{ sleep 2; printf '\001x'; } | timeout 60 $P --irqchip --backing anon --pause 0 $HELLO > full 2>&1
	kill $reader
}
statistics_come_while_nobody_reads_the_output() {
	mkfifo full
	sleep 30 < full &
	reader=$!
	$P --stats --backing anon --pause 0 > full 2> err &
	pid=$!
	soon asleep
	kill -USR1 $pid
	soon told 1
	kill $pid
	ended 143
	kill $reader
}
a_signal_ends_a_guest_whose_trace_nobody_reads() {
	huge
	mkfifo pipe
	sleep 30 < pipe &
	reader=$!
	$P --kernel $F/kernel/serial.elf --trace=exits < /dev/null > out 2> pipe &
	pid=$!
	sleep 2
	kill $pid
	ended 143
	kill $reader
}
a_kernel_that_cannot_be_is_refused_and_nothing_is_touched() {
	huge
	head -c 100000 /boot/vmlinuz > short
	p 1 --kernel short < /dev/null
	says 'short: the file is cut off: it lacks at least'
	head -c 5000 /boot/vmlinux > shortelf
	p 1 --kernel shortelf < /dev/null
	says 'shortelf: the file is cut off: it lacks at least'
	head -c 700 /boot/vmlinuz > shorter
	p 1 --kernel shorter < /dev/null
	says 'shorter: the file is cut off'
	p 1 --kernel $F/halt.bin
	says 'not a bzImage, ELF or Multiboot kernel'
	says 'Give raw code as IMAGE, without --kernel'
	p 1 --kernel /boot/vmlinuz -m 32M < /dev/null
	says '/boot/vmlinuz: it needs at least --memory '
	# That much will do, and not 2 MiB less.
	least=$(sed -n 's/.*--memory \([0-9]*\)M$/\1/p' err)
	p 0 --check -b anon --kernel /boot/vmlinuz -m ${least}M
	p 1 --check -b anon --kernel /boot/vmlinuz -m $((least - 2))M
	p 1 --kernel /boot/vmlinuz -m 80M --initrd /boot/vmlinux < /dev/null
	says 'with its --initrd files it needs at least --memory '
	p 1 --kernel /boot/vmlinuz --append "$(head -c 3000 /dev/zero | tr '\0' x)" < /dev/null
	says '--append is 953 bytes too long for this kernel'
	p 1 --kernel $P < /dev/null
	says 'it is linked for address 0x0, where no RAM is free'
	p 1 --kernel none
	says 'open none: ENOENT (2): no such file'
	p 1 --kernel /tmp
	says '/tmp: a directory'
	p 1 --kernel /dev/zero
	says '/dev/zero: not a regular file, which --kernel needs'
	p 1 --kernel /boot/vmlinuz --initrd none
	says 'open none: ENOENT (2): no such file'
	says 'Check the path of --initrd'
	for option in --load --entry; do
		p 2 --kernel /boot/vmlinuz $option 2M
		says "$option: not with --kernel: the kernel file determines it"
	done
	p 2 --kernel /boot/vmlinuz --mode long
	says '--mode: not with --kernel'
	[ ! -e $RAM ]
	p 2 --kernel /boot/vmlinuz --cpus 256 -b anon
	says '--cpus 256: at most 255: an APIC id has 8 bits'
	p 2 --initrd /boot/initrd
	says '--initrd: only with --kernel'
}
a_kernel_s_file_is_read_in_few_large_calls() {
	huge
	strace -f -o calls -e trace=pread64,userfaultfd $P --kernel /boot/vmlinux --append 'console=ttyS0 quiet panic=-1' --memory 128M > out 2> err < /dev/null || :
	# Header, program headers, notes, and of each segment what is no whole page.
	[ "$(grep -c pread64 calls)" -le 20 ] || { cat calls; return 1; }
	# All the rest is made of the file without being cleared before.
	[ "$(sed -n 's/.*pread64.* = \([0-9]*\)$/\1/p' calls | awk '{ sum += $1 } END { print sum }')" -le 8000000 ]
	is_old || grep -q 'userfaultfd(.* = [0-9]' calls
}
check_looks_at_a_kernel_too() {
	huge
	p 0 --check --kernel /boot/vmlinuz --initrd /boot/initrd --cpus 2
	finds 'ok --kernel /boot/vmlinuz'
	head -c 100000 /boot/vmlinuz > short
	p 1 --check --kernel short
	finds 'MISSING --kernel short: the file is cut off'
}

# ---- Linux

# As a guest in emulated SVM these two die of sizes of the XSAVE area that contradict each other.
case $(uname -r) in
5.10.* | 7.*) CPU='--cpu host,-xsave' ;;
*) CPU= ;;
esac
# boot STATUS ARGUMENT...: Linux, with what is in `keys` typed, on memory that is there, for `limit` seconds at most.
boot() {
	want=$1 status=0
	shift
	huge
	[ -e keys ] || : > keys
	timeout ${limit:-100} $P $CPU --initrd /boot/initrd "$@" < keys > out 2> err || status=$?
	is $status "$want" || { tail -n 3 out err; false; }
}
seen() { grep -q -- "$1" out || { echo "no '$1' in: $(tail -n 5 out)"; false; }; }
linux_boots_on_two_vcpus_takes_what_is_typed_and_switches_off() {
	# Linux drops what the console has yet to send when the shell ends.
	printf 'nproc\necho $((6 * 7)) is it; cat /proc/cmdline; sleep 1\nexit\n' > keys
	boot 0 --kernel /boot/vmlinuz --cpus 2 --stats --append 'console=ttyS0 quiet a=b'
	seen 'KOB-2M: Linux .* 2 CPUs, 2[0-9][0-9] MiB'
	seen '^42 is it'
	lacks 'PCI: Fatal' out
	seen '^console=ttyS0 quiet a=b'
	says '256 MiB of RAM in 128 pages of 2 MiB on hugetlbfs'
	# An old Linux counts less, and not for each vCPU.
	is_old || {
		says 'of 2 MiB and 0 of 4 KiB'
		says 'vcpu-0:'
		says 'vcpu-1:'
	}
}
linux_boots_on_many_vcpus() {
	limit=400
	for count in 8 64; do
		boot 0 --kernel /boot/vmlinuz -b anon --memory 768M --cpus $count --append 'console=ttyS0 quiet do=off'
		seen "KOB-2M: Linux .* $count CPUs"
	done
}
linux_dies_with_a_report() {
	boot 3 --kernel /boot/vmlinuz -b anon --cpus 2 --append 'console=ttyS0 quiet reboot=t do=reboot'
	seen 'KOB-2M: Linux .* 2 CPUs'
	says 'KVM_EXIT_SHUTDOWN: triple fault'
	says '  on vCPU '
}
linux_as_elf_boots_from_small_pages() {
	boot 0 --kernel /boot/vmlinux -b anon --append 'console=ttyS0 quiet nokaslr do=off'
	seen 'KOB-2M: Linux .* 1 CPUs'
	silent
}
linux_boots_by_pvh() {
	boot 0 --kernel /boot/vmlinux --protocol pvh --cpus 2 --append 'console=ttyS0 quiet nokaslr do=off'
	seen 'KOB-2M: Linux .* 2 CPUs, 2[0-9][0-9] MiB'
	silent
}
linux_as_elf_boots_on_two_vcpus_and_resets() {
	boot 0 --kernel /boot/vmlinux --cpus 2 --append 'console=ttyS0 quiet nokaslr do=reboot'
	seen 'KOB-2M: Linux .* 2 CPUs'
	says 'the guest reset the machine'
}
linux_panics_as_its_command_line_says() {
	boot 0 --kernel /boot/vmlinuz -b anon --append 'console=ttyS0 quiet panic=-1 do=panic'
	seen 'Kernel panic'
	says 'the guest reset the machine'
}
linux_finds_its_memory_past_the_hole() {
	[ "$(awk '/MemTotal/ { print $2 }' /proc/meminfo)" -gt 2500000 ] || skip 'this machine has too little memory'
	printf 'exit\n' > keys
	echo 1 > /proc/sys/vm/overcommit_memory
	boot 0 --kernel /boot/vmlinuz -b anon -m 4G --append 'console=ttyS0' --dirty-log
	echo 0 > /proc/sys/vm/overcommit_memory
	seen 'mem 0x0000000100000000-0x000000013fffffff. usable'
	seen 'KOB-2M: Linux .*, 3[0-9][0-9][0-9] MiB'
	is "$(grep -c 'pages written:' err)" 2
	says ' to 0x13fffffff: '
}
without_append_linux_has_a_console() {
	printf 'exit\n' > keys
	boot 0 --kernel /boot/vmlinuz -b anon
	seen 'Linux version'
	seen 'KOB-2M: Linux'
}
linux_keeps_time_by_each_clock() {
	cat > keys <<-'EOF'
		cd /sys/devices/system/clocksource/clocksource0; cat available_clocksource
		t=/sys/class/rtc/rtc0/since_epoch; for c in hpet acpi_pm; do echo $c > current_clocksource; a=$(cat $t); usleep 3200000; b=$(cat $t); cat current_clocksource; echo "passed $((b - a >= 3 && b - a <= 6))"; done
		cd /sys/class/rtc/rtc0; echo 0 > wakealarm; echo +2 > wakealarm; sleep 4; echo "alarm [$(cat wakealarm)] $(grep -c ' [1-9][0-9]* .*rtc0' /proc/interrupts)"
		date -s '2031-05-06 07:08:09' > /dev/null; hwclock -w; date -s '2001-01-01 00:00:00' > /dev/null; hwclock -s; date +'now %Y-%m-%d %H'; sleep 1
		exit
	EOF
	before=$(date +%Y)
	cp keys without
	boot 0 --kernel /boot/vmlinuz -b anon --append 'console=ttyS0 quiet'
	# The alarm has come and gone, by the HPET's line.
	seen '^alarm \[\] 1'
	seen 'hpet acpi_pm'
	seen '^hpet'
	seen '^acpi_pm'
	is "$(grep -c '^passed 1' out)" 2
	seen '^now 2031-05-06 07'
	# The guest's clock, and not the host's.
	is "$(date +%Y)" "$before"
	grep -v clocksource without > keys
	boot 0 --kernel /boot/vmlinuz -b anon --no-hpet --append 'console=ttyS0 quiet'
	seen '^alarm \[\] 1'
}
linux_sees_the_board_s_devices() {
	printf 'from the host' > greeting
	# With the libraries that it needs: of this kind, the bed has no others.
	(cd / && find lib lib64 usr -path lib/modules -prune -o -type d -print -o -name lspci -print -o -name '*.so*' -print | cpio -o -H newc) > lspci.cpio
	cat > keys <<-'EOF'
		lspci -n; lspci -vn -s 1 | grep -E 'Memory|I/O'
		cat /proc/interrupts | grep -E ' (0|4|8|9):'; ls /sys/bus/acpi/devices | tr '\n' ' '
		insmod /lib/modules/qemu_fw_cfg.ko; cat /sys/firmware/qemu_fw_cfg/by_name/opt/greeting/raw; echo
		dmesg | grep -E 'ACPI (BIOS )?(Error|Warning|Exception)|(Firmware|BIOS|FW) (Bug|Warn)'; echo "end of complaints $?"; sleep 1
		exit
	EOF
	boot 0 --kernel /boot/vmlinuz -b anon --initrd lspci.cpio --fw-cfg greeting=greeting --append 'console=ttyS0 quiet'
	seen '^00:00.0 0600: 1b36:0008'
	seen '^00:01.0 ff00: 1b36:0005'
	seen 'Memory at f0000000'
	seen 'I/O ports at c000'
	seen '^end of complaints 1'
	seen 'ttyS0'
	seen 'rtc0'
	seen 'PNP0A08:00'
	seen 'QEMU0002:00'
	seen '^from the host'
	# Nothing of what was looked for stands between the command and its end.
	is "$(sed -n '/^from the host/,/^end of complaints/p' out | grep -c '^\[')" 0
	# Without the tables.
	printf 'ls -d /sys/firmware/acpi/tables || echo no tables; sleep 1; reboot -f\n' > keys
	boot 0 --kernel /boot/vmlinuz -b anon --no-acpi --append 'console=ttyS0 quiet reboot=k'
	seen '^no tables'
	only 'the guest reset the machine'
	printf 'cat /sys/devices/system/clocksource/clocksource0/available_clocksource; sleep 1; exit\n' > keys
	boot 0 --kernel /boot/vmlinuz -b anon --no-hpet --append 'console=ttyS0 quiet'
	seen 'acpi_pm'
	lacks hpet out
}
linux_sleeps_and_its_alarm_wakes_it() {
	cat > keys <<-'EOF'
		cd /sys/class/rtc/rtc0; a=$(date +%s); echo +2 > wakealarm; echo mem > /sys/power/state; b=$(date +%s)
		echo "slept $((b - a >= 1 && b - a < 200))"; dmesg | grep 'PM: suspend exit' | sed 's/\[ *\([0-9]*\).*/uptime \1/'; nproc; sleep 1
		exit
	EOF
	for backing in $RAM anon; do
		boot 0 --kernel /boot/vmlinuz -b $backing --cpus 2 --append 'console=ttyS0 quiet'
		seen '^slept 1'
		seen '^2'
		# kvmclock has gone on.
		[ "$(sed -n 's/^uptime \([0-9]*\).*/\1/p' out)" -lt 1000 ]
		says 'the guest sleeps'
		says 'the guest wakes up'
	done
}
linux_sleeps_and_the_button_wakes_it() {
	typing -b anon --cpus 2 --gdb ./socket
	echo 'insmod /lib/modules/button.ko; echo mem > /sys/power/state; echo "awake $?"' >&3
	soon grep -q 'the guest sleeps' err
	# A debugger that looks at it does not wake it.
	gdb 'print $rip' 'detach'
	tells '= (void'
	sleep 1
	lacks 'awake 0' out
	printf '\001p' >&3
	soon grep -q '^awake 0' out
	echo 'exit' >&3
	ended 0
	says 'the guest wakes up'
}
# typing ARGUMENT...: Linux in the background; what is written to descriptor 3 is typed.
typing() {
	huge
	rm -f typed
	mkfifo typed
	# For reading too, so that it opens at once.
	exec 3<> typed
	start_from typed $CPU --kernel /boot/vmlinuz --initrd /boot/initrd --append 'console=ttyS0 quiet' "$@"
}
# Likewise, with what is in `keys` typed, until that says that the guest waits for the button.
listening_linux() {
	typing -b anon "$@"
	cat keys >&3
	soon grep -q '^ready' out
	sleep 1
}
linux_hears_the_power_button() {
	cat > keys <<-'EOF'
		insmod /lib/modules/button.ko; insmod /lib/modules/evdev.ko; echo ready
		dd if=/dev/input/event0 bs=24 count=1 2> /dev/null | hexdump -e '8/1 "" 8/1 "" 2/2 "event %x " 1/4 "%x\n"'; echo pressed; sleep 1; poweroff -f
	EOF
	for way in term keys; do
		listening_linux --grace 30
		case $way in
		term) kill $pid ;;
		keys) printf '\001p' >&3 ;;
		esac
		status=0
		wait $pid || status=$?
		is $status 0
		seen '^pressed'
	done
	# A guest that does not switch off is ended when the time is over, and by a second signal; without the driver, at once.
	sed -i 's/poweroff -f/cat/' keys
	for second in no yes; do
		listening_linux --grace 4
		kill $pid
		soon grep -q '^pressed' out
		if [ $second = yes ]; then
			kill $pid
			ended 143
			lacks 'in the time of --grace' err
		else
			status=0
			wait $pid || status=$?
			is $status 143
			says 'the guest has not switched off in the time of --grace'
		fi
	done
	start -b anon --kernel $F/kernel/serial.elf --grace 100 < /dev/null
	sleep 1
	kill $pid
	ended 143
}
linux_resets_in_each_way() {
	# Linux tries one way after the other: the last exit tells which one it was. Without EFI, efi comes to bios.
	while read -r way last; do
		boot 0 --kernel /boot/vmlinuz -b anon --trace=exits --trace-file trace --append "console=ttyS0 quiet reboot=$way do=reboot"
		seen 'reboot: Restarting system'
		only 'the guest reset the machine' || { echo "reboot=$way"; return 1; }
		tail -n 1 trace | grep -q "$last" || { tail -n 1 trace; return 1; }
	done <<-'EOF'
		acpi rip 0xf.*OUT port 0xcf9.* 0x06
		kbd OUT port 0x64.* 0xfe
		pci OUT port 0xcf9.* 0x0e
		bios rip 0xfff5: OUT port 0xcf9
		efi rip 0xfff5: OUT port 0xcf9
	EOF
	# And starts again.
	for how in 'restart acpi' 'cold acpi' 'restart kbd' 'restart triple'; do
		set -- $how
		typing --cpus 2 --reset=$1 --append "console=ttyS0 quiet reboot=$2"
		echo 'reboot -f' >&3
		soon grep -q 'starts again' err
		soon sh -c '[ "$(grep -c BusyBox out)" = 2 ]'
		echo 'poweroff -f' >&3
		soon sh -c '! kill -0 $0 2> /dev/null' $pid || kill $pid
		status=0
		wait $pid || status=$?
		is $status 0
		case $2 in
		triple) says 'triple fault' ;;
		*) only 'the guest reset the machine, which starts again' ;;
		esac
	done
}
# cpu MODEL: what Linux sees of such a processor.
cpu() {
	printf "grep -E '^(vendor|cpu f|model|step|flags|processor)' /proc/cpuinfo; sleep 1; exit\n" > keys
	boot 0 --kernel /boot/vmlinuz -b anon --cpu "$1" --append 'console=ttyS0 quiet'
}
linux_sees_the_processor_that_is_asked_for() {
	[ -z "$CPU" ] || skip 'this Linux needs --cpu host,-xsave'
	p 0 --cpu help
	seen '^0x1 EDX: fpu de pse'
	seen '^0x80000001 EDX: .* lm'
	cpu baseline
	for name in lm nx sse2 syscall hypervisor; do seen "^flags.* $name\( \|\r\|\$\)"; done
	for name in pni smep x2apic umip svm; do is "$name $(grep -c "^flags.* $name " out)" "$name 0"; done
	cpu baseline,+pni,+smep
	seen '^flags.* pni '
	seen '^flags.* smep'
	cpu max
	max=$(grep '^flags' out | wc -w)
	cpu host
	seen '^flags.* smap '
	[ "$(grep '^flags' out | wc -w)" -le "$max" ]
	cpu host,-xsave,-smap,vendor=GenuineIntel,family=6,model=0x8f,stepping=6,brand=Biscuit
	is "$(grep -cE '^flags.* (smap|avx|f16c|xsave) ' out)" 0
	seen '^vendor_id.*GenuineIntel'
	seen '^cpu family.*: 6'
	seen '^model.*: 143'
	seen '^model name.*: Biscuit'
	seen '^stepping.*: 6'
	p 1 --cpu host,+avx512f --kernel /boot/vmlinuz -b anon
	only "--cpu: this host's KVM cannot offer avx512f
  --cpu help lists what it can offer"
	p 2 --cpu host,+nothing --kernel /boot/vmlinuz
	says '--cpu host,+nothing: no feature is called nothing'
	p 2 --cpu host,-ibrs --kernel /boot/vmlinuz
	says 'Linux makes it of one of these: spec_ctrl, amd_ibrs'
	p 2 --cpu host,-apic --kernel /boot/vmlinuz
	says 'Switch that off with --no-apic'
	p 2 --cpu amd --kernel /boot/vmlinuz
	says '--cpu amd: amd means nothing'
	p 2 --cpu host, --kernel /boot/vmlinuz
	says '--cpu host,: something is missing between its commas, or behind + or -'
	p 0 --check -b anon $F/halt.bin
	grep -q 'features of --cpu host' out
	grep -q '0x1 EDX: fpu de pse' out
	p 0 --check -b anon --cpu baseline,+pni $F/halt.bin
	finds 'ok --cpu its features:'
	grep -q '0x1 ECX: pni hypervisor$' out
	p 1 --check -b anon --cpu host,+avx512f $F/halt.bin
	finds "MISSING --cpu --cpu: this host's KVM cannot offer avx512f"
	finds 'unknown VM and vCPU not tried, since there is no such processor'
}
linux_boots_without_each_part_of_the_board() {
	for option in --no-pit --no-hpet --no-apic '--no-pit --no-hpet'; do
		boot 0 --kernel /boot/vmlinuz -b anon $option --append 'console=ttyS0 quiet do=off'
		seen 'KOB-2M: Linux'
		silent
	done
	boot 0 --kernel /boot/vmlinuz -b anon --no-acpi --append 'console=ttyS0 quiet reboot=k do=reboot'
	seen 'KOB-2M: Linux'
	printf 'grep -c ioapic -i /proc/interrupts; grep XT-PIC /proc/interrupts; sleep 1; exit\n' > keys
	boot 0 --kernel /boot/vmlinuz -b anon --no-apic --append 'console=ttyS0 quiet'
	seen 'XT-PIC .*ttyS0'
	p 2 --no-apic --cpus 2 --kernel /boot/vmlinuz
	says '--no-apic: not with --cpus 2: processors start each other by their local APICs'
}
the_interrupt_controllers_do_the_same_wherever_they_are() {
	for where in full split 'split --cpus 2'; do
		k 1 irqchip -b anon --irqchip $where
		prints 'requests, poll, priorities, edges and levels, timer, messages, levels\n'
	done
	for where in none 'split --no-apic' 'full --no-apic'; do
		k 1 irqchip -b anon --irqchip $where
		prints 'requests, poll, priorities, edges and levels, timer\n'
	done
	p 2 --irqchip none --cpus 2 $F/halt.bin
	says '--irqchip none: not with --cpus 2: processors start each other by their local APICs'
	p 2 --irqchip=some $F/halt.bin
	says '--irqchip some: not one of full, split, none'
}
the_end_of_a_level_exits_where_the_i_o_apic_is_not_kvm_s() {
	b 0 --irqchip split --stats $F/eoi.bin
	prints 'an edge: 1 interrupt\na level: 2 interrupts\n'
	shows 'KVM_EXIT_IOAPIC_EOI 2'
	b 0 --stats $F/eoi.bin
	prints 'an edge: 1 interrupt\na level: 2 interrupts\n'
	lacks KVM_EXIT_IOAPIC_EOI err
}
hlt_waits_in_the_program_where_no_controller_is_kvm_s() {
	b 0 --irqchip none --stats $F/pic.bin
	prints '10 ticks of the PIT through the 8259\n'
	says KVM_EXIT_HLT
	p 3 --irqchip none -b anon $F/halt.bin
	says 'nothing can wake the guest'
	# sti; hlt; jmp to the hlt
	printf '\373\364\353\375' > guest
	start --irqchip none -b anon guest < /dev/null
	sleep 4
	kill -0 $pid
	kill $pid
	ended 143
}
linux_boots_wherever_the_interrupt_controllers_are() {
	for where in 'split --cpus 2' 'split --no-hpet' none; do
		printf 'grep ttyS0 /proc/interrupts; sleep 1; exit\n' > keys
		boot 0 --kernel /boot/vmlinuz -b anon --irqchip $where --append 'console=ttyS0 quiet'
		case $where in
		none) seen 'XT-PIC .*ttyS0' ;;
		*) seen 'IO-APIC .*ttyS0' ;;
		esac
	done
}
# A standard input that never ends: gdb quits where it does. In descriptor 4.
quiet() {
	[ -p quiet ] || mkfifo quiet
	exec 4<> quiet
}
# gdb COMMAND...: real gdb, connected to the socket, executes them. What it says is in `said`.
gdb() {
	quiet
	printf '%s\n' 'set pagination off' 'set confirm off' 'set remotetimeout 30' 'target remote ./socket' "$@" > commands
	timeout 100 /usr/bin/gdb -q -nx -batch -x commands <&4 > said 2>&1 || :
}
tells() { grep -q -- "$1" said || { echo "no '$1' in: $(cat said)"; false; }; }
# debugged ARGUMENT...: a guest in the background that waits for the debugger.
debugged() {
	start --gdb ./socket --gdb-wait -b anon "$@"
	soon grep -q 'the guest waits for a debugger: target remote ./socket' err
}
a_debugger_steps_a_lesson_and_sees_registers_and_memory() {
	debugged --pause 0 $F/_BiscuitOS-VM.iso
	gdb 'info threads' 'info registers eip cs eflags cr0 cs_base' 'x/3i $pc' 'stepi' 'stepi' 'info registers eip ax' \
		'set $bx = 0x1041' 'set var *(char*)0x1042 = 0x21' 'x/3c 0x1040' 'stepi' 'print $eip' 'info registers bx' \
		'set $xmm1.v4_int32[2] = 0x1234' 'print/x $xmm1.v4_int32[2]' 'print/x $fctrl' 'print/x $mxcsr' \
		'set $ds = 0x123' 'print/x $ds_base' 'monitor phys 0x1040 4' 'monitor regs' 'monitor help' \
		'monitor nonsense' 'monitor walk 0x1000' 'monitor dirty' 'x/1b 0x80000000'
	kill $pid
	ended 143
	tells '^\* 1 *Thread 1 (vCPU 0: runs)'
	tells '^eip  *0x1000 '
	tells '^=> 0x1000:.mov  *$0x1040,%bx'
	tells '^   0x1005:.out  *%ax,$0x10'
	tells '^eip  *0x1005 '
	tells '^ax  *0x6548 '
	tells "^0x1040:.72 'H'.101 'e'.33 '!'"
	tells '^bx  *0x1041 '
	tells '= 0x1234$'
	tells '= 0x37f$'
	tells '= 0x1f80$'
	tells '= 0x1230$'
	tells 'Cannot access memory at address 0x80000000'
	tells '^0x1040: 48 65 21 6c'
	tells '^  mode: real mode, no paging, ring 0'
	tells '^walk ADDRESS '
	tells '^nonsense: no such command, or'
	tells '^there is no dirty log without --dirty-log'
	is "$(head -c 1 out)" H
	[ ! -e socket ]
}
a_debugger_stops_linux_on_two_vcpus_and_leaves_no_trace() {
	typing -b anon --cpus 2 --gdb ./socket
	soon grep -q BusyBox out
	# It comes while the guest runs, and holds all of it.
	gdb 'info threads' 'thread 2' 'info registers rip cr3' 'thread 1' 'stepi' 'stepi' 'stepi' 'monitor walk $pc' 'monitor walk 0xffffffff81000000' \
		'print $efer' 'detach'
	tells 'Thread 1 (vCPU 0: '
	tells 'Thread 2 (vCPU 1: '
	tells '^cr3 '
	tells 'PML4E at 0x'
	tells 'GPA 0x'
	says 'gdb: it has left'
	# Ctrl-C, while it runs.
	timeout 100 /usr/bin/gdb -q -nx -batch -ex 'target remote ./socket' -ex 'continue' -ex 'echo stopped\\n' -ex 'x/i $pc' -ex 'detach' <&4 > said 2>&1 &
	other=$!
	soon sh -c '[ "$(grep -c "gdb: connected" err)" = 2 ]'
	sleep 1
	kill -INT $other
	wait $other
	tells 'received signal SIGINT'
	tells 'stopped'
	tells '=> 0x'
	echo 'echo still $((40 + 2)); nproc' >&3
	soon grep -q '^still 42' out
	echo 'poweroff -f' >&3
	soon sh -c '! kill -0 $0 2> /dev/null' $pid || kill $pid
	status=0
	wait $pid || status=$?
	is $status 0
	is "$(grep -ciE 'warn|bug|stall|unexpected' out)" 0
}
a_debugger_steps_linux_from_its_first_instruction() {
	debugged --cpus 2 --kernel /boot/vmlinux --initrd /boot/initrd --append 'console=ttyS0 quiet nokaslr do=off'
	gdb 'print $pc' 'x/2i $pc' 'stepi 200' 'info threads' 'thread 2' 'print $pc' 'thread 1' 'continue'
	ended 0
	tells '= (void (\*)()) 0x1000'
	tells '(vCPU 0: runs)'
	tells '(vCPU 1: not started)'
	tells '= (void (\*)()) 0xfff0'
	tells 'exited normally'
}
# As docs/debugging.md shows it.
a_debugger_steps_through_the_set_up_of_linux_page_tables() {
	debugged --kernel /boot/vmlinux --initrd /boot/initrd --append 'console=ttyS0 quiet nokaslr do=off'
	cat > commands <<-'EOF'
		set pagination off
		set confirm off
		target remote ./socket
		monitor walk $pc
		set $before = $cr3
		set $steps = 0
		while $cr3 == $before && $steps < 6000
		stepi
		set $steps = $steps + 1
		end
		print $steps < 6000
		monitor walk 0xffffffff81000000
		detach
	EOF
	quiet
	timeout 200 /usr/bin/gdb -q -nx -batch -x commands <&4 > said 2>&1 || :
	tells '^0x1000[0-9a-f]* of vCPU 0:$'
	tells 'PDE at 0x[0-9a-f]*: 0x10000a7 P RW US A PS'
	tells '= 1$'
	is "$(sed -n '/^0xffffffff81000000 of vCPU 0:/,$p' said | grep -c 'GPA 0x1000000$')" 1
	soon grep -q 'KOB-2M: Linux' out || soon grep -q 'KOB-2M: Linux' out
	ended 0
}
a_guest_that_dies_stops_in_the_debugger() {
	debugged --mode protected $F/broken/triple.bin
	gdb 'continue' 'print $_siginfo' 'monitor regs' 'x/2b 0x1000' 'continue'
	ended 3
	tells 'KVM_EXIT_SHUTDOWN: triple fault'
	tells 'Program received signal SIGABRT'
	tells 'exited with code 03'
	says 'KVM_EXIT_SHUTDOWN: triple fault'
	# Likewise where nothing can wake it: cli; hlt; jmp to the hlt.
	printf '\372\364\353\375' > guest
	debugged --irqchip guest
	gdb 'continue' 'continue'
	ended 3
	tells 'nothing can wake the guest'
}
one_debugger_at_a_time_and_one_after_the_other() {
	printf '\353\376' > guest
	debugged guest
	quiet
	timeout 60 /usr/bin/gdb -q -nx -ex 'target remote ./socket' -ex 'shell sleep 60' <&4 > first 2>&1 &
	first=$!
	soon grep -q 'gdb: connected' err
	gdb 'print $eip'
	tells 'closed'
	says 'gdb: another debugger is refused'
	kill -9 $first
	wait $first 2> /dev/null || :
	soon grep -q 'the connection is lost; the guest waits for the next one at ./socket' err
	# What is no gdb does no harm.
	echo 'GET / HTTP/1.0' > request
	for count in 1 2 3; do gdb 'print $eip' 'disconnect'; tells '= (void (\*)()) 0x1000'; done
	kill $pid
	ended 143
	[ ! -e socket ]
	# A socket that a killed program has left is no obstacle; a file is, and stays.
	debugged guest
	kill -9 $pid
	wait $pid 2> /dev/null || :
	[ -S socket ]
	debugged guest
	p 1 --gdb ./socket -b anon guest
	says '--gdb ./socket: bind: EADDRINUSE (98): another program or a file is there'
	kill $pid
	ended 143
	echo text > socket
	p 1 --gdb ./socket -b anon guest
	says 'EADDRINUSE (98)'
	is "$(cat socket)" text
	rm socket
	p 1 --gdb ./none/socket -b anon guest
	says '--gdb ./none/socket: bind: ENOENT (2): no such directory'
	p 1 --check --gdb ./none/socket -b anon guest
	finds 'MISSING --gdb --gdb ./none/socket'
	for address in 10.0.0.1:1234 :0 :65536 gdb 1234; do
		p 2 --gdb $address guest
		says "--gdb $address: not a path such as /tmp/gdb, or a port of this host such as :1234"
	done
	p 2 --gdb-wait guest
	says '--gdb-wait: only with --gdb'
	p 2 --gdb :1234 --step guest
	says '--gdb: not with --step'
}
a_guest_that_halts_goes_on_halting_behind_the_debugger_s_back() {
	# Unmask line 4 at the first 8259, sti; 1: hlt; mov $'x', %al; out %al, $0x10; jmp 1b.
	printf '\260\357\346\041\373\364\260\170\346\020\353\371' > guest
	for where in full split none; do
		start --gdb ./socket -b anon --irqchip $where guest < /dev/null
		soon [ -S socket ]
		sleep 1
		for count in 1 2; do
			gdb 'print $eip' 'detach'
			tells '= (void (\*)()) 0x1006'
		done
		sleep 1
		prints ''
		kill $pid
		ended 143
	done
}
what_the_debugger_sets_the_guest_finds() {
	# Protected mode: movaps %xmm1, 0x2000; stmxcsr 0x2010; fnstcw 0x2014; jmp to itself.
	printf '\017\051\015\000\040\000\000\017\256\035\020\040\000\000\331\075\024\040\000\000\353\376' > guest
	debugged --mode protected guest
	gdb 'set $xmm1.v4_int32[2] = 0x1234' 'set $mxcsr = 0x1fa0' 'set $fctrl = 0x27f' 'set $cr4 = $cr4 | 0x200' 'set $ecx = 0x55' 'stepi' 'stepi' 'stepi' \
		'print/x *(int*)0x2008' 'print/x *(int*)0x2010' 'print/x *(short*)0x2014' 'print/x $ecx' 'kill'
	ended 0
	tells '^\$1 = 0x1234'
	tells '^\$2 = 0x1fa0'
	tells '^\$3 = 0x27f'
	tells '^\$4 = 0x55'
}
a_step_across_an_instruction_that_exits_can_be_interrupted() {
	# mov $10, %al; out %al, $0x10, which pauses; nop; jmp to itself.
	printf '\260\012\346\020\220\353\376' > guest
	debugged --pause 3 guest
	quiet
	timeout 100 /usr/bin/gdb -q -nx -batch -ex 'target remote ./socket' -ex 'stepi' -ex 'stepi' -ex 'print $eip' -ex 'stepi' -ex 'print $eip' -ex 'kill' <&4 > said 2>&1 &
	other=$!
	sleep 2
	kill -INT $other
	wait $other || :
	ended 0
	tells '0x1004$'
	tells '0x1005$'
}
a_step_is_one_instruction_whatever_that_is() {
	debugged --mode long --irqchip --pause 0 /root/steps.bin
	{
		printf '%s\n' 'set pagination off' 'set confirm off' 'set remotetimeout 30' 'target remote ./socket' 'while $pc != 0x1100' stepi end 'x/i $pc'
		for step in 1 2 3 4 5 6 7 8 9 10 11 12 13; do printf 'stepi\nx/i $pc\n'; done
		echo continue
	} > commands
	quiet
	timeout 100 /usr/bin/gdb -q -nx -batch -x commands <&4 > said 2>&1 || :
	ended 1
	# QEMU does not stop behind STI.
	is "$(sed -n 's/^=> [^:]*:[^a-z]*\([a-z]*\).*/\1/p' said | tr '\n' ' ' | sed 's/sti nop/sti/')" \
		'rep rep rep pushf pop sti hlt nop syscall jmp iretq nop or test '
}
a_debugger_moves_one_vcpu_while_the_others_are_held() {
	debugged --cpus 2 --kernel /root/counters.elf
	count='printf "%d %d\n", *(int*)0x500000, *(int*)0x500040'
	cat > commands <<-EOF
		set pagination off
		set confirm off
		target remote ./socket
		thread 2
		stepi
		thread 1
		shell touch both
		continue
		$count
		stepi 30
		$count
		thread 2
		stepi 30
		$count
		set scheduler-locking on
		shell touch one
		continue
		$count
		set scheduler-locking off
		shell touch again
		continue
		$count
		kill
	EOF
	quiet
	timeout 100 /usr/bin/gdb -q -nx -batch -x commands <&4 > said 2>&1 &
	other=$!
	for mark in both one again; do
		soon [ -e $mark ]
		sleep 1
		kill -INT $other
	done
	wait $other
	ended 0
	tells 'this vCPU is not started, and only another one can start it'
	sed -n '/^[0-9]* [0-9]*$/p' said | {
		read one two
		[ $one -gt 0 ] && [ $two -gt 0 ]
		# Which instruction each was at, nobody knows: 30 are 15 rounds.
		read one_stepped same
		is "$same $((one_stepped - one))" "$two 15"
		read same two_stepped
		is "$same $((two_stepped - two))" "$one_stepped 15"
		read same two
		is $same $one_stepped
		[ $two -gt $((two_stepped + 100)) ]
		read one last
		[ $one -gt $((one_stepped + 100)) ] && [ $last -gt $((two + 100)) ]
	}
}
a_reset_stops_in_the_debugger_where_that_is_wanted() {
	# mov $0xfe, %al; out %al, $0x64; hlt: a reset.
	printf '\260\376\346\144\364' > guest
	debugged --irqchip --reset=restart guest
	gdb 'monitor stop-at-reset on' 'continue' 'print $eip' 'monitor stop-at-reset off' 'kill'
	ended 0
	tells '= (void (\*)()) 0x1000'
	says 'the guest reset the machine, which starts again'
	printf '\353\376' > guest
	debugged --irqchip --reset=restart guest
	gdb 'monitor stop-at-reset on' 'monitor reset' 'print $eip' 'kill'
	ended 0
	says 'the guest reset the machine, which starts again'
	# mov $0xfe, %al; out %al, $0x64; hlt, where a reset ends the run.
	printf '\260\376\346\144\364' > guest
	debugged --irqchip --reset=end guest
	gdb 'monitor stop-at-reset on' 'continue' 'print $eip' 'continue'
	ended 0
	tells '^the guest reset the machine'
	tells 'received signal SIGABRT'
	tells '= (void (\*)()) 0x1004'
	tells 'exited normally'
}
a_debugger_comes_by_tcp_and_asks_for_what_gdb_has_no_words_for() {
	ifconfig lo 127.0.0.1
	# Protected mode: mov $0x1234, %eax; mov %eax, 0x2000; out %al, $0x10; jmp to itself.
	printf '\270\064\022\000\000\243\000\040\000\000\346\020\353\376' > guest
	start --gdb :4321 --gdb-wait -b anon --mode protected --stats --dirty-log guest
	soon grep -q 'the guest waits for a debugger: target remote :4321' err
	quiet
	timeout 100 /usr/bin/gdb -q -nx -batch -ex 'target remote 127.0.0.1:4321' -ex 'monitor dirty' -ex 'stepi 4' -ex 'monitor exits' -ex 'monitor stats' -ex 'monitor dirty' -ex 'monitor phys on' -ex 'x/1xw 0x2000' \
		-ex 'set *(int*)0x2000 = 0x77' -ex 'monitor phys off' -ex 'x/1xw 0x2000' -ex 'maintenance packet qHostInfo' -ex kill <&4 > said 2>&1 || :
	ended 0
	is "$(grep -c 'KVM_EXIT_IO  *1$' said)" 2
	tells '^pages written: none'
	tells '^  0x[12]000 to 0x2fff: '
	tells '^addresses are guest-physical now'
	tells '^0x2000:.0x00001234'
	tells '^0x2000:.0x00000077'
	# i386-unknown-unknown
	tells 'received: "triple:693338362d756e6b6e6f776e2d756e6b6e6f776e;endian:little;"'
}
a_debugger_meets_breakpoints_and_watches_memory() {
	# mov $0x2000, %bx; 1: incw (%bx); nop; jmp 1b
	printf '\273\000\040\377\007\220\353\373' > guest
	debugged guest
	! grep -q 'this KVM has no breakpoints' err || {
		kill $pid
		ended 143
		skip 'QEMU emulates neither INT3 nor DR7 for KVM'
	}
	gdb 'break *0x1005' 'continue' 'x/1xb 0x1005' 'continue' 'print *(short*)0x2000' 'delete' 'hbreak *0x1003' 'continue' 'print $eip' 'delete' \
		'watch *(short*)0x2000' 'continue' 'continue' 'kill'
	ended 0
	tells '^0x1005:.0x90'
	tells 'Hardware watchpoint'
}
the_tsc_runs_as_fast_as_it_is_told() {
	p 1 --tsc-khz 1000 --kernel /boot/vmlinuz -b anon
	says "KVM_SET_TSC_KHZ on a vCPU: EINVAL (22): this processor can't give a guest's TSC that speed"
	# Without help of the processor KVM promises what it does not do.
	case $(p 0 --check -b anon $F/halt.bin; grep TSC_CONTROL out) in
	absent*)
		k 3 tsc -b anon --tsc-khz 4000000
		says "warning: --tsc-khz 4000000: this processor can't scale a guest's TSC"
		prints 'two leaves agree, ' ;;
	*)
		k 1 tsc -b anon --tsc-khz 4000000
		prints 'two leaves agree, and so does the PM timer\n' ;;
	esac
	p 2 --tsc-khz 0 --kernel /boot/vmlinuz
	says '--tsc-khz 0: must not be 0'
	# mov $0x40000010, %eax; cpuid; cmp $3000000, %eax; sete %al; out %al, $0xf4: and the same of leaf 0x15's EBX.
	printf '\146\270\020\000\000\100\017\242\146\075\300\306\055\000\017\224\300\346\364' > guest
	p 3 --irqchip --tsc-khz 3000000 -b anon guest
	says 'the guest ended with status 3'
	p 1 --irqchip -b anon guest
	printf '\146\270\025\000\000\000\017\242\146\201\373\300\306\055\000\017\224\300\346\364' > guest
	p 3 --irqchip --tsc-khz 3000000 -b anon guest
	says 'the guest ended with status 3'
}
sigterm_at_any_moment_ends_two_vcpus_within_a_second() {
	huge
	round=0
	while [ $round -lt 100 ]; do
		start --kernel /boot/vmlinuz --initrd /boot/initrd --cpus 2 < /dev/null
		usleep $((round * 7919 % 250 * 1000))
		kill $pid
		ended 143 || { echo "in round $round"; return 1; }
		round=$((round + 1))
	done
	nothing_is_left
}

# ---- saved, and restored

# saved_linux ARGUMENT...: Linux on two vCPUs in the background, at its shell's prompt; what is written to descriptor 3 is typed.
saved_linux() {
	typing --memory 96M --cpus 2 "$@"
	soon grep -q BusyBox out
	sleep 1
}
# saves STATUS: SIGUSR2 ends the program in the background with a snapshot.
saves() {
	kill -USR2 $pid
	status=0
	wait $pid || status=$?
	is $status "$1"
}
# restored ARGUMENT...: the snapshot goes on in the background; what is typed comes from descriptor 3 again.
restored() { start_from typed --restore ./snapshot "$@"; }
# answers TEXT: Linux computes something and switches off.
answers() {
	echo "echo $1 \$((6 * 7)); nproc; grep -c . /proc/interrupts; poweroff -f" >&3
	tries=0
	while kill -0 $pid 2> /dev/null && [ $tries -lt 400 ]; do
		tries=$((tries + 1))
		usleep 50000
	done
	[ $tries -lt 400 ] || { echo "no end: $(tail -n 3 out err)"; kill $pid; return 1; }
	status=0
	wait $pid || status=$?
	is $status 0
	seen "^$1 42"
	is "$(grep -ciE 'warn|bug:|stall|lockup|unexpected' out)" 0
}
a_guest_finds_all_as_it_was_saved() {
	for how in '--irqchip full --pit program' '--irqchip full --pit kernel' '--irqchip split'; do
		p 1 -b anon -m 16M $how --save-ram ./snapshot --kernel $F/kernel/save.elf
		prints 'registers, controllers, timers, devices: as they were\n'
		says 'saved to ./snapshot, with RAM'
		[ "$(stat -c %s snapshot)" = $((18 << 20)) ]
		# Only what was written takes room.
		[ "$(du -k snapshot | cut -f1)" -lt 512 ]
		for backing in '' '-b anon' '-b thp' '-b memfd' "-b $RAM"; do
			p 1 --restore ./snapshot $backing
			prints 'registers, controllers, timers, devices: as they were\n'
			tells_status
		done
	done
	p 1 --irqchip split --save ./snapshot --kernel $F/kernel/save.elf -m 16M -b memfd
	says 'saved to ./snapshot, with RAM'
}
ram_stays_in_its_file_and_can_be_shared_or_taken_over() {
	saved_linux --save ./snapshot
	saves 0
	only "saved to ./snapshot; RAM stays in $RAM, and the machine ends here"
	[ "$(stat -c %s snapshot)" -lt 65536 ]
	is "$(ls snapshot*)" snapshot
	# Twice, each with a copy of what it writes.
	for name in first second; do
		restored --stats
		answers $name
		says 'a private copy of a snapshot'
		counts_pages
		says 'of 2 MiB and 0 of 4 KiB'
	done
	# Now the guest goes on in the same pages, and that is the end of the snapshot.
	restored -b $RAM
	answers third
	p 1 --restore ./snapshot
	only "./snapshot: RAM in $RAM: another machine has run in this file since, or its mode or owner was changed"
	p 1 --restore ./snapshot -b anon
	p 1 --restore ./snapshot --check
	rm $RAM
	p 1 --restore ./snapshot
	only "./snapshot: RAM in $RAM: the file is gone"
}
a_path_that_is_written_otherwise_is_the_same_ram() {
	ln -s /mnt/HugePagefs ram
	printf '\260\015\346\354\364' > guest
	p 0 -b ram/x --save ./snapshot guest
	says 'RAM stays in /mnt/HugePagefs/x, and the machine ends here'
	p 0 -b ../../mnt/HugePagefs/x --restore ./snapshot --check
	p 1 -b ../HugePagefs/x --restore ./snapshot --check
	p 0 --restore ./snapshot -b ram/x
	says 'KVM_EXIT_HLT: the guest halted'
	p 1 --restore ./snapshot
	says 'another machine has run in this file since'
	rm /mnt/HugePagefs/x
}
while_a_copy_runs_its_ram_is_not_given_away() {
	printf '\260\015\346\354\353\376' > guest
	p 0 --save ./snapshot guest
	start --restore ./snapshot
	soon a_vm_is_there
	usleep 200000
	p 1 --restore ./snapshot -b $RAM
	says 'another VM has it'
	p 1 $F/halt.bin
	says 'another VM has it'
	kill $pid
	ended 143
	p 0 --restore ./snapshot --check
}
# answering_linux ARGUMENT...: Linux on two vCPUs, to which something is typed from the start. It says `it is 42, on 2` in the end.
answering_linux() {
	rm -f typed
	mkfifo typed
	exec 3<> typed
	echo 'echo it is $((6 * 7)), on $(nproc)' >&3
	start_from typed $CPU --kernel /boot/vmlinux --initrd /boot/initrd --memory 96M --cpus 2 --append 'console=ttyS0' "$@"
}
answered() { soon grep -q '^it is 42, on 2' out || soon grep -q '^it is 42, on 2' out || { echo "no answer: $(tail -n 5 out err)"; kill $pid; return 1; }; }
# How many microseconds Linux takes until it answers, here and now.
time_until_answer() {
	before=$(cut -d' ' -f1 /proc/uptime | tr -d .)
	answering_linux "$@"
	answered
	after=$(cut -d' ' -f1 /proc/uptime | tr -d .)
	echo 'poweroff -f' >&3
	wait $pid
	start_takes=$(((after - before) * 10000))
}
linux_is_saved_at_a_hundred_random_moments_of_its_start_and_answers() {
	huge
	time_until_answer
	answering_linux --save ./snapshot
	round=0
	: > all
	while [ $round -lt 100 ]; do
		soon a_vm_is_there
		# Each machine touches its pages anew, and gets less far.
		usleep $((start_takes / 50 + round * 7919 % 31 * 1000))
		kill -USR2 $pid
		status=0
		wait $pid || status=$?
		is "$round: $status" "$round: 0"
		says 'and the machine ends here' || { echo "it has ended before, in round $round"; return 1; }
		cat out >> all
		# A line may be cut by a save: all of them are searched.
		[ "${up-}" ] || ! grep -q 'Brought up .* 2 CPUs' all || up=$round
		start_from typed --restore ./snapshot -b $RAM --save ./snapshot
		round=$((round + 1))
	done
	# It was saved before and after it has started its second processor.
	[ ${up-0} -gt 0 ] || { echo "the second processor came in round ${up-none}"; return 1; }
	# On a host that is slower now than it was, the last machine answers.
	soon sh -c "cat all out | grep -q '^it is 42, on 2'"
	echo 'echo and $((6 * 8)); poweroff -f' >&3
	soon grep -q '^and 48' out
	wait $pid
	# One warning is QEMU's, whose sizes of the XSAVE area contradict each other.
	is "$(grep -E 'WARNING: CPU|BUG:|stall|soft lockup|unexpected' all | grep -v fpu__init_system_xstate)" ''
}
# Moments in hundredths of Linux' start.
each_moment_s_snapshot_finishes_its_start() {
	[ "${FAULTS-}" = all ] && moments=$(seq 100) || moments='10 50 90'
	huge
	time_until_answer -b thp
	for moment in $moments; do
		huge
		answering_linux -b thp --save-ram ./snapshot
		usleep $((start_takes * moment / 100))
		kill -USR2 $pid
		soon grep -q 'saved to ./snapshot, with RAM' err
		# The machine goes on.
		answered
		echo 'poweroff -f' >&3
		wait $pid
		echo 'echo it is $((6 * 7)), on $(nproc)' >&3
		restored -b memfd
		answered
		echo 'poweroff -f' >&3
		wait $pid
	done
}
what_was_saved_kvm_gives_back() {
	saved_linux -b anon --save ./one
	kill -USR2 $pid
	soon grep -q 'saved to ./one, with RAM' err
	echo 'poweroff -f' >&3
	wait $pid
	start --gdb ./socket --gdb-wait --restore ./one
	soon grep -q 'the guest waits for a debugger' err
	gdb 'monitor save ./two' 'kill'
	tells '^saved, with RAM'
	ended 0
	/root/compare one two > out || { cat out; return 1; }
	prints '2 vCPUs\n'
}
the_limit_of_kvm_s_tables_is_told_where_the_kernel_tells_it() {
	p 0 --lesson mmu-pages
	case $(uname -r) in
	6.1.*) grep -q '^KVM_GET_NR_MMU_PAGES: 128$' out ;;
	*) [ $(grep -c '^KVM_GET_NR_MMU_PAGES: ENOTTY' out) = 2 ] || grep -q '^KVM_GET_NR_MMU_PAGES: 128$' out ;;
	esac
}
kvm_run_tells_where_the_guest_s_own_guest_runs() {
	p 0 --lesson nested
	grep -q 'KVM_RUN_X86_GUEST_MODE' out || skip 'this KVM has no KVM_CAP_X86_GUEST_MODE: 6.11 is the first'
	grep -q '^kvm_run.flags has KVM_RUN_X86_GUEST_MODE: true$' out
}
each_lesson_is_listed_and_has_a_transcript() {
	for lesson in $($P --lesson list | cut -d' ' -f1); do
		[ -s /root/golden/lesson-$lesson.txt ] || { echo "no transcript of $lesson"; return 1; }
	done
	[ $($P --lesson list | wc -l) = $(ls /root/golden/lesson-*.txt | wc -l) ]
	p 2 --lesson none
	says 'no such lesson'
	p 2 --lesson nmi --cpus 2
	says '--cpus: a lesson has its own machine'
}
a_trace_that_is_lost_is_reported_however_the_run_ends() {
	mkdir small
	mount -t tmpfs -o size=64k none small
	for format in text timeline; do
		$P -b anon --pause 0 --trace --trace-format $format --trace-file small/trace /usr/bin/firmware/_BiscuitOS-VM.iso > /dev/null 2> err &
		pid=$!
		soon full small
		kill -INT $pid
		status=0
		wait $pid || status=$?
		is $status 130
		says 'write small/trace: ENOSPC (28)'
		says 'The trace is incomplete'
		[ $format = text ] || is "$(tail -c 4 small/trace)" '}
]'
		rm small/trace
	done
	# A timeline that can't even begin.
	head -c 70000 /dev/zero > small/fill 2> /dev/null || :
	p 1 -b anon --trace --trace-format timeline --trace-file small/trace $F/halt.bin
	says 'write small/trace: ENOSPC (28)'
	umount small
	# A reader that takes nothing.
	mkfifo pipe
	exec 3<> pipe
	start -b anon --pause 0 --trace --trace-file pipe /usr/bin/firmware/_BiscuitOS-VM.iso
	soon asleep
	kill $pid
	ended 143
	says 'The trace is incomplete: its reader has not taken it'
	p 1 -b anon --trace --trace-format timeline --trace-file pipe $F/halt.bin
	says 'open pipe: ESPIPE (29): a timeline needs a regular file'
	exec 3>&-
}
full() { [ "$(df "$1" | awk 'END { print $4 }')" = 0 ]; }
a_trace_file_has_one_writer() {
	$P -b anon --pause 1 --trace --trace-file trace /usr/bin/firmware/_BiscuitOS-VM.iso > /dev/null 2>&1 &
	pid=$!
	soon [ -s trace ]
	p 1 -b anon --trace --trace-file trace $F/halt.bin
	says 'another run writes it'
	kill $pid
	wait $pid || :
	status=0
	$P -b anon --trace --trace-file out $F/halt.bin > out 2> err || status=$?
	is $status 2
	says 'or standard output, and would be lost'
}
output_that_waits_for_its_reader_is_not_lost_over_a_save() {
	# The letters, again and again: mov $'a', %al; 1: out %al, $0x10; inc %al; cmp $'z' + 1, %al; jne 1b; jmp to the start.
	printf '\260\141\346\020\376\300\074\173\165\370\353\364' > guest
	mkfifo pipe
	(sleep 4; cat > one) < pipe &
	reader=$!
	$P --save ./snapshot guest > pipe 2> err &
	pid=$!
	soon asleep
	kill -USR2 $pid
	wait $pid
	wait $reader
	status=0
	timeout 6 $P --restore ./snapshot > two 2> err || status=$?
	is $status 143
	[ -s one ] && [ -s two ]
	is "$(cat one two | fold -w 26 | head -n -1 | sort -u)" abcdefghijklmnopqrstuvwxyz
}
a_restore_that_is_refused_changes_nothing() {
	printf '\260\015\346\354\364' > guest
	p 0 --save ./snapshot guest
	head -c 5000 snapshot > cut
	cp snapshot altered
	printf '\377\377\377' | dd of=altered bs=1 seek=3000 conv=notrunc 2> /dev/null
	for file in cut altered; do
		p 1 --restore ./$file -b $RAM
		says 'damaged or incomplete'
	done
	p 1 --restore ./snapshot -b $RAM --save /no/such
	p 1 --restore ./snapshot -b $RAM --gdb /no/such
	# With and without --check, the status is the same.
	p 2 --restore ./snapshot --trace --trace-file ./snapshot
	p 2 --restore ./snapshot --check --trace --trace-file ./snapshot
	says 'this file is part of the machine'
	# Nor does a call that fails before the guest runs; and where its RAM can't be marked as used, it does not run.
	status=0
	strace -f -o /dev/null -e signal=none -e inject=utimensat:error=EIO $P --restore ./snapshot -b $RAM > out 2> err || status=$?
	is $status 1
	says "futimens $RAM: EIO (5)"
	p 0 --restore ./snapshot -b $RAM
	says 'KVM_EXIT_HLT: the guest halted'
	p 1 --restore ./snapshot -b $RAM
}
# The kernel takes a page away as if its memory had failed.
a_page_that_the_memory_has_lost_is_not_saved_as_zeros() {
	offline=/sys/devices/system/memory/hard_offline_page
	[ -e $offline ] || skip 'this kernel has no hard_offline_page (CONFIG_MEMORY_FAILURE)'
	# A newline, and then it writes to 0x5000 and loops: mov $10, %al; out %al, $0x10; mov %al, 0x5000; jmp to itself.
	printf '\260\012\346\020\242\000\120\353\376' > guest
	start -b anon --pause 60 --save-ram ./one guest
	soon lines 1
	kill -USR2 $pid
	soon grep -q 'saved to ./one, with RAM' err
	kill $pid
	ended 143
	start --restore ./one --save-ram ./two
	soon is_written
	frame=$((0x$(entry_of_0x5000) & 0x7fffffffffffff))
	echo $((frame * 4096)) > $offline
	kill -USR2 $pid
	soon grep -q 'not saved' err
	says 'EHWPOISON (133): the host has lost a page of RAM'
	[ ! -e two ]
	kill $pid
	ended 143
}
# The page map's entry (proc(5)) of guest-physical address 0x5000 in a copy of ./one. Bit 61: the page is the file's, and not written.
entry_of_0x5000() {
	start=$(sed -n 's/-.*\/one$//p' /proc/$pid/maps | head -n 1)
	dd if=/proc/$pid/pagemap bs=8 skip=$(((0x$start + 0x5000) / 4096)) count=1 2> /dev/null | od -An -tx8 | tr -d ' '
}
is_written() {
	[ -n "$(sed -n '/\/one$/p' /proc/$pid/maps)" ] || return 1
	entry=$((0x$(entry_of_0x5000)))
	[ $((entry >> 63 & 1)) = 1 ] && [ $((entry >> 61 & 1)) = 0 ]
}
a_save_replaces_nothing_but_a_snapshot() {
	printf '\260\015\346\354\364' > guest
	cp guest before
	echo precious > text
	for file in guest text; do
		p 1 -b anon -m 4M --save ./$file guest
		only "./$file: this file is no snapshot, and would be lost
  Remove it, or name another file"
		p 1 --check -b anon -m 4M --save ./$file guest
		finds "MISSING --save ./$file: this file is no snapshot, and would be lost"
	done
	p 1 -b anon -m 4M --save ./trace --trace --trace-file ./trace guest
	says './trace: this file is no snapshot, and would be lost'
	p 1 -b anon -m 4M --save /mnt/HugePagefs/snapshot guest
	says "open /mnt/HugePagefs/snapshot: EINVAL (22): such a file can't hold a snapshot"
	is "$(ls /mnt/HugePagefs)" ''
	debugged -m 4M guest
	gdb 'monitor save ./guest' 'monitor save ./text' 'kill'
	tells '^not saved: ./guest: this file is no snapshot'
	tells '^not saved: ./text: this file is no snapshot'
	ended 0
	cmp guest before
	is "$(cat text)" precious
	# An empty file has nothing to lose, and a snapshot is there to be replaced.
	: > snapshot
	p 0 -b anon -m 4M --save ./snapshot guest
	p 0 -b anon -m 4M --save ./snapshot guest
	says 'saved to ./snapshot, with RAM'
	for how in '--save /no/such' '--trace --trace-file /no/such' '--gdb /no/such'; do
		p 1 --restore ./snapshot --check $how
		says '/no/such: '
	done
}
a_machine_that_stands_still_for_the_debugger_is_saved() {
	printf '\353\376' > guest
	debugged -m 4M --save ./snapshot guest
	kill -USR2 $pid
	soon grep -q 'saved to ./snapshot, with RAM' err
	kill $pid
	ended 143
	start --gdb ./socket --gdb-wait --save ./own guest
	soon grep -q 'the guest waits for a debugger' err
	kill -USR2 $pid
	ended 0
	says 'saved to ./own; RAM stays in'
	p 0 --restore ./own --check
}
ten_clones_of_ram_on_hugetlbfs_run_at_once() {
	# The byte at 0x2000 is A; saved; incb 0x2000, and prints it: only what is the clone's own could have become B.
	printf '\306\006\000\040\101\260\015\346\354\376\006\000\040\240\000\040\346\020\260\012\346\020\353\376' > guest
	echo 100 > $POOL/nr_hugepages
	p 0 --save ./snapshot guest
	pids=
	for clone in 0 1 2 3 4 5 6 7 8 9; do
		$P --restore ./snapshot > out.$clone 2> err.$clone &
		pids="$pids $!"
	done
	for clone in 0 1 2 3 4 5 6 7 8 9; do
		soon [ -s out.$clone ]
		is "$(cat out.$clone)" B
	done
	is "$(ls -d /sys/kernel/debug/kvm/*-* | wc -l)" 10
	kill $pids
	wait $pids || :
	p 0 --restore ./snapshot --check
}
ten_clones_run_at_once_and_none_sees_another() {
	saved_linux -b thp --save ./snapshot
	kill -USR2 $pid
	soon grep -q 'saved to ./snapshot, with RAM' err
	echo 'poweroff -f' >&3
	wait $pid
	cp snapshot before
	for clone in 0 1 2 3 4 5 6 7 8 9; do
		(
			echo "echo clone $clone > /tmp/x; usleep 3000000; echo \$(cat /tmp/x) is alone; head -c 16 /dev/urandom | hexdump -e '16/1 \"%02x\"'; echo ' random'; cat /sys/firmware/acpi/interrupts/gpe00; dmesg | grep 'virtual machine fork'; usleep 200000; poweroff -f" > keys.$clone
			status=0
			timeout 90 $P --restore ./snapshot < keys.$clone > out.$clone 2> err.$clone || status=$?
			echo $status > status.$clone
		) &
	done
	wait
	for clone in 0 1 2 3 4 5 6 7 8 9; do
		is "$clone: $(cat status.$clone)" "$clone: 0"
		grep -q "^clone $clone is alone" out.$clone || { echo "clone $clone: $(tail -n 4 out.$clone err.$clone)"; return 1; }
		# The guest has learnt that it was copied.
		grep -qE '^ +1 .*enabled' out.$clone || { echo "clone $clone has no event: $(tail -n 9 out.$clone)"; return 1; }
		case $(uname -r) in
		6.12.*) grep -q 'reseeded due to virtual machine fork' out.$clone ;;
		esac
	done
	is "$(cat out.* | grep -E '^[0-9a-f]{32} random' | sort -u | wc -l)" 10
	cmp snapshot before
}
linux_goes_on_wherever_its_interrupt_controllers_are() {
	for where in split none; do
		typing --memory 96M -b anon --irqchip $where --save ./snapshot
		soon grep -q BusyBox out
		sleep 1
		kill -USR2 $pid
		soon grep -q 'saved to ./snapshot, with RAM' err
		answers still
		restored
		answers again
	done
}
a_sleeping_linux_is_saved_and_wakes_up() {
	typing --memory 96M -b anon --save ./snapshot
	soon grep -q BusyBox out
	echo 'echo mem > /sys/power/state; echo awake' >&3
	soon grep -q 'the guest sleeps' err
	kill -USR2 $pid
	soon grep -q 'saved to ./snapshot, with RAM' err
	kill $pid
	ended 143
	restored
	sleep 1
	lacks awake out
	printf '\001p' >&3
	soon grep -q '^awake' out
	answers up
}
what_was_typed_and_not_taken_is_not_lost() {
	# It does not listen for 8192 exits, and is saved; then it prints what it gets.
	printf 'typed ahead\n' > keys
	printf '\271\000\040\344\340\342\374\260\015\346\354\272\375\003\354\250\001\164\373\262\370\354\346\020\353\361' > guest
	status=0
	timeout 60 $P --irqchip --pause 0 --save ./snapshot guest < keys > out 2> err || status=$?
	is $status 0
	lacks typed out
	start_from /dev/null --restore ./snapshot
	soon grep -q 'typed ahead' out
	kill $pid
	ended 143
}
a_clock_that_was_saved_goes_on_with_the_host_s() {
	saved_linux --save ./snapshot
	saves 0
	sleep 12
	restored --trace=calls --trace-file ./trace
	# kvmclock of each vCPU was told of the pause.
	soon sh -c "[ \$(grep -c 'KVM_KVMCLOCK_CTRL.*= 0' trace) = 2 ]"
	echo 'date +now=%s; cat /sys/devices/system/clocksource/clocksource0/current_clocksource' >&3
	soon grep -q '^now=' out
	is $(($(date +%s) - $(sed -n 's/^now=\([0-9]*\).*/\1/p' out) <= 8)) 1
	soon grep -q '^kvm-clock' out
	answers clock
	# As on another start of the host, whose TSC is another one.
	echo other > other
	mount --bind other /proc/sys/kernel/random/boot_id
	restored
	echo 'date +now=%s' >&3
	soon grep -q '^now=' out
	umount /proc/sys/kernel/random/boot_id
	is $(($(date +%s) - $(sed -n 's/^now=\([0-9]*\).*/\1/p' out) <= 8)) 1
	answers other
}
# KVM counts it by thread: another thread's would begin anew.
steal_time_does_not_go_back_over_a_stop() {
	# What takes the vCPU's time away, on a machine with one processor.
	while :; do :; done &
	busy=$!
	status=0
	timeout 60 $P -m 32M -b anon --kernel /root/steal.elf --save-ram ./snapshot > out 2> err || status=$?
	kill $busy
	is $status 1
	is "$(grep -c "saved to ./snapshot, with RAM" err)" 20
}
saving_does_not_wait_for_a_reader_that_is_stuck() {
	mkfifo pipe
	sleep 60 < pipe &
	reader=$!
	$P -m 16M -b anon --pause 0 --save-ram ./snapshot $HELLO > pipe 2> err &
	pid=$!
	soon asleep
	kill -USR2 $pid
	soon [ -s snapshot ]
	kill $pid
	ended 143
	kill $reader
	start --restore ./snapshot
	soon lines 3
	kill $pid
	ended 143
}
a_debugger_saves_and_a_restored_machine_has_one() {
	debugged -m 16M --pause 0 $HELLO
	gdb 'stepi' 'stepi' 'monitor save ./snapshot' 'stepi' 'monitor save /no/such' 'detach'
	tells '^saved, with RAM'
	tells '^not saved: open /no/such: ENOENT (2)'
	soon lines 1
	kill $pid
	ended 143
	start --gdb ./socket --gdb-wait --restore ./snapshot
	soon grep -q 'the guest waits for a debugger' err
	gdb 'info registers eip ax' 'stepi' 'info registers eip' 'detach'
	tells '^eip  *0x1005 '
	tells '^ax  *0x6548 '
	tells '^eip  *0x1007 '
	soon lines 1
	is "$(head -n 1 out)" 'Hello BiscuitOS :)'
	kill $pid
	ended 143
	# In its own file it ends.
	start --gdb ./socket --gdb-wait --pause 0 $HELLO
	soon grep -q 'the guest waits for a debugger' err
	gdb 'stepi' 'monitor save ./snapshot'
	tells 'saved; RAM stays in its file, and the machine ends here'
	ended 0
	start --restore ./snapshot
	soon lines 1
	is "$(head -n 1 out)" 'Hello BiscuitOS :)'
	kill $pid
	ended 143
}
a_snapshot_that_is_not_asked_for_rightly_is_refused() {
	start --pause 60
	soon lines 1
	kill -USR2 $pid
	soon grep -q 'not saved: there is no --save or --save-ram' err
	kill $pid
	ended 143
	# What can be told at the start is told then. What is there is not lost.
	p 1 --save /no/such/file
	says 'open /no/such/file: ENOENT (2): no such file or directory'
	mkfifo fifo
	ln -s guest link
	for file in fifo link /dev/null /dev/kvm; do
		p 1 --save $file $F/halt.bin
		says "open $file: EINVAL (22): such a file can't hold a snapshot"
	done
	[ -p fifo ] && [ -L link ] && [ -c /dev/null ] && [ -c /dev/kvm ]
	p 1 --save /tmp $F/halt.bin
	says 'open /tmp: EISDIR (21): a directory'
	printf '\260\015\346\354\364' > guest
	mkdir small
	mount -t tmpfs -o size=4k none small
	p 0 -b anon -m 16M --save small/full guest
	says 'not saved: pwrite small/full: ENOSPC (28): the file system is full'
	is "$(ls small)" ''
	umount small
	p 1 --save $RAM.snapshot guest
	says "open $RAM.snapshot: EINVAL (22): such a file can't hold a snapshot"
	[ ! -e $RAM.snapshot ]
	p 0 -b anon -m 4M --save ./snapshot guest
	p 2 --restore ./snapshot --trace-file ./snapshot
	says 'this file is part of the machine, or standard output, and would be lost'
	p 0 --restore ./snapshot --check --json
	prints '{"would_start": true}\n'
	echo 1 > $POOL/nr_hugepages
	p 1 --restore ./snapshot --check -b memfd
	says '2 pages of 2 MiB are needed'
	echo 20 > $POOL/nr_hugepages
	p 0 --restore ./snapshot --check -b memfd
	rm snapshot
	p 1 --restore /no/such
	says 'open /no/such: ENOENT (2)'
	for file in /dev/null /tmp $HELLO $P; do
		p 1 --restore $file
		only "$file: not a snapshot of this program's"
	done
	p 2 --restore x -m 16M
	says '--memory: not with --restore'
}
a_snapshot_that_is_damaged_is_refused() {
	printf '\260\015\346\354\364' > guest
	p 0 -b anon -m 4M --save ./snapshot guest
	size=$(stat -c %s snapshot)
	for len in 0 10 63 64 100 5000 $((size - 1)); do
		head -c $len snapshot > cut
		p 1 --restore ./cut
	done
	cp snapshot longer
	echo >> longer
	p 1 --restore ./longer
	only './longer: damaged or incomplete: it is not as long as its header says'
	for at in 9 20 70 100 500 3000 6000; do
		cp snapshot altered
		printf '\377' | dd of=altered bs=1 seek=$at conv=notrunc 2> /dev/null
		# It may have been that byte before.
		! cmp -s snapshot altered || printf '\1' | dd of=altered bs=1 seek=$at conv=notrunc 2> /dev/null
		p 1 --restore ./altered
		grep -qE 'damaged or incomplete|in format' err
	done
	# RAM is looked at where it is read, and by --check; it is not where it is only mapped.
	cp snapshot altered
	printf '\377' | dd of=altered bs=1 seek=$(((2 << 20) + 0x3000)) conv=notrunc 2> /dev/null
	for how in --check '-b anon' '-b thp'; do
		p 1 --restore ./altered $how
		only './altered: damaged or incomplete: RAM has changed'
	done
	p 0 --restore ./altered
	p 0 --restore ./snapshot -b anon
	p 0 --restore ./snapshot
}
# Half of the calls on each kernel, for the time that they take.
each_call_of_save_and_restore_fails_in_turn() {
	printf '\260\015\346\354\364' > guest
	p 0 -b anon -m 4M --save ./old guest
	case $(uname -r) in
	6.12.*) how='-b anon -m 4M' again=anon calls='open fstat pread64 pwrite64 lseek ftruncate fsync rename flock fcntl mmap' ;;
	*) how= again=$RAM used=1 calls='ioctl readlink futimens utimensat open flock fsync' ;;
	esac
	for what in save restore again; do
		cp old snapshot
		case $what in
		save) set -- $how --save ./snapshot guest ;;
		restore)
			p 0 $how --save ./snapshot guest
			cp snapshot old
			set -- --restore ./snapshot
			;;
		# RAM is read, or its own file is taken over.
		again)
			p 0 $how --save ./snapshot guest
			cp snapshot old
			set -- --restore ./snapshot -b "$again"
			calls='open fstat pread64 lseek flock futimens utimensat clone'
			;;
		esac
		strace -f -o trace $P "$@" > out 2> err < /dev/null || { cat err; return 1; }
		for call in $calls; do
			most=$(grep -cE "^[0-9]+ +$call\\(" trace || :)
			number=1
			while [ $number -le "$most" ]; do
				# A machine that has run in its own file has used that up.
				[ $what != again ] || [ -z "${used-}" ] || {
					p 0 $how --save ./snapshot guest
					cp snapshot old
				}
				cp old snapshot
				status=0
				timeout 60 strace -f -o /dev/null -e signal=none -e inject=$call:error=EIO:when=$number $P "$@" > out 2> err < /dev/null || status=$?
				said="$what: $call $number: status $status: $(tail -n 3 err)"
				case $status in
				0) ;;
				1) grep -qE '(KVM_[A-Z0-9_]+|open|f?stat(fs)?|flock|ftruncate|fallocate|mmap|eventfd|sigaction|p?read|p?write|fsync|rename|lseek|readlink|fcntl|futimens|malloc|pthread_create)[^:]*: E(IO|NOMEM|AGAIN) |can.t be opened|another machine has run' err || { echo "no call in $said"; return 1; } ;;
				*) echo "$said"; return 1 ;;
				esac
				[ $what = save ] || cmp old snapshot
				if [ "$again" = $RAM ] && [ $what = again ]; then
					used=
					grep -q KVM_EXIT_HLT err && used=1
					# Either the guest has not run, or the snapshot is refused from now on.
					$P --restore ./snapshot --check > again 2>&1 && [ "$used" ] && { echo "not used up in spite of $said"; return 1; }
				fi
				# A snapshot is the old one or the new one, whole, and nothing is left beside it.
				if [ $what = save ]; then
					if cmp -s old snapshot; then
						[ $status = 1 ] || grep -q 'not saved: ' err || { echo "nothing is said of $said"; return 1; }
					else
						lacks 'not saved' err
						case $call in
						pwrite64 | fsync | rename) echo "saved in spite of $said"; return 1 ;;
						esac
						$P --restore ./snapshot > again 2>&1 && grep -q 'KVM_EXIT_HLT' again || { echo "$said; then: $(cat again)"; return 1; }
					fi
				fi
				# A program that gets no memory ends where it stands.
				! grep -q 'malloc: ' err || rm -f snapshot.*.new
				is "$(ls snapshot*)" snapshot
				number=$((number + 1))
			done
		done
		rm -f $RAM
	done
}

# Each case starts from what BiscuitOS' script prepares.
prepare() {
	[ ! -e /dev/kvm.away ] || mv /dev/kvm.away /dev/kvm
	chmod 600 /dev/kvm
	umount /tmp/case/* /mnt/1G 2> /dev/null
	rm -rf /tmp/case
	mkdir -p /tmp/case
	chmod 777 /tmp/case
	cd /tmp/case
	mkdir -p /mnt/HugePagefs
	grep -q ' /mnt/HugePagefs hugetlbfs ' /proc/mounts || mount -t hugetlbfs none /mnt/HugePagefs
	echo 20 > $POOL/nr_hugepages
	rm -f $RAM
}
nothing_is_left() {
	! pidof BiscuitOS_app > /dev/null || { echo 'a process is left'; return 1; }
	! pidof strace > /dev/null || { echo 'strace is left'; return 1; }
	[ ! -d /sys/kernel/debug/kvm ] || [ -z "$(ls -d /sys/kernel/debug/kvm/*-* 2> /dev/null)" ] ||
		{ echo 'a VM is left'; return 1; }
	rm -f $RAM
	is "$(free_pages)" "$(cat $POOL/nr_hugepages)"
}

# attempt NAME COMMAND...: runs a case and tells what came of it.
attempt() {
	case=$1
	shift
	case $case in ${ONLY:-*}) ;; *) return 0 ;; esac
	prepare
	# A case sets what it reads.
	(unset status pid limit; set -ex; "$@") > /tmp/log 2> /tmp/commands
	status=$?
	cd /
	[ $status = 0 ] && { nothing_is_left >> /tmp/log 2>&1 || status=1; }
	case $status in
	0) echo "ok $case" ;;
	77) echo "skip $case: $(sed -n 's/^skip: //p' /tmp/log)" ;;
	*)
		# In its words; or else the last commands.
		[ -s /tmp/log ] || tail -n 3 /tmp/commands > /tmp/log
		echo "FAILED $case: $(tail -n 5 /tmp/log | tr '\n' '|')"
		killall -9 BiscuitOS_app 2> /dev/null
		usleep 100000 ;;
	esac
}
# transcript FILE: the commands in it give what it says.
transcript() {
	grep -qw svm /proc/cpuinfo || skip 'the transcripts are of an AMD processor'
	! is_old || case $(basename "$1" .txt) in
	touch | dirty) counts_pages ;;
	flat | hypercall) skip 'this Linux has no KVM_CAP_EXIT_HYPERCALL: 5.14 is the first' ;;
	lesson-extended-state | lesson-tsc) skip 'this KVM has fewer of the requests' ;;
	lesson-cpuid-tables) skip 'this KVM takes another list from a vCPU that has run, which later ones refuse' ;;
	broken-triple | broken-tables) skip 'this KVM leaves other registers behind a triple fault' ;;
	board) skip 'this KVM counts an event that raises an interrupt, too: 5.11 is the first that does not' ;;
	esac
	sh /root/transcript.sh "$1" > now
	# A lesson that another kernel shows. Or neither, each for a reason of its own.
	if grep -q 'cannot be shown here' now && { ! grep -q 'cannot be shown here' "$1" || grep -q 'shown here: KVM has no' now; }; then
		cmp -s "$1" now || skip "$(sed -n 's/.*cannot be shown here: \(.*\)$/\1/p' now | head -n 1)"
	fi
	! is_old || sed -i '/this KVM has no KVM_CAP_EXIT_HYPERCALL/d' now
	diff "$1" now
}

for case in $(sed -n 's/^\([a-z0-9_]*\)() .*/\1/p' "$0" | sed -n '/^the_line_comes/,/^prepare$/p'); do
	case $case in
	prepare | pages | stops | a_vm_is_there | shows | only | tells_status | asleep | is_array | told | first | check | finds | fails_in_turn | b | k | huge | under_limit | boot | seen | cpu | typing | listening_linux | quiet | gdb | tells | debugged | saved_linux | answering_linux | answered | full | time_until_answer | saves | restored | answers | entry_of_0x5000 | is_written) continue ;;
	esac
	attempt $case $case
done
for file in /root/golden/*.txt; do
	attempt "transcript_$(basename $file .txt)" transcript $file
done
echo done
