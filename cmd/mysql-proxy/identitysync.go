package main

import (
	"context"
	"crypto/sha1"
	"database/sql"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"mysqlproxy/engine"
)

// hashSync has what the first read/write server that answers stores for its
// accounts with mysql_native_password. It asks again when somebody looks
// something up, at most every syncPause, so that a proxy without clients asks
// nothing. Any goroutine may use it.
type hashSync struct {
	user, passwordFile string
	config             *engine.Config
	log                *slog.Logger

	hashes atomic.Pointer[map[string][][sha1.Size]byte]
	due    due

	mu     sync.Mutex // held by who asks
	failed string     // the error that was logged last
}

const (
	syncPause = 10 * time.Second
	syncTime  = 10 * time.Second // that asking may take
)

// newHashSync begins to ask. What before knows, if it is not nil and asks as the same
// user, holds until there is an answer.
func newHashSync(c *engine.Config, s *settings, before *hashSync, log *slog.Logger) *hashSync {
	config := *c // its own: what it needs is there
	h := &hashSync{user: s.AuthSyncUser, passwordFile: s.AuthSyncPasswordFile, config: &config, log: log}
	if before != nil && before.user == h.user {
		h.hashes.Store(before.hashes.Load())
	}
	h.lookup("")
	return h
}

// lookup is Config.Hashes.
func (h *hashSync) lookup(user string) [][sha1.Size]byte {
	if h.due.every(syncPause) {
		go h.refresh()
	}
	if m := h.hashes.Load(); m != nil {
		return (*m)[user]
	}
	return nil
}

// refresh asks the servers, one after the other, until one answers.
func (h *hashSync) refresh() {
	h.mu.Lock()
	defer h.mu.Unlock()
	var last error
	for _, b := range h.config.Backends {
		if b.ReadOnly {
			continue
		}
		hashes, err := h.ask(b)
		if err == nil {
			h.hashes.Store(&hashes)
			h.failed = ""
			return
		}
		last = fmt.Errorf("%s: %w", b.Addr, err)
	}
	if last != nil && last.Error() != h.failed {
		h.failed = last.Error()
		h.log.Error("--auth-sync-user cannot read the hashes of accounts; what was read before stays in use", "error", last)
	}
}

// ask reads the hashes of one server.
func (h *hashSync) ask(b engine.BackendConfig) (_ map[string][][sha1.Size]byte, err error) {
	defer func() {
		if no := recover(); no != nil { // a server must not stop the proxy by what it sends
			err = fmt.Errorf("its answer could not be read: %v", no)
		}
	}()
	password, err := readSecret("auth-sync-password-file", h.passwordFile)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), syncTime)
	defer cancel()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd = h.user, password
	cfg.Net, cfg.Addr = "tcp", b.Addr.IP.String()
	cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout = h.config.ConnectTimeout, syncTime, syncTime
	cfg.Logger = &mysql.NopLogger{} // the error comes back all the same
	if b.Addr.Path != "" {
		cfg.Net, cfg.Addr = "unix", b.Addr.Path
	} else if h.config.BackendTLS != engine.TLSOff {
		cfg.TLS = h.config.BackendTLSConfig(b)
		cfg.AllowFallbackToPlaintext = h.config.BackendTLS != engine.TLSRequire
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT user, authentication_string FROM mysql.user WHERE plugin = 'mysql_native_password' AND authentication_string <> ''")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	hashes := map[string][][sha1.Size]byte{}
	for rows.Next() {
		var user, text string
		if err := rows.Scan(&user, &text); err != nil {
			return nil, err
		}
		var hash [sha1.Size]byte
		if digits, ok := strings.CutPrefix(text, "*"); ok && len(digits) == 2*len(hash) {
			if _, err := hex.Decode(hash[:], []byte(digits)); err == nil {
				hashes[user] = append(hashes[user], hash)
			}
		}
	}
	return hashes, rows.Err()
}
