#!/bin/sh
# A short run of sysbench's read/write transactions on 8 connections: no error
# and no reconnect.
set -eu
sb() {
  sysbench oltp_read_write --db-driver=mysql --mysql-host="$DB_HOST" --mysql-port="$DB_PORT" --mysql-user="$DB_USER" \
    --mysql-password="$DB_PASSWORD" --mysql-db="$DB_NAME" --tables=2 --table-size=1000 --threads=8 --mysql-ignore-errors=1213,1020 "$@"
}
sb prepare > "$DB_TMP/prepare" || { cat "$DB_TMP/prepare" >&2; exit 1; }
sb --time=0 --events=400 run > "$DB_TMP/run" || { cat "$DB_TMP/run" >&2; exit 1; }
# A deadlock, or a row that has changed since the snapshot, is the server's word
# on two transactions, and is retried.
grep -q 'transactions: *400 ' "$DB_TMP/run" || { cat "$DB_TMP/run" >&2; exit 1; }
grep -q 'reconnects: *0 ' "$DB_TMP/run" || { cat "$DB_TMP/run" >&2; exit 1; }
sb --db-ps-mode=disable --time=0 --events=200 run > "$DB_TMP/run" || { cat "$DB_TMP/run" >&2; exit 1; }
grep -q 'transactions: *200 ' "$DB_TMP/run" && grep -q 'reconnects: *0 ' "$DB_TMP/run" || { cat "$DB_TMP/run" >&2; exit 1; }
echo OK
