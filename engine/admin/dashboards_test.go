package admin

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"mysqlproxy/engine"
	"mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/reactor"
)

// The dashboard and the alert rules, next to what a running engine exposes: a name
// or a label that is used there and exposed nowhere is a fault of the one or the
// other.

// notAtOnce are the families that a proxy exposes only once it knows what they
// tell, or has a script. The tests with real servers see them.
var notAtOnce = []string{
	"mysql_proxy_backend_lag_seconds", "mysql_proxy_backend_probe_latency_seconds",
	"mysql_proxy_hook_calls_total", "mysql_proxy_hook_failures_total", "mysql_proxy_hook_timed_calls_total", "mysql_proxy_hook_timed_seconds_total",
}

// running is what an engine exposes that splits and probes, from its start on:
// names, their labels, and the values of each label.
func running(t *testing.T) exposure {
	t.Helper()
	addr := func(s string) reactor.Addr { return reactor.Addr{IP: netip.MustParseAddrPort(s)} }
	e, err := engine.New(engine.Config{
		Listen: []reactor.Addr{addr("127.0.0.1:0")},
		Backends: []engine.BackendConfig{
			{Addr: addr(enginetest.Listen(t).Addr().String())},
			{Addr: addr(enginetest.Listen(t).Addr().String()), ReadOnly: true},
		},
		Loops: 2, Split: true, Digests: engine.DigestsSampled, Version: "1.2.3", Log: slog.New(slog.DiscardHandler),
		Health: &engine.HealthConfig{
			Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 1, User: "u", MaxLag: time.Second,
			Password: func() (string, error) { return "p", nil },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Shutdown()
		e.Wait()
	})
	at := serve(t, e)
	code, _, body := get(t, at, "/metrics")
	for until := time.Now().Add(enginetest.Patience); code != 200 && time.Now().Before(until); { // while loops have no time
		code, _, body = get(t, at, "/metrics")
	}
	values, labels, _ := exposed(t, body)
	x := exposure{labels: labels, values: map[string][]string{}}
	pair := regexp.MustCompile(`(\w+)="([^"]*)"`)
	for key := range values {
		name, _, _ := strings.Cut(key, "{")
		for _, p := range pair.FindAllStringSubmatch(key, -1) {
			x.values[name+" "+p[1]] = append(x.values[name+" "+p[1]], p[2])
		}
	}
	return x
}

type exposure struct {
	labels map[string][]string // of each name
	values map[string][]string // of each name, a space and a label
}

func TestEveryFamilyIsExposedByARunningEngine(t *testing.T) {
	x := running(t)
	for i := range families {
		f := &families[i]
		labels, there := x.labels[f.name]
		if there == slices.Contains(notAtOnce, f.name) {
			t.Errorf("%s is exposed: %t", f.name, there)
		}
		want := slices.Clone(f.labels)
		if f.histogram != nil {
			want = append(want, "le")
		}
		if there && !slices.Equal(slices.Sorted(slices.Values(labels)), slices.Sorted(slices.Values(want))) {
			t.Errorf("%s has the labels %q, want %q", f.name, labels, want)
		}
	}
	for name := range x.labels {
		known := slices.ContainsFunc(families, func(f family) bool { return f.name == name })
		if strings.HasPrefix(name, "mysql_proxy_") && !known {
			t.Errorf("%s is exposed and not among the families", name)
		}
	}
}

// known is x with the families that are not exposed at once.
func (x exposure) known() exposure {
	for i := range families {
		if f := &families[i]; slices.Contains(notAtOnce, f.name) {
			x.labels[f.name] = f.labels
		}
	}
	return x
}

// These are added by Prometheus, or are its own.
var (
	targetLabels = []string{"instance", "job"}
	promMetrics  = []string{"up"}
	promWords    = []string{"and", "or", "unless", "bool", "offset"}
	grouping     = []string{"by", "without", "on", "ignoring", "group_left", "group_right"}
)

var promToken = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[a-zA-Z_:][a-zA-Z0-9_:]*|=~|!~|!=|[0-9.]+|\S`)

// check says what is wrong with the names and labels of an expression, and which
// labels its result can have.
func (x exposure) check(expr string) (results, faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	tokens := promToken.FindAllString(expr, -1)
	at := func(i int) string {
		if i < len(tokens) {
			return tokens[i]
		}
		return ""
	}
	word := regexp.MustCompile(`^[a-zA-Z_:]`)
	var labels, grouped []string // of the metrics, and of by (...)
	metrics := 0
	for i := 0; i < len(tokens); i++ {
		switch tok := tokens[i]; {
		case !word.MatchString(tok), slices.Contains(promWords, tok):
		case slices.Contains(grouping, tok):
			for i += 2; i < len(tokens) && tokens[i] != ")"; i++ {
				if tokens[i] != "," {
					grouped = append(grouped, tokens[i])
					if tok == "by" {
						results = append(results, tokens[i])
					}
				}
			}
		case at(i+1) == "(" || at(i+1) == "by": // a function
		default:
			metrics++
			of, ok := x.labels[tok]
			if !ok {
				for _, part := range []string{"_bucket", "_count", "_sum"} {
					base, cut := strings.CutSuffix(tok, part)
					if l, there := x.labels[base]; cut && there && slices.Contains(l, "le") {
						of, ok = l, true
					}
				}
			}
			if !ok && !slices.Contains(promMetrics, tok) {
				fault("nothing exposes %s", tok)
			}
			labels = append(labels, of...)
			if at(i+1) != "{" {
				continue
			}
			for i += 2; i < len(tokens) && tokens[i] != "}"; i++ {
				if tokens[i] == "," {
					continue
				}
				name, value := tokens[i], strings.Trim(at(i+2), `"`)
				if i += 2; slices.Contains(targetLabels, name) {
					continue
				}
				if ok && !slices.Contains(of, name) {
					fault("%s has no label %s", tok, name)
				}
				for _, v := range strings.Split(value, "|") {
					if !slices.Contains(x.values[tok+" "+name], v) {
						fault("%s of %s is never %q", name, tok, v)
					}
				}
			}
		}
	}
	if metrics == 0 {
		fault("no metric is in it")
	}
	for _, g := range grouped {
		if !slices.Contains(labels, g) && !slices.Contains(targetLabels, g) {
			fault("no metric in it has the label %s", g)
		}
	}
	if results == nil {
		results = append(labels, targetLabels...)
	}
	return results, faults
}

// labelsIn are those that a text of Grafana's or of an alert names.
func labelsIn(text string) (all []string) {
	for _, m := range regexp.MustCompile(`\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}`).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// judge is check, with the labels of texts about the result.
func (x exposure) judge(expr string, texts ...string) []string {
	results, faults := x.check(expr)
	for _, text := range texts {
		for _, l := range labelsIn(text) {
			if !slices.Contains(results, l) {
				faults = append(faults, fmt.Sprintf("the result has no label %s", l))
			}
		}
	}
	return faults
}

func TestWhatDashboardsMayUse(t *testing.T) {
	x := running(t).known()
	for _, tc := range []struct{ expr, text, want string }{
		{`sum by (reason) (rate(mysql_proxy_sessions_closed_total{instance=~"$instance"}[$__rate_interval])) > 0`, "{{reason}}", ""},
		{`histogram_quantile(0.99, sum by (le) (rate(mysql_proxy_backend_probe_duration_seconds_bucket[5m])))`, "", ""},
		{`mysql_proxy_backend_state{state="down"} == 1 and on (instance) up`, "{{ $labels.backend }}", ""},
		{`mysql_proxy_backend_state{state=~"down|gone"}`, "", `state of mysql_proxy_backend_state is never "gone"`},
		{`mysql_proxy_sessions_closed_total{reason="read"}`, "", `reason of mysql_proxy_sessions_closed_total is never "read"`},
		{`mysql_proxy_session`, "", "nothing exposes mysql_proxy_session"},
		{`mysql_proxy_sessions_count`, "", "nothing exposes mysql_proxy_sessions_count"},
		{`mysql_proxy_sessions{backend="x"}`, "", "mysql_proxy_sessions has no label backend"},
		{`sum by (backend) (mysql_proxy_sessions)`, "", "no metric in it has the label backend"},
		{`sum by (loop) (mysql_proxy_sessions)`, "{{instance}}", "the result has no label instance"},
		{`mysql_proxy_sessions`, "{{reason}}", "the result has no label reason"},
		{`1 + 1`, "", "no metric is in it"},
	} {
		if got := strings.Join(x.judge(tc.expr, tc.text), "; "); tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
			t.Errorf("%s with %s: %q, want %q", tc.expr, tc.text, got, tc.want)
		}
	}
}

func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("dashboards/mysql-proxy.json")
	if err != nil {
		t.Fatal(err)
	}
	type target struct{ Expr, LegendFormat string }
	type panel struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ H, W, X, Y int }
		Targets                  []target
	}
	var d struct {
		UID, Title    string
		SchemaVersion int
		Panels        []panel
		Annotations   struct {
			List []struct{ Name, Expr, TitleFormat string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	x := running(t).known()
	used := map[string]bool{}
	judge := func(where, expr string, texts ...string) {
		for _, fault := range x.judge(expr, texts...) {
			t.Errorf("%s: %s: %s", where, expr, fault)
		}
		for _, tok := range promToken.FindAllString(expr, -1) {
			used[strings.TrimSuffix(tok, "_bucket")] = true
		}
	}
	ids, exprs := map[int]bool{}, 0
	cells := map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
			t.Errorf("panel %d, %q: it has another's number, no title, no description or no target", p.ID, p.Title)
		}
		ids[p.ID] = true
		for cx := p.GridPos.X; cx < p.GridPos.X+p.GridPos.W; cx++ {
			for cy := p.GridPos.Y; cy < p.GridPos.Y+p.GridPos.H; cy++ {
				if other := cells[[2]int{cx, cy}]; other != "" || cx >= 24 {
					t.Fatalf("panel %q is where %q is, or out of the grid", p.Title, other)
				}
				cells[[2]int{cx, cy}] = p.Title
			}
		}
		for _, q := range p.Targets {
			judge("panel "+p.Title, q.Expr, q.LegendFormat)
			exprs++
		}
	}
	for _, a := range d.Annotations.List {
		judge("annotation "+a.Name, a.Expr, a.TitleFormat)
	}
	variable := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`)
	for _, v := range d.Templating.List {
		if m := variable.FindStringSubmatch(v.Definition); m != nil {
			judge("variable "+v.Name, m[1], "{{"+m[2]+"}}")
		} else if v.Name != "datasource" {
			t.Errorf("variable %s: %q is not understood", v.Name, v.Definition)
		}
	}
	if exprs < 30 || d.UID == "" || d.SchemaVersion == 0 {
		t.Errorf("%d expressions, uid %q, schema %d: this is not the dashboard", exprs, d.UID, d.SchemaVersion)
	}
	// What nobody needs to look at all the time.
	for _, name := range []string{"mysql_proxy_admin_sessions", "mysql_proxy_backend_clients", "mysql_proxy_backend_info", "mysql_proxy_backend_probe_latency_seconds",
		"mysql_proxy_backend_probes_total", "mysql_proxy_backend_role", "mysql_proxy_backend_state_start_time_seconds", "mysql_proxy_backend_weight"} {
		if used[name] {
			t.Errorf("%s is on the dashboard", name)
		}
		used[name] = true
	}
	for i := range families {
		if !used[families[i].name] {
			t.Errorf("%s is not on the dashboard", families[i].name)
		}
	}
}

func TestAlertRules(t *testing.T) {
	f, err := os.Open("dashboards/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	dec := yaml.NewDecoder(f)
	dec.KnownFields(true) // Prometheus refuses others
	if err := dec.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	x := running(t).known()
	seen := map[string]bool{}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			for _, fault := range x.judge(r.Expr, slices.Collect(maps.Values(r.Annotations))...) {
				t.Errorf("%s: %s", r.Alert, fault)
			}
			if _, err := time.ParseDuration(r.For); r.For != "" && err != nil {
				t.Errorf("%s: for: %v", r.Alert, err)
			}
			if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) || r.Annotations["summary"] == "" || r.Annotations["description"] == "" || seen[r.Alert] {
				t.Errorf("%s: severity %q, summary %q, description %q, or it is there twice", r.Alert, r.Labels["severity"], r.Annotations["summary"], r.Annotations["description"])
			}
			seen[r.Alert] = true
		}
	}
	if len(seen) < 10 {
		t.Errorf("%d rules", len(seen))
	}
}
