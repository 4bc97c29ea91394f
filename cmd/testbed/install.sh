#!/usr/bin/env bash
# Installs what is missing, and is silent if nothing is:
#
#   install.sh run    what `make run` needs
#   install.sh test   what `make test` needs: other people's clients and
#                     drivers too, and newer servers (fetch.sh)
#
# mariadb-server-core is the server program only: nothing is set up or started.
set -euo pipefail
cd "$(dirname "$0")/../.."
. cmd/testbed/try.sh
PATH=$PATH:/usr/sbin:/sbin

missing=()
program() { command -v "$1" >/dev/null || missing+=("${@:2}"); } # PROGRAM PACKAGE...
package() {
	[[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]] || missing+=("$1")
}

program mariadbd mariadb-server-core
program mariadb-install-db mariadb-server-core
program mariadb mariadb-client
if [[ ${1-} == test ]]; then
	program gcc gcc libc6-dev # the race detector is linked by it
	program ip iproute2 # networks in which servers vanish
	program haproxy haproxy
	program sysbench sysbench
	program php php-cli
	program javac default-jdk-headless
	program npm nodejs npm # not by package: others' nodejs packages bring it too
	for p in python3-pymysql python3-mysqldb php-mysql libdbd-mysql-perl libdbd-mariadb-perl libmariadb-java; do
		package $p
	done
elif [[ ${1-} != run ]]; then
	echo "usage: $0 run|test" >&2
	exit 2
fi

# apt runs apt-get as root.
apt() {
	local as=()
	if ((EUID != 0)); then as=(sudo); fi
	try "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"
}

if ((${#missing[@]})); then
	if ! command -v apt-get >/dev/null || { ((EUID != 0)) && ! command -v sudo >/dev/null; }; then
		echo "Please install (names of Debian packages): ${missing[*]}" >&2
		exit 1
	fi
	echo "Installing ${missing[*]} ..."
	apt update
	apt install -y --no-install-recommends "${missing[@]}"
fi

# The plugin for client_ed25519 comes in the package mariadb-server, which would
# start a service: take that one file out of the package.
plugin=auth_ed25519.so
if [[ $1 == test && ! -e /usr/lib/mysql/plugin/$plugin && ! -e .cache/plugin/$plugin ]]; then
	version=$(dpkg-query -W -f='${Version}' mariadb-server-core)
	echo "Fetching $plugin of mariadb-server $version ..."
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	root=$PWD
	cd "$tmp"
	if ! apt-get -q download "mariadb-server=$version" &>/dev/null; then
		apt update
		try apt-get -q -o Acquire::Retries=3 download "mariadb-server=$version"
	fi
	dpkg-deb -x mariadb-server_*.deb files
	mkdir -p "$root/.cache/plugin"
	# Onto its file system first, then there at once.
	cp files/usr/lib/mysql/plugin/$plugin "$root/.cache/plugin/.$plugin.$$"
	mv "$root/.cache/plugin/.$plugin.$$" "$root/.cache/plugin/$plugin"
	cd "$root"
fi

# Servers newer than the distribution's, to run beside it.
if [[ $1 == test ]]; then cmd/testbed/fetch.sh mariadb11.8 mysql9; fi
