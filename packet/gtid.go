package packet

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strconv"
)

// This file is sets of GTIDs, the names that servers give to transactions.
//
//	MySQL    source[:tag]:first-last[:first-last ...][, ...]   3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:11
//	MariaDB  domain-server-number[, ...]                       0-1-4711
//
// MariaDB's are positions: a server that has 0-1-4711 has all of domain 0 up to
// that number, whichever server has given it.

// GTIDs is a set of them, of one kind or the other. The zero GTIDs is empty. It
// keeps no bytes that it is given.
type GTIDs struct {
	domains []gtidDomain // MariaDB, in the order in which they came
	sources []gtidSource // MySQL
}

type gtidDomain struct {
	domain, server uint32
	number         uint64
}

type gtidSource struct {
	id     [16]byte
	tag    string
	ranges []gtidRange // in order, neither overlapping nor adjacent
}

type gtidRange struct{ first, last uint64 }

const (
	maxGTIDText   = 64 << 10 // bytes that Add reads
	maxGTIDRanges = 4096     // in a set
	maxGTIDTag    = 32       // bytes
)

// Empty tells whether the set has nothing.
func (g *GTIDs) Empty() bool { return len(g.domains) == 0 && len(g.sources) == 0 }

// Ranges is how many ranges and positions the set has: what it costs.
func (g *GTIDs) Ranges() int {
	n := len(g.domains)
	for i := range g.sources {
		n += len(g.sources[i].ranges)
	}
	return n
}

// Add adds a set as servers write it. After ErrMalformed, which also stands for
// one that is too long, a part of it may have been added.
func (g *GTIDs) Add(text []byte) error {
	if len(text) > maxGTIDText {
		return ErrMalformed
	}
	for len(text) > 0 {
		one := text
		if i := bytes.IndexByte(text, ','); i >= 0 {
			one, text = text[:i], text[i+1:]
		} else {
			text = nil
		}
		if one = bytes.TrimSpace(one); len(one) == 0 {
			continue
		}
		add := g.addDomain
		if bytes.IndexByte(one, ':') >= 0 {
			add = g.addSource
		}
		if !add(one) || g.Ranges() > maxGTIDRanges {
			return ErrMalformed
		}
	}
	return nil
}

// addDomain adds domain-server-number.
func (g *GTIDs) addDomain(text []byte) bool {
	domain, text, ok1 := cutNumber(text, '-')
	server, text, ok2 := cutNumber(text, '-')
	number, text, ok3 := cutNumber(text, 0)
	if !ok1 || !ok2 || !ok3 || len(text) > 0 || domain > 1<<32-1 || server > 1<<32-1 {
		return false
	}
	g.position(gtidDomain{uint32(domain), uint32(server), number})
	return true
}

func (g *GTIDs) position(d gtidDomain) {
	for i := range g.domains {
		if g.domains[i].domain == d.domain {
			if d.number >= g.domains[i].number {
				g.domains[i] = d
			}
			return
		}
	}
	g.domains = append(g.domains, d)
}

// addSource adds source[:tag]:ranges[:tag:ranges ...].
func (g *GTIDs) addSource(text []byte) bool {
	head, rest, _ := bytes.Cut(text, []byte{':'})
	var id [16]byte
	if !parseUUID(&id, head) || text[len(text)-1] == ':' {
		return false
	}
	s := -1
	for tagged := false; len(rest) > 0; {
		var part []byte
		part, rest, _ = bytes.Cut(rest, []byte{':'})
		if part = bytes.TrimSpace(part); len(part) == 0 {
			return false
		}
		if part[0] < '0' || part[0] > '9' {
			if len(part) > maxGTIDTag || !isTag(part) || tagged {
				return false
			}
			s, tagged = g.source(id, part), true
			continue
		}
		tagged = false
		first, more, ok := cutNumber(part, '-')
		last := first
		if ok && len(more) > 0 {
			last, more, ok = cutNumber(more, 0)
		}
		if !ok || len(more) > 0 || first == 0 || last < first {
			return false
		}
		if s < 0 {
			s = g.source(id, nil)
		}
		g.sources[s].add(gtidRange{first, last})
	}
	return s >= 0 && len(g.sources[s].ranges) > 0
}

// source is the index of id's and tag's entry.
func (g *GTIDs) source(id [16]byte, tag []byte) int {
	for i := range g.sources {
		if g.sources[i].id == id && g.sources[i].tag == string(tag) {
			return i
		}
	}
	g.sources = append(g.sources, gtidSource{id: id, tag: string(tag)})
	return len(g.sources) - 1
}

// add adds a range.
func (s *gtidSource) add(r gtidRange) {
	rs := s.ranges
	i := len(rs) // the first range that r touches, or that lies behind it
	for i > 0 && rs[i-1].last >= r.first-1 {
		i--
	}
	j := i // the first one that lies behind it
	for j < len(rs) && rs[j].first <= r.last+1 && r.last != 1<<64-1 {
		r.first, r.last = min(r.first, rs[j].first), max(r.last, rs[j].last)
		j++
	}
	if i == j {
		s.ranges = slices.Insert(rs, i, r)
		return
	}
	rs[i] = r
	s.ranges = slices.Delete(rs, i+1, j)
}

// Merge adds another set.
func (g *GTIDs) Merge(other *GTIDs) {
	for _, d := range other.domains {
		g.position(d)
	}
	for i := range other.sources {
		o := &other.sources[i]
		s := g.source(o.id, []byte(o.tag))
		for _, r := range o.ranges {
			g.sources[s].add(r)
		}
	}
}

// Contains tells whether all of other is in g.
func (g *GTIDs) Contains(other *GTIDs) bool {
	for _, d := range other.domains {
		if !slices.ContainsFunc(g.domains, func(m gtidDomain) bool { return m.domain == d.domain && m.number >= d.number }) {
			return false
		}
	}
	for i := range other.sources {
		o := &other.sources[i]
		mine := slices.IndexFunc(g.sources, func(s gtidSource) bool { return s.id == o.id && s.tag == o.tag })
		if mine < 0 && len(o.ranges) > 0 {
			return false
		}
		for _, r := range o.ranges {
			if !slices.ContainsFunc(g.sources[mine].ranges, func(m gtidRange) bool { return m.first <= r.first && r.last <= m.last }) {
				return false
			}
		}
	}
	return true
}

// Of tells whether all of the set is of the kind that MariaDB gives, or MySQL.
func (g *GTIDs) Of(mariaDB bool) bool {
	if mariaDB {
		return len(g.sources) == 0
	}
	return len(g.domains) == 0
}

// Widen makes one range of each source's, from its first to its last: who waits
// for the set waits for more then, and not for less.
func (g *GTIDs) Widen() {
	for i := range g.sources {
		if rs := g.sources[i].ranges; len(rs) > 1 {
			rs[0].last = rs[len(rs)-1].last
			g.sources[i].ranges = rs[:1]
		}
	}
}

// Narrow forgets the lowest ranges of each source until it has at most n: the set
// claims less then, and not more.
func (g *GTIDs) Narrow(n int) {
	for i := range g.sources {
		if rs := g.sources[i].ranges; len(rs) > n {
			g.sources[i].ranges = slices.Delete(rs, 0, len(rs)-n)
		}
	}
}

// Append appends the set as servers write it.
func (g *GTIDs) Append(dst []byte) []byte {
	start := len(dst)
	for _, d := range g.domains {
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = append(strconv.AppendUint(dst, uint64(d.domain), 10), '-')
		dst = append(strconv.AppendUint(dst, uint64(d.server), 10), '-')
		dst = strconv.AppendUint(dst, d.number, 10)
	}
	for i := range g.sources {
		s := &g.sources[i]
		if len(s.ranges) == 0 {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		for j, b := range s.id {
			if j == 4 || j == 6 || j == 8 || j == 10 {
				dst = append(dst, '-')
			}
			dst = hex.AppendEncode(dst, []byte{b})
		}
		if s.tag != "" {
			dst = append(append(dst, ':'), s.tag...)
		}
		for _, r := range s.ranges {
			dst = strconv.AppendUint(append(dst, ':'), r.first, 10)
			if r.last > r.first {
				dst = strconv.AppendUint(append(dst, '-'), r.last, 10)
			}
		}
	}
	return dst
}

// AppendCausalWait appends a statement with which a replica waits until it has the
// set, for up to seconds, a number with or without a fraction. Its one value is 0
// then, 1 (MySQL) or -1 (MariaDB) if the time is over, and there is an ERR where
// MySQL has gtid_mode=OFF. seconds must not be 0: for MySQL that is no limit. A
// server that is no replica of MariaDB's never has its own writes by this.
func AppendCausalWait(dst []byte, g *GTIDs, seconds string) []byte {
	name := "WAIT_FOR_EXECUTED_GTID_SET"
	if len(g.domains) > 0 {
		name = "MASTER_GTID_WAIT"
	}
	dst = append(append(append(dst, "SELECT "...), name...), "('"...)
	dst = append(append(g.Append(dst), "',"...), seconds...)
	return append(dst, ')')
}

// cutNumber cuts a number and the separator behind it off; with separator 0 it is
// all of text. It has digits only.
func cutNumber(text []byte, separator byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(text) && text[i] >= '0' && text[i] <= '9'; i++ {
		d := uint64(text[i] - '0')
		if n > (1<<63-1-d)/10 { // servers' numbers have 63 bits
			return 0, nil, false
		}
		n = n*10 + d
	}
	if i == 0 {
		return 0, nil, false
	}
	if i < len(text) && separator != 0 && text[i] == separator {
		return n, text[i+1:], i+1 < len(text)
	}
	return n, text[i:], separator == 0 || i == len(text)
}

func isTag(b []byte) bool {
	for i, c := range b {
		if !(c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return true
}

// parseUUID reads 8-4-4-4-12 hexadecimal digits.
func parseUUID(id *[16]byte, text []byte) bool {
	if len(text) != 36 {
		return false
	}
	n := 0
	for i := 0; i < len(text); {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if text[i] != '-' {
				return false
			}
			i++
			continue
		}
		if _, err := hex.Decode(id[n:n+1], text[i:i+2]); err != nil {
			return false
		}
		n++
		i += 2
	}
	return true
}
