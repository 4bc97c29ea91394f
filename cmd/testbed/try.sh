# For install.sh and fetch.sh, which read it in.

# try runs a command quietly, and again after a while where it fails: a mirror may
# be out of reach for a moment, or about to change, or another apt have the lock of
# the lists. Its output is shown if it fails to the end, and then the script ends.
try() {
	local out pause
	for pause in 5 20 60 end; do
		if out=$("$@" 2>&1); then return; fi
		if [[ $pause != end ]]; then sleep $pause; fi
	done
	printf '%s\n' "$out" "${flavour:+$flavour: }failed: $*" >&2
	exit 1
}
