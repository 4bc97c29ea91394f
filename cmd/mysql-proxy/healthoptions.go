package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"mysqlproxy/engine"
	"mysqlproxy/engine/reactor"
)

// The options of health probes, and of how reads are spread over replicas.

// healthPasswordVariable is the environment variable that may have the password.
const healthPasswordVariable = "MYSQL_PROXY_HEALTH_PASSWORD"

var healthOptions = []option{
	{long: "health-user", live: true, kind: stringKind, arg: "USER", group: "proxy",
		help: "user as whom the proxy asks each server, all the time, how it is: whether it answers, whether it is read_only, how far a read-only one is behind. It needs no rights but, for the last, REPLICATION CLIENT at MySQL and REPLICA MONITOR at MariaDB. Without it a server is what connections of clients show, as ever",
		dst:  func(s *settings) any { return &s.HealthUser }},
	{long: "health-password", live: true, secret: true, kind: stringKind, arg: "PASSWORD", group: "proxy",
		help: "password of health-user; ps shows it unless it is in the defaults-file. Without it and health-password-file: what the environment variable " + healthPasswordVariable + " has",
		dst:  func(s *settings) any { return &s.HealthPassword }},
	{long: "health-password-file", live: true, kind: fileKind, arg: "FILE", group: "proxy",
		help: "its first line is the password of health-user; nobody but its owner and group may have access to it; read again at each login",
		dst:  func(s *settings) any { return &s.HealthPasswordFile }},
	{long: "health-interval", live: true, kind: secondsKind, arg: "SECONDS", def: "0.5", group: "proxy",
		help: "how often a server is asked",
		dst:  func(s *settings) any { return &s.HealthInterval }},
	{long: "health-timeout", live: true, kind: secondsKind, arg: "SECONDS", def: "1", group: "proxy",
		help: "how long a server may take to answer before it counts as a failure",
		dst:  func(s *settings) any { return &s.HealthTimeout }},
	{long: "health-rise", live: true, kind: intKind, arg: "N", def: "1", group: "proxy", low: 1, high: maxStreak,
		help: "after how many good answers in a row a server that was down is used again",
		dst:  func(s *settings) any { return &s.HealthRise }},
	{long: "health-fall", live: true, kind: intKind, arg: "N", def: "2", group: "proxy", low: 1, high: maxStreak,
		help: "after how many failures in a row, which follow each other at once, a server is down",
		dst:  func(s *settings) any { return &s.HealthFall }},
	{long: "max-replica-lag", live: true, kind: secondsKind, arg: "SECONDS", def: "10", group: "proxy",
		help: "with splitting and health-user: a read-only server that is further behind, or whose replication does not run, gets no reads until it has caught up; 0: however far it is behind. Without health-user the proxy cannot know, and every read-only server gets reads",
		dst:  func(s *settings) any { return &s.MaxReplicaLag }},
	{long: "roles", kind: stringKind, arg: "HOW", def: "static", group: "proxy",
		choices: []string{"static", "auto"},
		help:    "static: servers are what the options above say; auto, with health-user and without a script: the server that is not read_only and follows no other is the read/write one, those that are or do are read-only, in whichever option they are. Where two could be the read/write one, writes stay with the one that had them last, or go nowhere. The right that max-replica-lag takes is needed at all servers",
		dst:     func(s *settings) any { return &s.Roles }},
	{long: "read-weights", live: true, kind: listKind, arg: "ADDRESS=N", group: "proxy",
		help: "with splitting: the read-only server at ADDRESS, as it is given above, gets N times the reads of one that is not named here, 1 to 1000; may be given several times",
		dst:  func(s *settings) any { return &s.ReadWeights }},
}

const (
	maxStreak   = 1000 // probes
	maxWeight   = 1000
	leastHealth = 50 * time.Millisecond // of interval and time-out
)

// checkHealth refuses options that do not go together.
func (s *settings) checkHealth() error {
	switch {
	case s.HealthUser == "" && s.HealthPassword != "":
		return errors.New("--health-password needs --health-user")
	case s.HealthUser == "" && s.HealthPasswordFile != "":
		return errors.New("--health-password-file needs --health-user")
	case s.HealthPassword != "" && s.HealthPasswordFile != "":
		return errors.New("--health-password and --health-password-file are two passwords for one user; give one")
	case s.Roles == "auto" && s.HealthUser == "":
		return errors.New("--roles=auto needs --health-user: the roles are what servers tell it")
	case s.Roles == "auto" && s.ProxyLuaScript != "":
		return errors.New("--roles=auto is for sessions without a script; give --roles=static or no --proxy-lua-script")
	case s.HealthInterval < leastHealth:
		return fmt.Errorf("--health-interval is less than %v seconds: servers would be asked all the time; give more", leastHealth.Seconds())
	case s.HealthTimeout < leastHealth:
		return fmt.Errorf("--health-timeout is less than %v seconds: a server that is well could not answer in time; give more", leastHealth.Seconds())
	}
	_, err := s.weights()
	return err
}

// health is the engine's configuration of probes; nil without any. The password is
// looked for now, while somebody is looking.
func (s *settings) health() (*engine.HealthConfig, error) {
	if s.HealthUser == "" {
		return nil, nil
	}
	h := &engine.HealthConfig{
		Interval: s.HealthInterval, Timeout: s.HealthTimeout, Rise: s.HealthRise, Fall: s.HealthFall,
		User: s.HealthUser, MaxLag: s.MaxReplicaLag, Roles: s.Roles == "auto",
	}
	if !s.splits() {
		h.MaxLag = 0 // whom a script has read there is up to the script
	}
	password := s.HealthPassword
	if s.HealthPasswordFile != "" {
		var err error
		if password, err = readSecret("health-password-file", s.HealthPasswordFile); err != nil {
			return nil, err
		}
		h.Password = func() (string, error) { return readSecret("health-password-file", s.HealthPasswordFile) }
		return h, nil
	}
	if password == "" {
		password = os.Getenv(healthPasswordVariable)
	}
	h.Password = func() (string, error) { return password, nil }
	return h, nil
}

// weights reads the read-weights. The keys are addresses as they were given.
func (s *settings) weights() (map[string]int, error) {
	m := map[string]int{}
	for _, text := range s.ReadWeights {
		i := strings.LastIndexByte(text, '=')
		if i < 0 {
			return nil, fmt.Errorf("--read-weights=%s has no weight; give ADDRESS=N", clip(text))
		}
		address := strings.Trim(text[:i], blanks)
		n, err := strconv.Atoi(strings.Trim(text[i+1:], blanks))
		if err != nil || n < 1 || n > maxWeight {
			return nil, fmt.Errorf("--read-weights=%s: the weight must be a whole number from 1 to %d", clip(text), maxWeight)
		}
		e, err := reactor.SplitAddr(address)
		if err != nil {
			return nil, fmt.Errorf("--read-weights: %w", err)
		}
		given := ""
		for _, r := range s.ReadOnlyBackends {
			o, err := reactor.SplitAddr(r)
			if o.PortGiven = e.PortGiven; err == nil && o == e {
				given = r
			}
		}
		if given == "" {
			return nil, fmt.Errorf("--read-weights=%s: %s is none of the read-only servers; give the address as in --proxy-read-only-backend-addresses", clip(text), clip(address))
		}
		if _, twice := m[given]; twice {
			return nil, fmt.Errorf("--read-weights: the weight of %s is there twice; remove one", clip(address))
		}
		m[given] = n
	}
	return m, nil
}
