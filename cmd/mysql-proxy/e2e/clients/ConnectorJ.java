import java.math.BigDecimal;
import java.sql.*;
import java.util.Arrays;

/** MariaDB Connector/J, prepared in the client (pipelined batches) and at the server (bulk execute). */
public class ConnectorJ {
    static void check(boolean ok, String what) {
        if (!ok) throw new AssertionError(what);
    }

    public static void main(String[] args) throws Exception {
        for (String options : new String[] {"", "&useServerPrepStmts=true", "&useServerPrepStmts=true&useBulkStmts=false", "&useBatchMultiSend=false&rewriteBatchedStatements=true"}) {
            String url = String.format("jdbc:mariadb://%s:%s/%s?allowMultiQueries=true%s", System.getenv("DB_HOST"), System.getenv("DB_PORT"), System.getenv("DB_NAME"), options);
            if (System.getenv("DB_TLS") != null) url += "&useSsl=true&serverSslCert=" + System.getenv("DB_TLS");
            if (System.getenv("DB_COMPRESS") != null) url += "&useCompression=true";
            try (Connection c = DriverManager.getConnection(url, System.getenv("DB_USER"), System.getenv("DB_PASSWORD"))) {
                run(c);
            } catch (Throwable e) {
                throw new Exception("with options \"" + options + "\"", e);
            }
        }
        System.out.println("OK");
    }

    static void run(Connection c) throws Exception {
        byte[] big = new byte[1 << 20];
        for (int i = 0; i < big.length; i++) big[i] = (byte) i;
        try (Statement s = c.createStatement()) {
            s.execute("DROP TABLE IF EXISTS t");
            s.execute("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, s VARCHAR(200), d DATETIME(6), n DECIMAL(20,5), b LONGBLOB)");
        }
        Timestamp when = Timestamp.valueOf("2026-02-28 23:59:59.123456");
        try (PreparedStatement p = c.prepareStatement("INSERT INTO t (s, d, n, b) VALUES (?, ?, ?, ?)", Statement.RETURN_GENERATED_KEYS)) {
            p.setString(1, "Grüße 🐬");
            p.setTimestamp(2, when);
            p.setBigDecimal(3, new BigDecimal("-12345.67890"));
            p.setBytes(4, big);
            check(p.executeUpdate() == 1, "update count");
            try (ResultSet r = p.getGeneratedKeys()) {
                check(r.next() && r.getInt(1) == 1, "generated key");
            }
            for (int i = 1; i <= 4; i++) p.setNull(i, Types.VARCHAR);
            p.executeUpdate();
        }
        try (PreparedStatement p = c.prepareStatement("SELECT s, d, n, b FROM t WHERE id >= ? ORDER BY id")) {
            p.setInt(1, 1);
            try (ResultSet r = p.executeQuery()) {
                check(r.next() && r.getString(1).equals("Grüße 🐬") && r.getTimestamp(2).equals(when), "first row");
                check(r.getBigDecimal(3).equals(new BigDecimal("-12345.67890")) && Arrays.equals(r.getBytes(4), big), "first row's numbers and bytes");
                check(r.next() && r.getString(1) == null && r.getObject(2) == null && r.getBytes(4) == null, "NULLs");
                check(!r.next(), "end of rows");
            }
        }
        c.setAutoCommit(false);
        try (PreparedStatement p = c.prepareStatement("INSERT INTO t (id, s) VALUES (?, ?)")) {
            for (int i = 0; i < 300; i++) {
                p.setInt(1, 100 + i);
                p.setString(2, "row " + i);
                p.addBatch();
            }
            p.executeBatch();
            check(count(c) == 302, "batch");
        }
        c.rollback();
        c.setAutoCommit(true);
        check(count(c) == 2, "rollback");

        try (PreparedStatement p = c.prepareStatement("INSERT INTO t (id, s) VALUES (?, ?)")) {
            for (int id : new int[] {1000, 1, 1001}) { // the second is there already
                p.setInt(1, id);
                p.setString(2, "x");
                p.addBatch();
            }
            p.executeBatch();
            check(false, "a batch with a duplicate key");
        } catch (BatchUpdateException e) {
            check(e.getErrorCode() == 1062, "batch: " + e);
        }

        try (Statement s = c.createStatement()) {
            check(s.execute("SELECT 1; SELECT 2, 'x'"), "multi statement");
            check(s.getMoreResults() && s.getResultSet().next(), "second result");
            s.setFetchSize(10);
            int n = 0;
            try (ResultSet r = s.executeQuery("SELECT seq, REPEAT('x', 100) FROM seq_1_to_20000")) {
                while (r.next()) n++;
            }
            check(n == 20000, "streamed rows");
            error(s, "SELECT * FROM missing", 1146, "42S02");
            error(s, "INSERT INTO t (id) VALUES (1)", 1062, "23000");
            error(s, "NONSENSE", 1064, "42000");
        }
        try (CallableStatement p = c.prepareCall("{call two(?)}")) {
            p.setInt(1, 5);
            check(p.execute(), "call");
            ResultSet r = p.getResultSet();
            check(r.next() && r.getInt(1) == 5, "first result of the call");
            check(p.getMoreResults(), "second result of the call");
            r = p.getResultSet();
            check(r.next() && r.getInt(1) == 6 && r.getString(2).equals("two"), "its row");
        }
        check(c.isValid(10), "ping");
        c.setCatalog("mysql");
    }

    static int count(Connection c) throws SQLException {
        try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("SELECT COUNT(*) FROM t")) {
            r.next();
            return r.getInt(1);
        }
    }

    static void error(Statement s, String sql, int code, String state) {
        try {
            s.execute(sql);
        } catch (SQLException e) {
            check(e.getErrorCode() == code && e.getSQLState().equals(state), sql + ": " + e);
            return;
        }
        check(false, sql);
    }
}
