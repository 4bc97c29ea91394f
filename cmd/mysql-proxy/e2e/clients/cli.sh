#!/bin/sh
# The command line client mysql or mariadb, as $1 says: statements by pipe and by
# option, LOAD DATA LOCAL, DELIMITER, warnings, status, and the exit code of an error.
set -eu
if [ "$1" = mysql ]; then
	admin=mysqladmin commands=--commands
	# Accounts of caching_sha2_password need a key where there is no TLS.
	options=--get-server-public-key
	[ -z "${DB_TLS-}" ] || options="$options --ssl-mode=VERIFY_IDENTITY --ssl-ca=$DB_TLS"
	[ -z "${DB_COMPRESS-}" ] || options="$options --compression-algorithms=$DB_COMPRESS"
else
	admin=mariadb-admin commands=
	# Since 11.4 it refuses a server without TLS, unless told.
	if mariadb --version | grep -q 'from 10\.'; then options=; else options=--disable-ssl-verify-server-cert; fi
	[ -z "${DB_TLS-}" ] || options="--ssl-ca=$DB_TLS --ssl-verify-server-cert"
	[ -z "${DB_COMPRESS-}" ] || options="$options --compress"
fi
client=$1
at() { program=$1; shift; "$program" --no-defaults $options -h "$DB_HOST" -P "$DB_PORT" --protocol=tcp -u "$DB_USER" -p"$DB_PASSWORD" "$@"; }
cli() { at "$client" --default-character-set=utf8mb4 --local-infile=1 "$@" "$DB_NAME"; }
is() { [ "$1" = "$2" ] || { echo "got: $1" >&2; echo "want: $2" >&2; exit 1; }; }

printf '1\tone\t1.5\n2\tGrüße 🐬\t\\N\n' > "$DB_TMP/cli.tsv"
cli << SQL
CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(100), f DOUBLE, b LONGTEXT);
LOAD DATA LOCAL INFILE '$DB_TMP/cli.tsv' INTO TABLE t CHARACTER SET utf8mb4 (id, s, f);
INSERT INTO t VALUES (3, '', 0, REPEAT('big ', 262144));
BEGIN;
INSERT INTO t VALUES (4, 'gone', 0, '');
ROLLBACK;
PREPARE p FROM 'INSERT INTO t VALUES (?, ?, ?, NULL)';
SET @id = 5, @s = 'prepared', @f = 2.5;
EXECUTE p USING @id, @s, @f;
DELIMITER //
CREATE PROCEDURE three() BEGIN SELECT 1; SELECT 2; SELECT 3; END //
DELIMITER ;
SQL
is "$(cli -N -e 'SELECT id, s, f, LENGTH(b), SHA2(b, 256) FROM t ORDER BY id')" "$(printf '1\tone\t1.5\tNULL\tNULL\n2\tGrüße 🐬\tNULL\tNULL\tNULL\n3\t\t0\t1048576\tdd41b93d479d1cae9777f4a0673d90a441fcdbe67a79e96ccb9b7f073adbd6b6\n5\tprepared\t2.5\tNULL\tNULL')"
is "$(cli -N -e 'CALL three()')" "$(printf '1\n2\n3')"
is "$(cli -N -e 'CALL two(5); SELECT 7')" "$(printf '5\n6\ttwo\n7')"
is "$(cli -N --show-warnings -e "SELECT CAST('1x' AS SIGNED)" 2>&1 | grep -c 'Warning (Code 1292)')" 1
is "$(cli -N --quick -e 'SELECT seq FROM seq_1_to_20000' | awk '{ n += $1 } END { print n }')" 200010000
cli $commands -e status | grep -q '^Server version'
if out=$(cli -e 'SELECT * FROM missing' 2>&1); then echo "an error exits with 0" >&2; exit 1; fi
case "$out" in *"ERROR 1146 (42S02)"*) ;; *) echo "$out" >&2; exit 1 ;; esac
at "$admin" ping | grep -q alive
at "$admin" processlist | grep -q "$DB_USER"
echo OK
