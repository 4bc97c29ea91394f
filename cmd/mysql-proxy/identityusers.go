package main

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"mysqlproxy/engine"
)

// This file makes the engine's configuration of identities out of the options:
//
//	users-file   -> userFile -> Config.Users
//	auth-sync-*  -> hashSync  -> Config.Hashes (identitysync.go)

// identities fills in what c has of identities. All else is there already. Scripts
// were made for a proxy that had none: by default they have none here, unless they
// are given.
func identities(c *engine.Config, s *settings, k *kept, log *slog.Logger) error {
	script := s.ProxyLuaScript != ""
	if !c.Split && !script || script && s.Auth == "auto" && s.UsersFile == "" && s.AuthSyncUser == "" {
		return nil
	}
	c.Auth = authModes[s.Auth]
	users, err := openUsers(s, log)
	if err != nil {
		return err
	}
	if users != nil {
		c.Users = users.lookup
	}
	if s.AuthSyncUser != "" {
		if _, err := readSecret("auth-sync-password-file", s.AuthSyncPasswordFile); err != nil {
			return err
		}
		k.hashes = newHashSync(c, s, k.hashes, log)
		c.Hashes = k.hashes.lookup
	}
	return nil
}

// userFile is the users-file, as it was read last.
type userFile struct {
	file *watched[userList]
	due  due
}

type userList map[string]engine.UserSecret

// openUsers reads the users-file; nil if there is none.
func openUsers(s *settings, log *slog.Logger) (*userFile, error) {
	if s.UsersFile == "" {
		return nil, nil
	}
	w, err := watch(log, func(texts [][]byte) (*userList, error) {
		list, err := parseUsers(texts[0])
		if err != nil {
			return nil, fmt.Errorf("--users-file: %s: %w", clean(s.UsersFile), err)
		}
		return &list, nil
	}, watchedFile{option: "users-file", name: s.UsersFile, private: true})
	return &userFile{file: w}, err
}

// lookup is Config.Users. Event loops call it, which must not wait for a file:
// others look whether it has changed.
func (u *userFile) lookup(user string) (engine.UserSecret, bool) {
	if u.due.every(watchPause) {
		go u.file.get()
	}
	secret, ok := (*u.file.value.Load())[user]
	return secret, ok
}

// due tells when something is to be done again. Any goroutine may use it.
type due struct{ last atomic.Int64 }

// every tells whether d has passed since it was last told yes.
func (t *due) every(d time.Duration) bool {
	now := time.Now().UnixNano()
	last := t.last.Load()
	return now-last >= int64(d) && t.last.CompareAndSwap(last, now)
}

// parseUsers reads a users-file. Lines that are empty, or begin with a #, have
// nothing. The user ends at the first colon.
func parseUsers(text []byte) (userList, error) {
	list := userList{}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\xef\xbb\xbf")) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if strings.Trim(line, blanks) == "" || line[0] == '#' {
			continue
		}
		user, password, ok := strings.Cut(line, ":")
		if !ok {
			return nil, &fileError{n, "there is no colon behind the user's name"} // not the line itself: it may be a password
		}
		if _, twice := list[user]; twice {
			return nil, &fileError{n, "the user " + clip(user) + " is there twice"}
		}
		secret := engine.UserSecret{Password: []byte(password)}
		if digits, ok := strings.CutPrefix(password, "*"); ok && len(digits) == 2*len(secret.Hash) {
			if hash, err := hex.DecodeString(digits); err == nil {
				secret = engine.UserSecret{Hash: [sha1.Size]byte(hash), Hashed: true}
			}
		}
		list[user] = secret
	}
	return list, nil
}

// readSecret is the first line of a file to which not everybody has access.
func readSecret(option, name string) (string, error) {
	text, mode, err := readRegular(name, maxSecretLen)
	switch {
	case err != nil:
		return "", fmt.Errorf("--%s: cannot read %s: %w", option, clean(name), err)
	case mode.Perm()&0o007 != 0:
		return "", openToAll(option, name, mode)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimRight(line, "\r"), nil
}
