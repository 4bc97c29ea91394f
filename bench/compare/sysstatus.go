package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	_ "github.com/go-sql-driver/mysql"
)

// serverStatus counts the SELECTs of the testbed's servers, by their own word.
type serverStatus struct {
	servers []*sql.DB // the primary first
	last    []int64
}

func openStatus(t testbedState) (*serverStatus, error) {
	s := &serverStatus{}
	addrs := []string{t.Primary.Addr}
	for _, r := range t.Replicas {
		addrs = append(addrs, r.Addr)
	}
	for _, addr := range addrs {
		db, err := sql.Open("mysql", t.Users.App.Name+":"+t.Users.App.Password+"@tcp("+addr+")/")
		if err != nil {
			s.close()
			return nil, err
		}
		s.servers = append(s.servers, db)
	}
	s.last = make([]int64, len(s.servers))
	return s, nil
}

// add adds to sum how many SELECTs each server has run since it was called last.
func (s *serverStatus) add(ctx context.Context, sum *[]int64) error {
	if sum != nil && *sum == nil {
		*sum = make([]int64, len(s.servers))
	}
	for i, db := range s.servers {
		var name string
		var n int64
		if err := db.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Com_select'").Scan(&name, &n); err != nil {
			return fmt.Errorf("server %d: its Com_select: %w", i, err)
		}
		if sum != nil {
			(*sum)[i] += n - s.last[i]
		}
		s.last[i] = n
	}
	return nil
}

func (s *serverStatus) close() error {
	var all []error
	for _, db := range s.servers {
		all = append(all, db.Close())
	}
	return errors.Join(all...)
}

// replicasPart shows the replicas' part of SELECTs, of which the primary has the first.
func replicasPart(selects []int64) string {
	var all int64
	for _, n := range selects {
		all += n
	}
	if all == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(all-selects[0])/float64(all))
}
