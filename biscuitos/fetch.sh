# For other scripts: fetches Debian packages and unpacks them. Nothing is installed.

fail() { echo "make: $*" >&2; exit 1; }

# APT says where packages come from: nothing for this machine's own sources, or what `release` has set.
APT=

# release DIRECTORY NAME...: from now on packages come from these releases of Debian. The lists lie in DIRECTORY; the machine's own
# sources do not change.
release() {
	lists=$PWD/$1
	shift
	mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial"
	for suite; do
		case $suite in
		*-security) site=http://deb.debian.org/debian-security ;;
		*) site=http://deb.debian.org/debian ;;
		esac
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $suite main"
	done > "$lists/sources.list"
	APT="-o Dir::Etc::sourcelist=$lists/sources.list -o Dir::Etc::sourceparts=- -o Dir::State::lists=$lists/lists -o Dir::Cache=$lists/cache"
}

# download PATTERN DIRECTORY: the newest Debian package whose whole name matches; else tells why in log.
download() {
	name=$(apt-cache $APT pkgnames | grep -xE "$1" | sort -V | tail -n 1)
	if [ ! "$name" ]; then
		echo "no Debian package is called $1, a regular expression; is the series right (6.1, 6.12)?" > "$2/log"
		return 1
	fi
	echo "fetching $name" >&2
	(cd "$2" && apt-get $APT download -qq -o APT::Sandbox::User=root "$name" > log 2>&1)
}

# fetch PATTERN DIRECTORY: unpacks that package, once.
fetch() {
	[ ! -e "$2/unpacked" ] || return 0
	command -v apt-get > /dev/null && command -v dpkg > /dev/null ||
		fail "Debian's apt-get and dpkg are needed, for its kernels and its busybox"
	rm -rf "$2"
	mkdir -p "$2/deb"
	# The lists may be missing, or older than the archive.
	if ! download "$1" "$2/deb"; then
		[ "$APT" ] || [ "$(id -u)" = 0 ] || fail "$(cat "$2/deb/log"). Paste: sudo apt-get update"
		apt-get $APT update -qq >&2
		download "$1" "$2/deb" || fail "$(cat "$2/deb/log")"
	fi
	dpkg -x "$2"/deb/*.deb "$2"
	rm -r "$2/deb"
	touch "$2/unpacked"
}
