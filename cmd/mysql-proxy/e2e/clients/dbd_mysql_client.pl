use strict;
use warnings;
use utf8;
use DBI;

# With Connector/C the module cannot insist on TLS; the server has to.
my $layers = ($ENV{DB_TLS} ? ";mysql_ssl=1;mysql_ssl_optional=1;mysql_ssl_ca_file=$ENV{DB_TLS}" : "")
    . ($ENV{DB_COMPRESS} ? ";mysql_compression=1" : "");
# DBD::mysql prepares at the server or in the client: both are used.
for my $server (0, 1) {
    my $db = DBI->connect("DBI:mysql:host=$ENV{DB_HOST};port=$ENV{DB_PORT};database=$ENV{DB_NAME};mysql_server_prepare=$server;mysql_multi_statements=1$layers",
        $ENV{DB_USER}, $ENV{DB_PASSWORD}, { RaiseError => 1, PrintError => 0, mysql_enable_utf8mb4 => 1 });
    $db->do("DROP TABLE IF EXISTS t");
    $db->do("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, s VARCHAR(200), d DATETIME(6), n DECIMAL(20,5), b LONGTEXT)");

    my $big = "it's a big one\\ " x 65536;
    my @rows = (["Grüße 🐬", "2026-02-28 23:59:59.123456", "-12345.67890", "x"], [undef, undef, undef, undef], ["", "2026-01-01 00:00:00.000000", "0.00000", $big]);
    my $ins = $db->prepare("INSERT INTO t (s, d, n, b) VALUES (?, ?, ?, ?)");
    $ins->execute(@$_) for @rows;
    die "insert id" unless $ins->{mysql_insertid} == 3;
    my $got = $db->selectall_arrayref("SELECT s, d, n, b FROM t WHERE id > ? ORDER BY id", {}, 0);
    for my $r (0 .. 2) {
        for my $c (0 .. 3) {
            my ($g, $w) = ($got->[$r][$c], $rows[$r][$c]);
            die "row $r column $c" unless defined $g ? defined $w && $g eq $w : !defined $w;
        }
    }

    $db->begin_work;
    $db->do("INSERT INTO t (s) VALUES ('gone')");
    $db->rollback;
    die "rollback" unless $db->selectrow_array("SELECT COUNT(*) FROM t") == 3;

    my $call = $db->prepare("CALL two(5)", { mysql_server_prepare => 0 });
    $call->execute;
    die "first result" unless $call->fetchrow_array == 5;
    $call->more_results or die "no second result";
    my @second = $call->fetchrow_array;
    die "second result" unless "@second" eq "6 two";
    $call->more_results;
    $call->finish;

    my %codes = ("SELECT * FROM missing" => 1146, "INSERT INTO t (id) VALUES (1)" => 1062, "NONSENSE" => 1064);
    for my $sql (sort keys %codes) {
        eval { $db->do($sql) };
        die "$sql: " . ($db->err // "no error") unless $@ && $db->err == $codes{$sql};
    }
    my $stream = $db->prepare("SELECT seq, REPEAT('x', 100) FROM seq_1_to_20000", { mysql_use_result => 1, mysql_server_prepare => 0 });
    $stream->execute;
    my $n = 0;
    $n++ while $stream->fetchrow_arrayref;
    die "streamed $n rows" unless $n == 20000;
    $db->ping or die "ping";
    $db->disconnect;
}
print "OK\n";
