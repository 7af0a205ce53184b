# transcript.sh FILE...: runs the commands of a transcript (the lines that begin with `$ `) and prints it anew, with
# what differs from run to run masked: times, host addresses, process numbers, frequencies, how much a host's list has.
for file; do
	grep '^\$ ' "$file" | while IFS= read -r line; do
		printf '%s\n' "$line"
		sh -c "${line#\$ }" 2>&1 < /dev/null
	done | sed -E -e 's/^ *[0-9]+\.[0-9]{3} ms +\+[0-9]+\.[0-9]{3}	/TIME	/' -e 's/0x7[0-9a-f]{11}/ADDRESS/g' -e 's/, [0-9]+ entries/, N entries/' \
		-e 's/(statistics after )[0-9.]+ s/\1TIME/' -e 's/, [0-9]+ per second/, RATE per second/' \
		-e 's/(0xe0000008 len 8: )0x[0-9a-f]+/\1TIME/' -e 's/ rdx 0x60?[0-9a-f]{2,4}$/ rdx FAMILY/' \
		-e 's/[0-9]+ (kHz|ns|leaves|MSRs|entries that)/N \1/' -e 's/(KVM_GET_TSC_KHZ.* = )[0-9]+$/\1N/'
done
