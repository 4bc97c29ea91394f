const assert = require("node:assert");
const mysql = require("mysql2/promise");

const config = {
  host: process.env.DB_HOST, port: +process.env.DB_PORT, user: process.env.DB_USER, password: process.env.DB_PASSWORD,
  database: process.env.DB_NAME, charset: "utf8mb4", multipleStatements: true, dateStrings: true,
  ...(process.env.DB_TLS && { ssl: { ca: require("node:fs").readFileSync(process.env.DB_TLS) } }),
};

async function run(compress) {
  const db = await mysql.createConnection({ ...config, compress });
  await db.query("DROP TABLE IF EXISTS t");
  await db.query("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, s VARCHAR(200), d DATETIME(6), n DECIMAL(20,5), b LONGBLOB)");
  const big = Buffer.alloc(1 << 20, Buffer.from([0, 255, 39, 92, 254]));
  const rows = [["Grüße 🐬", "2026-02-28 23:59:59.123456", "-12345.67890", Buffer.from([0])], [null, null, null, null], ["", "2026-01-01 10:20:30.000001", "0.00000", big]];
  for (const r of rows) {
    const [res] = await db.execute("INSERT INTO t (s, d, n, b) VALUES (?, ?, ?, ?)", r);
    assert.equal(res.affectedRows, 1);
  }
  for (const how of ["query", "execute"]) {
    const [got] = await db[how]({ sql: "SELECT s, d, n, b FROM t WHERE id > ? ORDER BY id", rowsAsArray: true }, [0]);
    assert.deepEqual(got, rows);
  }
  await db.beginTransaction();
  await db.query("INSERT INTO t (s) VALUES ('gone')");
  await db.rollback();
  const [[count]] = await db.query({ sql: "SELECT COUNT(*) FROM t", rowsAsArray: true });
  assert.deepEqual(count, [3]);

  const [multi] = await db.query("SELECT 1 AS a; SELECT 2 AS b; CALL two(5)");
  assert.equal(multi[0][0].a, 1);
  assert.equal(multi[1][0].b, 2);
  assert.equal(multi[2][0].a, 5);
  assert.equal(multi[3][0].two, "two");

  for (const [sql, errno, state] of [["SELECT * FROM missing", 1146, "42S02"], ["INSERT INTO t (id) VALUES (1)", 1062, "23000"], ["NONSENSE", 1064, "42000"]]) {
    await assert.rejects(db.query(sql), (e) => e.errno === errno && e.sqlState === state);
  }
  let n = 0;
  for await (const row of db.connection.query("SELECT seq, REPEAT('x', 100) FROM seq_1_to_20000").stream()) n += row.seq > 0;
  assert.equal(n, 20000);
  await db.ping();
  await db.changeUser({ user: config.user, password: config.password, database: config.database });
  await db.end();
}

run(false).then(() => run(true)).then(() => console.log("OK"), (e) => { console.error(e); process.exit(1); });
