import datetime
import decimal
import os

import MySQLdb
import MySQLdb.constants.CLIENT

conn = MySQLdb.connect(
    host=os.environ["DB_HOST"], port=int(os.environ["DB_PORT"]), user=os.environ["DB_USER"],
    passwd=os.environ["DB_PASSWORD"], db=os.environ["DB_NAME"], charset="utf8mb4",
    client_flag=MySQLdb.constants.CLIENT.MULTI_STATEMENTS, compress="DB_COMPRESS" in os.environ,
    **({"ssl": {"ca": os.environ["DB_TLS"]}} if "DB_TLS" in os.environ else {}))
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
    except MySQLdb.Error as e:
        assert e.args[0] == code, e
    else:
        raise AssertionError(sql)

conn.ping()
assert conn.stat().startswith("Uptime")
conn.select_db("mysql")
conn.change_user(os.environ["DB_USER"], os.environ["DB_PASSWORD"], os.environ["DB_NAME"])
cur.execute("SELECT DATABASE()")
assert cur.fetchone() == (os.environ["DB_NAME"],)
conn.close()
print("OK")
