package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// sampleTimeout is how long one sample may take.
const sampleTimeout = 30 * time.Second

// open gives a handle for the app user at the demo's port.
func (d *demo) open() (*sql.DB, error) {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd = d.bed.users.App.Name, d.bed.users.App.Password
	cfg.Net, cfg.Addr = "tcp", fmt.Sprintf("127.0.0.1:%d", d.port)
	cfg.DBName = databaseName
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = 5*time.Second, sampleTimeout, sampleTimeout
	cfg.Logger = quiet{}
	conn, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(conn), nil
}

// hint is for the proxy: what a server says of itself is the primary's to say, and
// the samples want to know who answers a read.
const hint = "/* route=replica */"

// samples sends statements, shows who answered, and fails on a wrong answer.
func (d *demo) samples(ctx context.Context) error {
	if d.script != "" {
		if err := d.warm(ctx); err != nil {
			return err
		}
	}
	const read = "SELECT " + hint + " @@server_id AS server_id, @@port AS port, COUNT(*) AS items, SUM(price) AS value FROM items"
	shown, err := d.client(ctx, read)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nBy the %s client:\n> %s\n%s", d.bed.client, read, shown)

	db, err := d.open()
	if err != nil {
		return err
	}
	defer db.Close()
	fmt.Fprintf(d.out, "\nBy a Go program:\n")
	if err := d.sampleReads(ctx, db); err != nil {
		return err
	}
	body, err := d.sampleWrite(ctx, db)
	if err != nil {
		return err
	}
	if err := d.sampleReplication(ctx, body); err != nil {
		return err
	}
	name, args := d.clientCommand()
	fmt.Fprintf(d.out, "\nConnect:\n  %s %s %s\n", name, strings.Join(args, " "), databaseName)
	return nil
}

// warmLogins is how many logins of a client fill the proxy's pool.
const warmLogins = 10

// warm lets clients come and go: the proxy's connections with the replicas come
// from clients' logins.
func (d *demo) warm(ctx context.Context) error {
	fmt.Fprintf(d.out, "Logging in %d times, which opens the proxy's connections with the replicas ...\n", 2*warmLogins)
	for range warmLogins {
		if _, err := d.client(ctx, "DO 0"); err != nil {
			return err
		}
		db, err := d.open()
		if err != nil {
			return err
		}
		err = db.PingContext(ctx)
		db.Close()
		if err != nil {
			return fmt.Errorf("log in: %w", err)
		}
	}
	return nil
}

// sampleReads reads by a plain statement and by a prepared one.
func (d *demo) sampleReads(ctx context.Context, db *sql.DB) error {
	for _, q := range []struct {
		text string
		args []any
		want int
	}{
		{"SELECT " + hint + " @@server_id, COUNT(*) FROM items", nil, 5000},
		{"SELECT " + hint + " @@server_id, COUNT(*) FROM items WHERE id > ?", []any{4900}, 100},
	} {
		var id, got int
		if err := db.QueryRowContext(ctx, q.text, q.args...).Scan(&id, &got); err != nil {
			return fmt.Errorf("%s: %w", q.text, err)
		}
		if got != q.want {
			return fmt.Errorf("%s: %d, want %d", q.text, got, q.want)
		}
		if err := d.answered(q.text, id); err != nil {
			return err
		}
	}
	return nil
}

// sampleWrite writes a row in a transaction that says which server made it,
// and gives the row's text.
func (d *demo) sampleWrite(ctx context.Context, db *sql.DB) (body string, err error) {
	const insert = "INSERT INTO notes (body) VALUES (CONCAT('written by server ', @@server_id))"
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return "", fmt.Errorf("BEGIN: %w", err)
	}
	defer tx.Rollback()
	res, err := tx.ExecContext(ctx, insert)
	if err != nil {
		return "", fmt.Errorf("%s: %w", insert, err)
	}
	row, err := res.LastInsertId()
	if err != nil {
		return "", err
	}
	if err := tx.QueryRowContext(ctx, "SELECT body FROM notes WHERE id = ?", row).Scan(&body); err != nil {
		return "", fmt.Errorf("read the new row: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return "", fmt.Errorf("COMMIT: %w", err)
	}
	var id int
	if _, err := fmt.Sscanf(body, "written by server %d", &id); err != nil {
		return "", fmt.Errorf("the new row is %q: %w", body, err)
	}
	return body, d.answered(insert, id)
}

// answered shows who answered a statement; a server_id that no server of ours
// has is an error.
func (d *demo) answered(statement string, serverID int) error {
	for _, s := range d.bed.servers {
		if s.id == serverID {
			fmt.Fprintf(d.out, "> %s\n  answered by %s\n", statement, s.name)
			return nil
		}
	}
	return fmt.Errorf("%s: answered by server_id %d, which is none of ours", statement, serverID)
}

// sampleReplication waits until every replica has the row that was written.
func (d *demo) sampleReplication(ctx context.Context, body string) error {
	for _, s := range d.bed.servers[1:] {
		if err := s.waitForRow(ctx, body); err != nil {
			return err
		}
		fmt.Fprintf(d.out, "  and replicated to %s\n", s.name)
	}
	return nil
}

// waitForRow waits until the server has a note with that text.
func (s *server) waitForRow(ctx context.Context, body string) error {
	ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
	defer cancel()
	db, err := s.open()
	if err != nil {
		return err
	}
	defer db.Close()
	for {
		var n int
		err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+databaseName+".notes WHERE body = ?", body).Scan(&n)
		if err != nil {
			return fmt.Errorf("%s: the row %q did not arrive: %w", s.name, body, err)
		}
		if n > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: the row %q did not arrive: %w", s.name, body, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
