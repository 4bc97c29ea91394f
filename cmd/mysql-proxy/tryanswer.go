package main

import (
	"fmt"
	"strings"

	"mysqlproxy/packet"
)

// tryAnswer is a response, read.
type tryAnswer struct {
	summary string // one line
	failed  bool   // it ended in an ERR
	tables  []tryTable
	prepare packet.PrepareOK // of a COM_STMT_PREPARE that went well
}

// tryTable is a result with rows.
type tryTable struct {
	columns []string
	rows    [][]string
}

// answerReader reads the payloads of a response.
type answerReader struct {
	caps     packet.Capability
	payloads [][]byte
	columns  []packet.Column
}

// readAnswer reads a whole response to a command. payloads are those of its
// packets.
func readAnswer(command packet.Command, caps packet.Capability, payloads [][]byte) (a tryAnswer, err error) {
	r := &answerReader{caps: caps, payloads: payloads}
	if command == packet.ComStmtPrepare && len(payloads) > 0 && len(payloads[0]) > 0 && payloads[0][0] == 0 {
		a.prepare, err = packet.ParsePrepareOK(payloads[0], caps)
		a.summary = fmt.Sprintf("statement %d prepared, %s, %s", a.prepare.Statement,
			plural(uint64(a.prepare.Params), "parameter"), plural(uint64(a.prepare.Columns), "column"))
		return a, err
	}
	if command == packet.ComStatistics && len(payloads) == 1 {
		a.summary = string(payloads[0])
		return a, nil
	}
	var parts []string
	for more := true; more; {
		var part string
		var status uint16
		if part, status, err = r.result(command, &a); err != nil {
			return a, err
		}
		parts = append(parts, part)
		more = status&packet.StatusMoreResults != 0
	}
	a.summary = strings.Join(parts, "; then ")
	return a, nil
}

func (r *answerReader) next() ([]byte, error) {
	if len(r.payloads) == 0 || len(r.payloads[0]) == 0 {
		return nil, packet.ErrMalformed
	}
	p := r.payloads[0]
	r.payloads = r.payloads[1:]
	return p, nil
}

// result reads one result of a response.
func (r *answerReader) result(command packet.Command, a *tryAnswer) (summary string, status uint16, err error) {
	first, err := r.next()
	if err != nil {
		return "", 0, err
	}
	switch first[0] {
	case 0x00:
		ok, err := packet.ParseOK(first, r.caps)
		return describeOK(ok), ok.Status, err
	case 0xff:
		e, err := packet.ParseERR(first, r.caps)
		a.failed = true
		return describeERR(e), 0, err
	case 0xfe:
		end, err := packet.ParseEnd(first, r.caps)
		return "EOF" + describeStatus(end.Status), end.Status, err
	case 0xfb:
		rest, err := r.next() // what follows the file
		if err != nil {
			return "a request for a file", 0, nil
		}
		r.payloads = append([][]byte{rest}, r.payloads...)
		return r.result(command, a)
	}
	count, _, err := packet.ParseColumnCount(first, r.caps)
	if err != nil {
		return "", 0, err
	}
	table := tryTable{}
	r.columns = r.columns[:0]
	for range count {
		p, err := r.next()
		if err != nil {
			return "", 0, err
		}
		c, err := packet.ParseColumn(p, r.caps)
		if err != nil {
			return "", 0, err
		}
		r.columns = append(r.columns, c)
		table.columns = append(table.columns, string(c.Name))
	}
	if r.caps&packet.CapDeprecateEOF == 0 {
		if _, err := r.next(); err != nil {
			return "", 0, err
		}
	}
	for {
		p, err := r.next()
		if err != nil {
			return "", 0, err
		}
		if p[0] == 0xff {
			e, err := packet.ParseERR(p, r.caps)
			a.failed = true
			return describeERR(e), 0, err
		}
		if packet.IsEnd(p, r.caps) {
			end, err := packet.ParseEnd(p, r.caps)
			a.tables = append(a.tables, table)
			summary := plural(uint64(len(table.rows)), "row")
			if end.Warnings > 0 {
				summary += ", " + plural(uint64(end.Warnings), "warning")
			}
			return summary + describeStatus(end.Status), end.Status, err
		}
		row, err := r.row(command, p)
		if err != nil {
			return "", 0, err
		}
		table.rows = append(table.rows, row)
	}
}

// row reads one row, binary or text.
func (r *answerReader) row(command packet.Command, p []byte) (row []string, err error) {
	if command == packet.ComStmtExecute {
		b, err := packet.ParseBinaryRow(p, len(r.columns))
		if err != nil {
			return nil, err
		}
		for i := range r.columns {
			v, err := b.Next(&r.columns[i])
			if err != nil {
				return nil, err
			}
			if v.Kind == packet.ValueNull {
				row = append(row, "NULL")
			} else {
				row = append(row, string(v.AppendText(nil, &r.columns[i])))
			}
		}
		return row, nil
	}
	for range r.columns {
		var v []byte
		if v, p, err = packet.TextValue(p); err != nil {
			return nil, err
		}
		if v == nil {
			row = append(row, "NULL")
		} else {
			row = append(row, string(v))
		}
	}
	return row, nil
}

func describeOK(ok packet.OK) string {
	s := "OK, " + plural(ok.AffectedRows, "row") + " affected"
	if ok.LastInsertID > 0 {
		s += fmt.Sprintf(", insert id %d", ok.LastInsertID)
	}
	if ok.Warnings > 0 {
		s += ", " + plural(uint64(ok.Warnings), "warning")
	}
	return s + describeStatus(ok.Status)
}

func describeERR(e packet.ERR) string {
	state := ""
	if len(e.State) > 0 {
		state = fmt.Sprintf(" (%s)", e.State)
	}
	return fmt.Sprintf("ERR %d%s: %s", e.Code, state, e.Message)
}

func describeStatus(status uint16) (s string) {
	if status&packet.StatusInTrans != 0 {
		s += ", in a transaction"
	}
	if status&packet.StatusAutocommit == 0 {
		s += ", autocommit off"
	}
	return s
}

func plural(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
