import datetime
import decimal
import os

import pymysql
import pymysql.constants.CLIENT as CLIENT

conn = pymysql.connect(
    host=os.environ["DB_HOST"], port=int(os.environ["DB_PORT"]), user=os.environ["DB_USER"],
    password=os.environ["DB_PASSWORD"], database=os.environ["DB_NAME"], charset="utf8mb4",
    client_flag=CLIENT.MULTI_STATEMENTS, local_infile=True,
    ssl={"ca": os.environ["DB_TLS"]} if "DB_TLS" in os.environ else None)
cur = conn.cursor()
cur.execute("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, s VARCHAR(200), d DATETIME(6), n DECIMAL(20,5), b LONGBLOB)")

when = datetime.datetime(2026, 2, 28, 23, 59, 59, 123456)
big = bytes(range(256)) * 4096
rows = [("Grüße 🐬", when, decimal.Decimal("-12345.67890"), b"\x00\xff'\\"), (None, None, None, None), ("", when, decimal.Decimal(0), big)]
assert cur.executemany("INSERT INTO t (s, d, n, b) VALUES (%s, %s, %s, %s)", rows) == 3
conn.commit()
cur.execute("SELECT s, d, n, b FROM t ORDER BY id")
assert list(cur.fetchall()) == rows

cur.execute("INSERT INTO t (s) VALUES ('gone')")
conn.rollback()
cur.execute("SELECT COUNT(*) FROM t")
assert cur.fetchone() == (3,)

cur.execute("SELECT 1; SELECT 2, 'x'")
assert cur.fetchall() == ((1,),)
assert cur.nextset() and cur.fetchall() == ((2, "x"),) and not cur.nextset()
cur.callproc("two", (5,))
assert cur.fetchall() == ((5,),)
assert cur.nextset() and cur.fetchall() == ((6, "two"),)
while cur.nextset():
    pass

for sql, code in (("SELECT * FROM missing", 1146), ("INSERT INTO t (id) VALUES (1)", 1062), ("NONSENSE", 1064)):
    try:
        cur.execute(sql)
    except pymysql.MySQLError as e:
        assert e.args[0] == code, e
    else:
        raise AssertionError(sql)

with pymysql.cursors.SSCursor(conn) as streamed:
    streamed.execute("SELECT seq, REPEAT('x', 100) FROM seq_1_to_20000")
    assert sum(row[0] for row in streamed) == 200010000

file = os.path.join(os.environ["DB_TMP"], "pymysql.csv")
with open(file, "w") as f:
    f.write("100\tfrom a file\n101\tand another\n")
assert cur.execute("LOAD DATA LOCAL INFILE %s INTO TABLE t (id, s)", (file,)) == 2
conn.commit()
conn.ping()
conn.select_db("mysql")
conn.close()
print("OK")
