package engine

import (
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Who may import what. Imports run one way:
//
//	cmd/mysql-proxy -> luahooks -> engine/hook -> packet
//	cmd/mysql-proxy -> engine/admin -> engine -> engine/hook, engine/reactor, packet
func TestWhoKnowsWhom(t *testing.T) {
	const module = "mysqlproxy"
	// ours has the packages of this module that those in a folder may import,
	// themselves and what is below aside. Folders that are not here may import any.
	ours := map[string][]string{
		"packet":            {},
		"engine/reactor":    {},
		"engine/hook":       {"packet"},
		"engine/enginetest": {"packet"},
		"engine":            {"packet", "engine/hook", "engine/reactor"},
		"engine/admin":      {"packet", "engine", "engine/hook", "engine/reactor"},
		"luahooks":          {"packet", "engine/hook"},
	}
	// theirs has the packages, by prefix, that only some folders may import.
	theirs := map[string][]string{
		"github.com/yuin/gopher-lua":    {"luahooks"},
		"github.com/panjf2000/gnet":     {"engine/reactor"},
		"github.com/klauspost/compress": {"packet", "bench", "cmd/mysql-proxy/e2e"},
		"github.com/bytedance/sonic":    {"engine/admin"},
		"github.com/prometheus":         {"engine/admin", "cmd/mysql-proxy/e2e"},
		"net/http":                      {"engine/admin"},
		"crypto/tls":                    {"engine/reactor", "engine", "engine/enginetest", "cmd", "bench"},
		"mysqlproxy/engine/enginetest":  {"cmd/testbed", "bench"}, // for tests, and what runs servers for them
		"testing":                       {"engine/enginetest"},
	}
	// packet is pure: no socket, no time, no log.
	pure := []string{"net", "time", "os", "log", "log/slog", "syscall", "golang.org/x/sys/unix", "sync", "context"}

	root := ".."
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	under := func(pkg string, folders []string) bool {
		for _, f := range folders {
			if pkg == f || strings.HasPrefix(pkg, f+"/") {
				return true
			}
		}
		return false
	}
	seen := map[string]int{}
	check := func(dir, file, imp string, test bool) {
		if own, ok := strings.CutPrefix(imp, module+"/"); ok && !test {
			if may, bound := ours[dir]; bound && own != dir {
				allowed := false
				for _, m := range may {
					allowed = allowed || own == m
				}
				if !allowed {
					t.Errorf("%s: %s must not import %s", file, dir, imp)
				}
			}
			if under(dir, []string{"packet", "engine", "luahooks"}) && under(own, []string{"cmd", "bench"}) {
				t.Errorf("%s: %s must not import %s", file, dir, imp)
			}
		}
		for prefix, folders := range theirs {
			if imp != prefix && !strings.HasPrefix(imp, prefix+"/") {
				continue
			}
			if test && (prefix == "testing" || prefix == "crypto/tls" || prefix == "net/http" || strings.HasPrefix(prefix, module)) {
				continue
			}
			if !under(dir, folders) {
				t.Errorf("%s: %s must not import %s, only %v may", file, dir, imp, folders)
			}
		}
		if dir == "packet" && !test {
			for _, p := range pure {
				if imp == p {
					t.Errorf("%s: packet must not import %s", file, imp)
				}
			}
		}
	}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // git or an editor is replacing it
		}
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && name != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "bin") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(base, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		dir := strings.TrimPrefix(path.Dir(filepath.ToSlash(name)), "../")
		seen[dir]++
		for _, i := range f.Imports {
			imp, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			check(dir, name, imp, strings.HasSuffix(base, "_test.go"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"packet", "engine", "engine/reactor", "engine/enginetest"} {
		if seen[dir] == 0 {
			t.Errorf("no file of %s was looked at", dir)
		}
	}
}
