const assert = require("node:assert");
const mariadb = require("mariadb");

const config = {
  host: process.env.DB_HOST, port: +process.env.DB_PORT, user: process.env.DB_USER, password: process.env.DB_PASSWORD,
  database: process.env.DB_NAME, multipleStatements: true, dateStrings: true, decimalAsNumber: false, pipelining: true,
  ...(process.env.DB_TLS && { ssl: { ca: require("node:fs").readFileSync(process.env.DB_TLS) } }),
};

async function run(options) {
  const db = await mariadb.createConnection({ ...config, ...options });
  await db.query("DROP TABLE IF EXISTS t");
  await db.query("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, s VARCHAR(200), d DATETIME(6), n DECIMAL(20,5), b LONGBLOB)");
  const big = Buffer.alloc(1 << 20, Buffer.from([0, 255, 39, 92, 254]));
  const rows = [["Grüße 🐬", "2026-02-28 23:59:59.123456", "-12345.67890", Buffer.from([0])], [null, null, null, null], ["", "2026-01-01 10:20:30.000001", "0.00000", big]];
  for (const r of rows) {
    assert.equal((await db.execute("INSERT INTO t (s, d, n, b) VALUES (?, ?, ?, ?)", r)).affectedRows, 1);
  }
  for (const how of ["query", "execute", "execute"]) {
    assert.deepEqual(Array.from(await db[how]({ sql: "SELECT s, d, n, b FROM t WHERE id > ? ORDER BY id", rowsAsArray: true }, [0])), rows);
  }
  // Pipelined: nobody waits for anybody, and an error in the middle is one statement's own.
  const all = await Promise.allSettled(Array.from({ length: 200 }, (_, i) =>
    i === 77 ? db.query("SELECT nothing") : i % 2 ? db.query("SELECT ? AS i", [i]) : db.execute("SELECT ? AS i", [i])));
  all.forEach((r, i) => i === 77 ? assert.equal(r.reason.errno, 1054) : assert.equal(Number(r.value[0].i), i));

  await db.batch("INSERT INTO t (id, s) VALUES (?, ?)", Array.from({ length: 300 }, (_, i) => [1000 + i, "batch " + i]));
  assert.equal(Number((await db.query("SELECT COUNT(*) AS n FROM t"))[0].n), 303);
  await db.beginTransaction();
  await db.query("INSERT INTO t (s) VALUES ('gone')");
  await db.rollback();
  assert.equal(Number((await db.query("SELECT COUNT(*) AS n FROM t"))[0].n), 303);

  const multi = await db.query("SELECT 1 AS a; SELECT 2 AS b; CALL two(5)");
  assert.equal(multi[0][0].a, 1);
  assert.equal(multi[1][0].b, 2);
  assert.equal(multi[2][0].a, 5);
  assert.equal(multi[3][0].two, "two");

  for (const [sql, errno, state] of [["SELECT * FROM missing", 1146, "42S02"], ["INSERT INTO t (id) VALUES (1)", 1062, "23000"], ["NONSENSE", 1064, "42000"]]) {
    await assert.rejects(db.query(sql), (e) => e.errno === errno && e.sqlState === state);
    await assert.rejects(db.execute(sql), (e) => e.errno === errno && e.sqlState === state);
  }
  let n = 0;
  for await (const row of db.queryStream("SELECT seq, REPEAT('x', 100) FROM seq_1_to_20000")) n += row.seq > 0 ? 1 : 0;
  assert.equal(n, 20000);
  await db.ping();
  await db.reset();
  if (db.info.isMariaDB()) { // the connector refuses it elsewhere
    await db.changeUser({ user: config.user, password: config.password, database: config.database });
  }
  assert.equal((await db.query("SELECT DATABASE() AS d"))[0].d, config.database);
  await db.end();
}

run({}).then(() => run({ compress: true })).then(() => run({ pipelining: false, bulk: false })).then(
  () => console.log("OK"), (e) => { console.error(e); process.exit(1); });
