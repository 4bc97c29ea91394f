<?php
function check($ok, $what) {
    if (!$ok) {
        fwrite(STDERR, "failed: $what\n");
        exit(1);
    }
}

mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
$db = mysqli_init();
if (getenv("DB_TLS")) {
    $db->ssl_set(null, null, getenv("DB_TLS"), null, null);
}
$db->real_connect(getenv("DB_HOST"), getenv("DB_USER"), getenv("DB_PASSWORD"), getenv("DB_NAME"), (int)getenv("DB_PORT"), null,
    (getenv("DB_TLS") ? MYSQLI_CLIENT_SSL : 0) | (getenv("DB_COMPRESS") ? MYSQLI_CLIENT_COMPRESS : 0));
$db->set_charset("utf8mb4");
$db->query("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, s VARCHAR(200), d DATETIME(6), n DECIMAL(20,5), f DOUBLE, b LONGBLOB)");

$big = str_repeat("\x00\xfe\xff'", 262144);
$rows = [["Grüße 🐬", "2026-02-28 23:59:59.123456", "-12345.67890", 1.5, "\x00"], [null, null, null, null, null], ["", "2026-01-01 00:00:00.000000", "0.00000", -2.25, $big]];
$ins = $db->prepare("INSERT INTO t (s, d, n, f, b) VALUES (?, ?, ?, ?, ?)");
foreach ($rows as $r) {
    $ins->bind_param("sssds", ...$r);
    $ins->execute();
}
check($ins->insert_id === 3, "insert id");
$sel = $db->prepare("SELECT s, d, n, f, b FROM t WHERE id > ? ORDER BY id");
$zero = 0;
$sel->bind_param("i", $zero);
$sel->execute();
check($sel->get_result()->fetch_all() === $rows, "prepared rows");
$sel->close();
check($db->query("SELECT COUNT(*), NULL, '' FROM t")->fetch_row() === ["3", null, ""], "text row");

$long = $db->prepare("UPDATE t SET b = ? WHERE id = 1");
$null = null;
$long->bind_param("b", $null);
$long->send_long_data(0, $big);
$long->send_long_data(0, "tail");
$long->execute();
check($db->query("SELECT LENGTH(b) FROM t WHERE id = 1")->fetch_row()[0] === (string)(strlen($big) + 4), "long data");

$cursor = $db->prepare("SELECT seq FROM seq_1_to_50");
$cursor->attr_set(MYSQLI_STMT_ATTR_CURSOR_TYPE, MYSQLI_CURSOR_TYPE_READ_ONLY);
$cursor->execute();
$cursor->bind_result($seq);
for ($sum = 0; $cursor->fetch(); $sum += $seq);
check($sum === 1275, "cursor");
$cursor->close();

$db->begin_transaction();
$db->query("INSERT INTO t (s) VALUES ('gone')");
$db->rollback();
check($db->query("SELECT COUNT(*) FROM t")->fetch_row()[0] === "3", "rollback");

$db->multi_query("SELECT 1; SELECT 2, 'x'; CALL two(5)");
$got = [];
do {
    if ($r = $db->store_result()) {
        $got[] = $r->fetch_all();
    }
} while ($db->more_results() && $db->next_result());
check($got === [[["1"]], [["2", "x"]], [["5"]], [["6", "two"]]], "multi query");

foreach (["SELECT * FROM missing" => 1146, "INSERT INTO t (id) VALUES (1)" => 1062, "NONSENSE" => 1064] as $sql => $code) {
    try {
        $db->query($sql);
        check(false, $sql);
    } catch (mysqli_sql_exception $e) {
        check($e->getCode() === $code, "$sql: " . $e->getMessage());
    }
}
check($db->real_query("SELECT seq, REPEAT('x', 100) FROM seq_1_to_20000"), "streamed");
$r = $db->use_result();
for ($n = 0; $r->fetch_row(); $n++);
check($n === 20000, "streamed rows");
$r->free();
check($db->change_user(getenv("DB_USER"), getenv("DB_PASSWORD"), getenv("DB_NAME")), "change user");
check(str_starts_with($db->stat(), "Uptime"), "statistics");
$db->close();
echo "OK\n";
