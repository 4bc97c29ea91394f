package luahooks

import (
	"fmt"
	"math"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"
)

func osDate(l *lua.LState) int {
	format := optString(l, 1, "%c")
	t := time.Now()
	if l.Get(2) != lua.LNil {
		t = time.Unix(int64(cutInt(checkNumber(l, 2))), 0)
	}
	utc := strings.HasPrefix(format, "!")
	if utc {
		format, t = format[1:], t.UTC()
	}
	if year := t.Year() - 1900; year > math.MaxInt32 || year < math.MinInt32 || t.Unix() == math.MinInt64 {
		l.Push(lua.LNil)
		return 1
	}
	if format == "*t" {
		d := l.CreateTable(0, 9)
		for _, f := range []struct {
			name  string
			value int
		}{
			{"sec", t.Second()}, {"min", t.Minute()}, {"hour", t.Hour()}, {"day", t.Day()}, {"month", int(t.Month())},
			{"year", t.Year()}, {"wday", int(t.Weekday()) + 1}, {"yday", t.YearDay()},
		} {
			d.RawSetString(f.name, intValue(f.value))
		}
		d.RawSetString("isdst", lua.LBool(t.IsDST()))
		l.Push(d)
		return 1
	}
	format, _, _ = strings.Cut(format, "\x00")
	var out []byte
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out = append(out, format[i])
			continue
		}
		i++
		out = appendTime(out, t, format[i], utc)
	}
	l.Push(lua.LString(out))
	return 1
}

// appendTime appends what strftime makes of a conversion in the C locale. What is
// none is left as it is, as glibc does.
func appendTime(out []byte, t time.Time, verb byte, utc bool) []byte {
	add := func(format string, args ...any) []byte { return fmt.Appendf(out, format, args...) }
	hour12 := (t.Hour()+11)%12 + 1
	isoYear, isoWeek := t.ISOWeek()
	switch verb {
	case 'a':
		return t.AppendFormat(out, "Mon")
	case 'A':
		return t.AppendFormat(out, "Monday")
	case 'b', 'h':
		return t.AppendFormat(out, "Jan")
	case 'B':
		return t.AppendFormat(out, "January")
	case 'c':
		return add("%s %2d %02d:%02d:%02d %d", t.Format("Mon Jan"), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Year())
	case 'C':
		return add("%02d", floorDiv(t.Year(), 100))
	case 'd':
		return add("%02d", t.Day())
	case 'D', 'x':
		return add("%02d/%02d/%02d", t.Month(), t.Day(), floorMod(t.Year(), 100))
	case 'e':
		return add("%2d", t.Day())
	case 'F':
		return add("%d-%02d-%02d", t.Year(), t.Month(), t.Day())
	case 'g':
		return add("%02d", floorMod(isoYear, 100))
	case 'G':
		return add("%d", isoYear)
	case 'H':
		return add("%02d", t.Hour())
	case 'I':
		return add("%02d", hour12)
	case 'j':
		return add("%03d", t.YearDay())
	case 'k':
		return add("%2d", t.Hour())
	case 'l':
		return add("%2d", hour12)
	case 'm':
		return add("%02d", t.Month())
	case 'M':
		return add("%02d", t.Minute())
	case 'n':
		return append(out, '\n')
	case 'p':
		return t.AppendFormat(out, "PM")
	case 'P':
		return t.AppendFormat(out, "pm")
	case 'r':
		return add("%02d:%02d:%02d %s", hour12, t.Minute(), t.Second(), t.Format("PM"))
	case 'R':
		return add("%02d:%02d", t.Hour(), t.Minute())
	case 's': // the broken-down time taken as local
		return add("%d", time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.Local).Unix())
	case 'S':
		return add("%02d", t.Second())
	case 't':
		return append(out, '\t')
	case 'T', 'X':
		return add("%02d:%02d:%02d", t.Hour(), t.Minute(), t.Second())
	case 'u':
		return add("%d", (int(t.Weekday())+6)%7+1)
	case 'U':
		return add("%02d", (t.YearDay()+6-int(t.Weekday()))/7)
	case 'V':
		return add("%02d", isoWeek)
	case 'w':
		return add("%d", t.Weekday())
	case 'W':
		return add("%02d", (t.YearDay()+6-(int(t.Weekday())+6)%7)/7)
	case 'y':
		return add("%02d", floorMod(t.Year(), 100))
	case 'Y':
		return add("%d", t.Year())
	case 'z':
		return t.AppendFormat(out, "-0700")
	case 'Z':
		if utc {
			return append(out, "GMT"...)
		}
		return t.AppendFormat(out, "MST")
	case '%':
		return append(out, '%')
	}
	return append(out, '%', verb)
}

func floorMod(a, b int) int { return (a%b + b) % b }
func floorDiv(a, b int) int { return (a - floorMod(a, b)) / b }

// osTime is the time now, or that of a table in the local zone.
func osTime(l *lua.LState) int {
	if l.Get(1) == lua.LNil {
		l.Push(lua.LNumber(time.Now().Unix()))
		return 1
	}
	t := checkTable(l, 1)
	part := func(name string, or int) int {
		v := l.GetField(t, name)
		if f, ok := toNumber(v); ok {
			return int(int32(cutInt(f)))
		}
		if or < 0 {
			raisef(l, "field '%s' missing in date table", name)
		}
		return or
	}
	sec, minute, hour := part("sec", 0), part("min", 0), part("hour", 12)
	day, month, year := part("day", -1), part("month", -1), part("year", -1)
	at := time.Date(year, time.Month(month), day, hour, minute, sec, 0, time.Local)
	if dst := l.GetField(t, "isdst"); dst != lua.LNil && lua.LVAsBool(dst) != at.IsDST() {
		// The clock was read with, or without, an hour that the zone does not have then.
		if at.IsDST() {
			at = at.Add(time.Hour)
		} else {
			at = at.Add(-time.Hour)
		}
	}
	if at.Unix() == -1 { // C's way to say that there is no such time
		l.Push(lua.LNil)
	} else {
		l.Push(lua.LNumber(at.Unix()))
	}
	return 1
}
