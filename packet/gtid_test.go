package packet

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

const (
	uuidA = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	uuidB = "4e11fa47-71ca-11e1-9e33-c80aa9429562"
)

func gtids(t testing.TB, texts ...string) *GTIDs {
	t.Helper()
	g := new(GTIDs)
	for _, text := range texts {
		if err := g.Add([]byte(text)); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	}
	return g
}

func TestGTIDsAdd(t *testing.T) {
	for _, tc := range []struct {
		name string
		add  []string
		want string
	}{
		{"nothing", nil, ""},
		{"a position", []string{"0-1-5"}, "0-1-5"},
		{"a later one of the domain", []string{"0-1-5", "0-2-9"}, "0-2-9"},
		{"an earlier one of the domain", []string{"0-1-9", "0-2-5"}, "0-1-9"},
		{"two domains", []string{"0-1-5,7-1-3", "7-1-4"}, "0-1-5,7-1-4"},
		{"one", []string{uuidA + ":5"}, uuidA + ":5"},
		{"the next", []string{uuidA + ":5", uuidA + ":6"}, uuidA + ":5-6"},
		{"the one before", []string{uuidA + ":6", uuidA + ":5"}, uuidA + ":5-6"},
		{"one that closes a gap", []string{uuidA + ":1-3:5-9", uuidA + ":4"}, uuidA + ":1-9"},
		{"one that overlaps several", []string{uuidA + ":1:3:5:9", uuidA + ":2-6"}, uuidA + ":1-6:9"},
		{"one that is in it", []string{uuidA + ":1-9", uuidA + ":4-5"}, uuidA + ":1-9"},
		{"not in order", []string{uuidA + ":9:1"}, uuidA + ":1:9"},
		{"upper case and space", []string{" " + strings.ToUpper(uuidA) + ":1-2,\n" + uuidB + ":7 "}, uuidA + ":1-2," + uuidB + ":7"},
		{"tags", []string{uuidA + ":a_1:5-6:b:7", uuidA + ":1"}, uuidA + ":a_1:5-6," + uuidA + ":b:7," + uuidA + ":1"},
		{"the greatest", []string{uuidA + ":9223372036854775806-9223372036854775807"}, uuidA + ":9223372036854775806-9223372036854775807"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := gtids(t, tc.add...)
			if got := string(g.Append(nil)); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if g.Empty() != (tc.want == "") {
				t.Errorf("Empty is %v", g.Empty())
			}
			again := gtids(t, tc.want)
			if !again.Contains(g) || !g.Contains(again) {
				t.Errorf("what is read back is another set: %q", again.Append(nil))
			}
		})
	}
}

func TestGTIDsMalformed(t *testing.T) {
	for _, text := range []string{
		"x", "0", "0-1", "0-1-", "0-1-5-", "-1-5", "0-1-5x", "4294967296-1-5", "0-4294967296-5", "0-1-9223372036854775808",
		uuidA, uuidA + ":", uuidA + ":0", uuidA + ":5-", uuidA + ":5-4", uuidA + ":5:", uuidA + ":a", uuidA + ":a:", uuidA + ":a:b:1", uuidA + ":-5",
		uuidA + ":9a", uuidA[:35] + ":1", "3e11fa47-71ca-11e1-9e33_c80aa9429562:1", strings.Replace(uuidA, "3", "g", 1) + ":1",
		uuidA + ":" + strings.Repeat("a", maxGTIDTag+1) + ":1", strings.Repeat(" ", maxGTIDText+1),
	} {
		if err := new(GTIDs).Add([]byte(text)); err == nil {
			t.Errorf("%.60q was taken", text)
		}
	}
	var many strings.Builder
	many.WriteString(uuidA)
	for i := range maxGTIDRanges + 1 {
		fmt.Fprintf(&many, ":%d", 2*i+1)
	}
	if err := new(GTIDs).Add([]byte(many.String())); err == nil {
		t.Error("more ranges than the limit were taken")
	}
}

func TestGTIDsContains(t *testing.T) {
	for _, tc := range []struct {
		set, other string
		want       bool
	}{
		{"", "", true}, {"0-1-5", "", true}, {"", "0-1-5", false}, {"0-1-5", "0-1-5", true}, {"0-2-6", "0-1-5", true}, {"0-1-4", "0-1-5", false},
		{"1-1-9", "0-1-5", false}, {"0-1-5,1-1-9", "1-1-9", true},
		{uuidA + ":1-9", uuidA + ":5", true}, {uuidA + ":1-9", uuidA + ":5-10", false}, {uuidA + ":1-3:5-9", uuidA + ":3-5", false},
		{uuidA + ":1-9", uuidB + ":5", false}, {uuidA + ":1-9", uuidA + ":a:5", false}, {uuidA + ":a:1-9", uuidA + ":a:5", true},
		{"0-1-5", uuidA + ":5", false},
	} {
		if got := gtids(t, tc.set).Contains(gtids(t, tc.other)); got != tc.want {
			t.Errorf("%q contains %q: %v, want %v", tc.set, tc.other, got, tc.want)
		}
	}
}

// Widen makes a set that contains the one before, Narrow one that is in it.
func TestGTIDsWidenNarrow(t *testing.T) {
	const text = uuidA + ":1-3:5:9-12," + uuidB + ":7"
	wide, narrow, old := gtids(t, text), gtids(t, text), gtids(t, text)
	wide.Widen()
	narrow.Narrow(2)
	if got, want := string(wide.Append(nil)), uuidA+":1-12,"+uuidB+":7"; got != want || !wide.Contains(old) {
		t.Errorf("widened to %q, want %q", got, want)
	}
	if got, want := string(narrow.Append(nil)), uuidA+":5:9-12,"+uuidB+":7"; got != want || !old.Contains(narrow) {
		t.Errorf("narrowed to %q, want %q", got, want)
	}
}

func TestAppendCausalWait(t *testing.T) {
	for text, want := range map[string]string{
		"0-1-5":      "SELECT MASTER_GTID_WAIT('0-1-5',0.02)",
		uuidA + ":5": "SELECT WAIT_FOR_EXECUTED_GTID_SET('" + uuidA + ":5',0.02)",
	} {
		if got := string(AppendCausalWait(nil, gtids(t, text), "0.02")); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A session adds one for each of its writes.
func TestGTIDsDoNotAllocate(t *testing.T) {
	for _, form := range []string{"0-1-%d", uuidA + ":%d"} {
		g := gtids(t, fmt.Sprintf(form, 1))
		var texts [][]byte
		for i := range 1002 {
			texts = append(texts, fmt.Appendf(nil, form, i+2))
		}
		i := 0
		if n := testing.AllocsPerRun(1000, func() {
			_ = g.Add(texts[i])
			_ = g.Contains(g)
			i++
		}); n != 0 {
			t.Errorf("%s: %v allocations", form, n)
		}
	}
}

// A set of few numbers does what a list of them does.
func FuzzGTIDs(f *testing.F) {
	f.Add([]byte(uuidA+":1-3:5"), uint64(1))
	f.Add([]byte("0-1-5"), uint64(2))
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		g := new(GTIDs)
		if g.Add(text) == nil {
			again := new(GTIDs)
			if err := again.Add(g.Append(nil)); err != nil && len(g.Append(nil)) <= maxGTIDText || err == nil && (!again.Contains(g) || !g.Contains(again)) {
				t.Errorf("%q is written as %q", text, g.Append(nil))
			}
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		var sets [2]*GTIDs
		var has [2][24]bool
		for i := range sets {
			sets[i] = new(GTIDs)
			for range rng.IntN(8) {
				first := 1 + rng.IntN(20)
				last := first + rng.IntN(3)
				if err := sets[i].Add(fmt.Appendf(nil, "%s:%d-%d", uuidA, first, last)); err != nil {
					t.Fatal(err)
				}
				for n := first; n <= last; n++ {
					has[i][n] = true
				}
			}
		}
		want := true
		for n := range has[0] {
			want = want && (has[0][n] || !has[1][n])
		}
		if got := sets[0].Contains(sets[1]); got != want {
			t.Errorf("%q contains %q: %v, want %v", sets[0].Append(nil), sets[1].Append(nil), got, want)
		}
		sets[0].Merge(sets[1])
		if !sets[0].Contains(sets[1]) {
			t.Errorf("%q, merged, does not contain %q", sets[0].Append(nil), sets[1].Append(nil))
		}
	})
}

func TestGTIDsOf(t *testing.T) {
	for _, tc := range []struct {
		set          string
		maria, mysql bool
	}{
		{"", true, true},
		{"0-1-7,2-1-9", true, false},
		{"3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5", false, true},
		{"0-1-7,3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5", false, false},
	} {
		var g GTIDs
		if err := g.Add([]byte(tc.set)); err != nil || g.Of(true) != tc.maria || g.Of(false) != tc.mysql {
			t.Errorf("%q: %v, MariaDB's %v, MySQL's %v", tc.set, err, g.Of(true), g.Of(false))
		}
	}
}
