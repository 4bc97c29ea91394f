#!/usr/bin/env bash
# Fetches server programs that this machine's distribution does not have, with
# all the libraries they need, and is silent if they are there:
#
#   fetch.sh FLAVOUR...    mariadb11.8, mysql9
#
# They are Debian packages of newer suites, taken from the mirror that apt uses
# already, by an apt with folders of its own. Nothing is installed: the packages
# are unpacked into the user's cache, and the programs run by the dynamic loader
# and the libc that came with them. Every clone of this project shares them.
set -euo pipefail
. "$(dirname "$0")/try.sh"

# layout changes when a folder made by an older version of this script no longer
# does; flavour.go has the same number.
layout=1
cache=${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}/mysql-proxy-testbed

# Packages that the ones wanted depend on, but not for what is run here.
unneeded='^(perl|perl-base|perl-modules-.*|libperl.*|libdb5.*|libgdbm.*|debconf|gcc-.*-base|.*-common|systemd|libsystemd-shared|init-system-helpers|libc-gconv-modules-extra|gawk|libgmp10|libmpfr6|libsigsegv2|libreadline8.*|procps|psmisc)$'

# choose sets what a flavour consists of:
#   suites    where to look, in this order, for
#   version   a version of the first package that begins so
#   packages  that are wanted with what they depend on
#   alone     packages that are wanted without
#   programs  of usr/bin that are kept and get a wrapper in bin
choose() {
	case $1 in
	mariadb11.8)
		suites=(unstable trixie) version='1:11.8.'
		packages=(mariadb-server-core mariadb-client-core libmariadb3)
		alone=(mariadb-server mariadb-client mariadb-test) # plugins; mariadb-dump; dialog_examples.so
		programs=(mariadb mariadb-admin mariadb-binlog mariadb-dump)
		;;
	mysql9)
		suites=(unstable) version='9.'
		packages=(mysql-server-core mysql-client-core)
		alone=()
		programs=(mysql mysqladmin mysqlbinlog mysqldump)
		;;
	*)
		echo "usage: $0 mariadb11.8|mysql9 ..." >&2
		exit 2
		;;
	esac
}

# mirror is the Debian mirror in apt's sources.
mirror() {
	local codename
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
	apt-get indextargets --no-release-info --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		awk -v release="$codename" '$1 == release && $2 == "main" && !found { print $3; found = 1 }'
}

# useSuite points the private apt at a suite; all its commands take "${own[@]}".
useSuite() {
	local dir=$tmp/apt-$1 uri keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed=
	uri=$(mirror)
	if [[ -z $uri ]]; then
		echo "$flavour: apt's sources name no mirror of Debian" >&2
		exit 1
	fi
	if [[ -e $keyring ]]; then signed="[signed-by=$keyring]"; fi
	own=(-q -o "Dir::State=$dir/state" -o "Dir::State::status=$dir/status" -o "Dir::Cache=$dir/cache"
		-o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=-
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
		-o APT::Install-Recommends=false -o Acquire::Languages=none -o APT::Sandbox::User=root
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
		-o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false
		-o APT::Update::Error-Mode=any -o Acquire::Retries=3)
	if [[ ! -e $dir/status ]]; then
		mkdir -p "$dir"/{state/lists/partial,cache/archives/partial}
		echo "deb $signed $uri $1 main" >"$dir/sources.list"
		try apt-get "${own[@]}" update
		: >"$dir/status" # nothing is installed, so everything that is needed is listed
	fi
}

# candidate is the version of a package that the suite in use has.
candidate() { apt-cache "${own[@]}" show --no-all-versions "$1" 2>/dev/null | awk '/^Version: / && !n++ { print $2 }' || true; }

# wrap makes a script that runs a program of usr/bin with its own libraries.
wrap() {
	local loader libs
	loader=$(cd "$2" && ls usr/lib*/ld-linux-*.so.* usr/lib/*/ld-linux-*.so.* 2>/dev/null | head -1)
	libs=$(cd "$2" && dirname usr/lib/*/libc.so.6)
	mkdir -p "$2/bin"
	cat >"$2/bin/$1" <<-END
		#!/bin/sh
		root=\$(dirname "\$(dirname "\$(readlink -f "\$0")")")
		export MARIADB_PLUGIN_DIR="\$root/$libs/libmariadb3/plugin" LIBMYSQL_PLUGIN_DIR="\$root/usr/lib/mysql/plugin"
		exec "\$root/$loader" --library-path "\$root/$libs" "\$root/usr/bin/$1" "\$@"
	END
	chmod +x "$2/bin/$1"
}

fetch() {
	local suite found='' names root=$tmp/$flavour deb p keep
	for suite in "${suites[@]}"; do
		useSuite "$suite"
		found=$(candidate "${packages[0]}")
		if [[ $found == "$version"* ]]; then break; fi
	done
	if [[ $found != "$version"* ]]; then
		echo "$flavour: no ${packages[0]} $version* in ${suites[*]}; the last has version \"$found\"" >&2
		exit 1
	fi
	echo "Fetching ${packages[0]} $found and its libraries from Debian $suite ..."
	try apt-get "${own[@]}" -s install "${packages[@]}"
	names=$(apt-get "${own[@]}" -s install "${packages[@]}" | awk '/^Inst / { print $2 }' | grep -vE "$unneeded")
	mkdir -p "$tmp/debs-$suite" "$root"
	cd "$tmp/debs-$suite"
	# shellcheck disable=SC2086 # a list of names
	try apt-get "${own[@]}" download $names "${alone[@]}"
	for p in $names "${alone[@]}"; do
		deb=$(echo "${p%%:*}"_*.deb)
		try dpkg-deb -x "$deb" "$root"
	done
	cd - >/dev/null
	keep=" ${programs[*]} "
	for p in "$root"/usr/bin/*; do
		if [[ $keep != *" ${p##*/} "* ]]; then rm -f "$p"; fi
	done
	# Documentation, tests and what else nobody reads here: half of the size.
	rm -rf "$root"/usr/share/{doc,man,lintian,locale,gdb,gcc,apport,bug,mariadb/mariadb-test} "$root"/usr/share/mysql/mysql-test "$root"/etc
	for p in "${programs[@]}"; do
		wrap "$p" "$root"
		try "$root/bin/$p" --version
	done
	echo "$found" >"$root/version"
	mkdir -p "$cache"
	rm -rf "$cache/.$flavour".*
	# Onto the cache's file system first, then there at once.
	mv "$root" "$cache/.$flavour.$$"
	mv -T "$cache/.$flavour.$$" "$cache/$flavour-$layout"
}

if (($# == 0)); then choose ''; fi
tmp=
trap 'rm -rf "$tmp"' EXIT
for flavour; do
	choose "$flavour"
	if [[ -e $cache/$flavour-$layout/version ]]; then continue; fi
	mkdir -p "$cache"
	exec 9>"$cache/lock" # two clones at once: the second waits and finds it done
	flock 9
	if [[ -e $cache/$flavour-$layout/version ]]; then continue; fi
	if [[ -z $tmp ]]; then tmp=$(mktemp -d); fi
	fetch
done
