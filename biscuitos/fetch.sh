# For other scripts: fetches Debian packages and unpacks them. Nothing is installed.

fail() { echo "make: $*" >&2; exit 1; }

# download PATTERN DIRECTORY: the newest Debian package whose whole name matches; else tells why in log.
download() {
	name=$(apt-cache pkgnames | grep -xE "$1" | sort -V | tail -n 1)
	if [ ! "$name" ]; then
		echo "no Debian package is called $1, a regular expression; is the series right (6.1, 6.12)?" > "$2/log"
		return 1
	fi
	echo "fetching $name" >&2
	(cd "$2" && apt-get download -qq -o APT::Sandbox::User=root "$name" > log 2>&1)
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
		[ "$(id -u)" = 0 ] || fail "$(cat "$2/deb/log"). Paste: sudo apt-get update"
		apt-get update -qq >&2
		download "$1" "$2/deb" || fail "$(cat "$2/deb/log")"
	fi
	dpkg -x "$2"/deb/*.deb "$2"
	rm -r "$2/deb"
	touch "$2/unpacked"
}
