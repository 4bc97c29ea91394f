#!/bin/sh
# Dumps a filled database and restores it under another name; the checksums
# of all tables must be the same.
set -eu
opts="--no-defaults -h $DB_HOST -P $DB_PORT --protocol=tcp -u $DB_USER -p$DB_PASSWORD --default-character-set=utf8mb4"
# Since 11.4 it refuses a server without TLS, unless told.
if ! mariadb --version | grep -q 'from 10\.'; then opts="$opts --disable-ssl-verify-server-cert"; fi
cli() { mariadb $opts -N "$@"; }

cli "$DB_NAME" << 'SQL'
CREATE TABLE a (id INT PRIMARY KEY, s VARCHAR(100), b BLOB, f DOUBLE, d DATETIME(3) NULL);
INSERT INTO a SELECT seq, CONCAT('Grüße 🐬 ', seq), UNHEX(SHA2(seq, 512)), seq / 3, '2026-01-01' + INTERVAL seq SECOND FROM seq_1_to_20000;
INSERT INTO a VALUES (0, NULL, NULL, NULL, NULL), (-1, '', '', 0, '1000-01-01');
CREATE TABLE b (t LONGTEXT);
INSERT INTO b SELECT REPEAT(CHAR(64 + seq), 1048576) FROM seq_1_to_5;
CREATE VIEW v AS SELECT id FROM a;
CREATE TRIGGER tr BEFORE INSERT ON b FOR EACH ROW SET NEW.t = NEW.t;
SQL
mariadb-dump $opts --single-transaction --routines --triggers --hex-blob "$DB_NAME" > "$DB_TMP/dump.sql"
cli -e "DROP DATABASE IF EXISTS ${DB_NAME}_copy; CREATE DATABASE ${DB_NAME}_copy"
cli "${DB_NAME}_copy" < "$DB_TMP/dump.sql"
sums() { cli "$1" -e "CHECKSUM TABLE a, b EXTENDED; SELECT COUNT(*) FROM v; SHOW PROCEDURE STATUS WHERE Db = '$1'" | sed "s/^$1//" | cut -f 1-3; }
[ "$(sums "$DB_NAME")" = "$(sums "${DB_NAME}_copy")" ] || { echo "the restored tables differ" >&2; exit 1; }
[ "$(sums "$DB_NAME" | wc -l)" -ge 4 ] || { echo "no checksums" >&2; exit 1; }
cli -e "DROP DATABASE ${DB_NAME}_copy"
echo OK
