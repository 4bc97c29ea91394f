<?php
function check($ok, $what) {
    if (!$ok) {
        fwrite(STDERR, "failed: $what\n");
        exit(1);
    }
}

$dsn = sprintf("mysql:host=%s;port=%s;dbname=%s;charset=utf8mb4", getenv("DB_HOST"), getenv("DB_PORT"), getenv("DB_NAME"));
foreach ([true, false] as $emulate) {
    $db = new PDO($dsn, getenv("DB_USER"), getenv("DB_PASSWORD"), [PDO::ATTR_EMULATE_PREPARES => $emulate, PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]
        + (getenv("DB_TLS") ? [PDO::MYSQL_ATTR_SSL_CA => getenv("DB_TLS"), PDO::MYSQL_ATTR_SSL_VERIFY_SERVER_CERT => true] : [])
        + (getenv("DB_COMPRESS") ? [PDO::MYSQL_ATTR_COMPRESS => true] : []));
    $db->exec("DROP TABLE IF EXISTS t");
    $db->exec("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, s VARCHAR(200), d DATETIME(6), n DECIMAL(20,5), b LONGBLOB)");

    $big = str_repeat("\x00\xfe\xff'", 262144);
    $rows = [["Grüße 🐬", "2026-02-28 23:59:59.123456", "-12345.67890", "\x00"], [null, null, null, null], ["", "2026-01-01 00:00:00.000000", "0.00000", $big]];
    $ins = $db->prepare("INSERT INTO t (s, d, n, b) VALUES (?, ?, ?, ?)");
    foreach ($rows as $r) {
        $ins->execute($r);
    }
    check($db->lastInsertId() === "3", "insert id");
    $sel = $db->prepare("SELECT s, d, n, b FROM t WHERE id > :id ORDER BY id");
    $sel->execute(["id" => 0]);
    check($sel->fetchAll(PDO::FETCH_NUM) === $rows, "rows");

    $db->beginTransaction();
    $db->exec("INSERT INTO t (s) VALUES ('gone')");
    $db->rollBack();
    check((int)$db->query("SELECT COUNT(*) FROM t")->fetchColumn() === 3, "rollback");

    $call = $db->prepare("CALL two(?)");
    $call->execute([5]);
    check((int)$call->fetchColumn() === 5 && $call->nextRowset(), "first result");
    $second = $call->fetch(PDO::FETCH_NUM);
    check((int)$second[0] === 6 && $second[1] === "two", "second result");
    $call->closeCursor();

    foreach (["SELECT * FROM missing" => ["42S02", 1146], "INSERT INTO t (id) VALUES (1)" => ["23000", 1062], "NONSENSE" => ["42000", 1064]] as $sql => $code) {
        try {
            $db->query($sql);
            check(false, $sql);
        } catch (PDOException $e) {
            check(array_slice($e->errorInfo, 0, 2) === $code, "$sql: " . $e->getMessage());
        }
    }
    $db = $ins = $sel = $call = null;
}
echo "OK\n";
