import java.sql.*;

/** MariaDB Connector/J at the admin console. */
public class ConsoleJ {
    public static void main(String[] args) throws Exception {
        String url = String.format("jdbc:mariadb://%s:%s/proxy", System.getenv("DB_HOST"), System.getenv("DB_PORT"));
        try (Connection c = DriverManager.getConnection(url, System.getenv("DB_USER"), System.getenv("DB_PASSWORD")); Statement s = c.createStatement()) {
            ResultSet r = s.executeQuery("SHOW BACKENDS");
            r.next();
            r.getObject("lag_seconds");
            System.out.println("at " + r.getString("address") + " " + r.getLong("backend_ndx") + " " + r.wasNull());
            if (!c.isValid(5)) throw new AssertionError("it is not valid");
            s.execute("KILL QUERY 99999");
        } catch (SQLException e) {
            System.out.println("error " + e.getErrorCode());
        }
    }
}
