package luahooks

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

func TestPassword(t *testing.T) {
	m := newProtoState(t)
	m.want(`w = require("mysql.password"); return w == password`, "true")
	// SELECT PASSWORD('123') is this with a * before it.
	m.want(`return hex(w.hash(w.hash("123")))`, "23ae809ddacaf96af0fd78ed04b6a265e05aa257")
	m.want(`c = "01234567890123456789"; h = w.hash("123"); d = w.hash(h); r = w.scramble(c, h); return #r`, "20")
	m.want(`return w.check(c, r, d), w.check(c .. "\0", r, d), w.check(c, r, h), w.check(c, h, d)`, "true true false false")
	m.want(`return w.scramble(c .. "\0", h) == r, w.unscramble(c, r, d) == h`, "true true")
	if m.log.Len() != 0 {
		t.Errorf("logged %q", m.log.String())
	}
	for code, want := range map[string]string{
		`w.scramble("short", h)`: "", `w.scramble(c, "short")`: "",
		`w.unscramble(c .. "\0", r, d)`: "", `w.unscramble(c, "", d)`: "", `w.unscramble(c, r, d .. "x")`: "",
		`w.check(c, r, "")`: "false", `w.check("", r, d)`: "false",
	} {
		m.log.Reset()
		m.want("return "+code, want)
		if !strings.Contains(m.log.String(), "level=ERROR") || !strings.Contains(m.log.String(), "wrong size") {
			t.Errorf("%s logs %q, want an error", code, m.log.String())
		}
	}
	m.wantError(`w.hash()`, "string expected")
}

func TestChassisLog(t *testing.T) {
	for name, row := range map[string]struct{ code, want string }{
		"level":                   {`chassis.log("warning", "text")`, `level=WARN msg="(test:1) text"`},
		"no level":                {`chassis.log(nil, "text")`, `level=INFO+2 msg="(test:1) text"`},
		"error ends nothing":      {`chassis.log("error", "text")`, `level=ERROR msg="(test:1) text"`},
		"critical":                {"\n\nchassis.critical('text')", `level=ERROR msg="(test:3) text"`},
		"warning":                 {`chassis.warning("text")`, "level=WARN"},
		"message":                 {`chassis.message("text")`, "level=INFO+2"},
		"info":                    {`chassis.info("text")`, "level=INFO msg"},
		"debug":                   {`chassis.debug("text")`, "level=DEBUG"},
		"nil":                     {`chassis.info(nil)`, "nil"},
		"number":                  {`chassis.info(1.5)`, "1.5"},
		"print":                   {`print("first", "second")`, `level=INFO+2 msg="(test:1) first"`},
		"print what is no string": {`print(true)`, "true"},
		"base directory":          {`loadstring("chassis.info('x')", "@/base/lua/a.lua")()`, "(lua/a.lua:1) x"},
		"script":                  {`loadstring("chassis.info('x')", "/base/b.lua")()`, "(b.lua:1) x"},
		"other directory":         {`loadstring("chassis.info('x')", "@/bases/a.lua")()`, "(/bases/a.lua:1) x"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModuleState(t)
			m.want(`require("chassis")`, "")
			m.want(row.code, "")
			if got := m.log.String(); !strings.Contains(got, row.want) || strings.Contains(got, "second") {
				t.Errorf("logged %q, want %q", got, row.want)
			}
		})
	}
	m := newModuleState(t)
	m.want(`local p = print; require("chassis"); return os.print == p, print == p`, "true false")
	m.wantError(`chassis.log("loud", "text")`, "invalid option 'loud'")
	m.wantError(`chassis.info({})`, "string expected, got table")
	m.wantError(`chassis.info(true)`, "string expected, got boolean")
	m.want(`return chassis.error`, "nil")
}

func TestChassisShutdownAndStats(t *testing.T) {
	m := newModuleState(t)
	m.want(`require("chassis").set_shutdown(); chassis.mem_profile()`, "")
	if m.shutdown != 1 {
		t.Errorf("%d shutdowns, want 1", m.shutdown)
	}
	m.want(`local s = chassis.get_stats().chassis
		return s.lua_mem_alloc >= s.lua_mem_free, s.lua_mem_bytes > 0, s.lua_mem_bytes_max >= s.lua_mem_bytes`, "true true true")
	m.want(`return chassis.get_stats("chassis")`, "")
	without := newModuleState(t)
	preload := without.GetField(without.GetGlobal("package"), "preload").(*lua.LTable)
	preload.RawSetString("chassis", without.NewFunction((&chassisModule{log: slog.New(slog.NewTextHandler(&without.log, nil))}).open))
	without.want(`require("chassis").set_shutdown()`, "")
	if !strings.Contains(without.log.String(), "may not end this process") {
		t.Errorf("logged %q", without.log.String())
	}
}

func TestGlib2(t *testing.T) {
	m := newModuleState(t)
	m.want(`g = require("glib2"); return g.md5("abc"), g.md5("")`, "900150983cd24fb0d6963f7d28e17f72 d41d8cd98f00b204e9800998ecf8427e")
	m.want(`local t = g.get_current_time(); return t.tv_sec > 1e9, t.tv_usec >= 0 and t.tv_usec < 1e6`, "true true")
	m.want(`local function now() local t = g.get_current_time(); return t.tv_sec * 1e6 + t.tv_usec end
		local before = now(); g.usleep(2000); return now() - before >= 2000`, "true")
	m.wantError(`g.usleep()`, "number expected")
}

func TestPosix(t *testing.T) {
	m := newModuleState(t)
	m.want(`px = require("posix"); return px.getpid(), px.getuid()`, fmt.Sprint(os.Getpid(), " ", os.Getuid()))
	m.want(`return px.kill(px.getpid(), 0), px.kill(2^30, 0)`, "0 -1")
	m.wantError(`px.kill("x")`, "numbers")
	passwd := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(passwd, []byte("# comment\nbad:line\nroot:x:0:0:r:/root:/bin/sh\nann:x:7:8:Ann,,:/home/ann:/bin/zsh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.SetGlobal("user", m.NewFunction(func(l *lua.LState) int { return pushUser(l, passwd, l.CheckInt(1)) }))
	m.want(`local u = user(7); return u.name, u.uid, u.gid, u.dir, u.shell`, "ann 7 8 /home/ann /bin/zsh")
	m.want(`return user(9)`, "")
	m.want(`return type(px.getpwuid)`, "function")
}

func TestLfs(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if err := os.WriteFile("f", []byte("12345"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo("pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	m := newModuleState(t)
	m.want(`lfs = require("lfs"); local a = lfs.attributes("f"); return a.mode, a.size, a.nlink, a.modification > 1e9`, "file 5 1 true")
	m.want(`return lfs.attributes("."). mode, lfs.attributes("f", "size"), lfs.attributes("pipe", "mode"), lfs.attributes("/dev/null", "mode")`,
		"directory 5 named pipe char device")
	m.want(`local a, msg = lfs.attributes("none"); return a, msg:match("none") ~= nil`, "nil true")
	m.wantError(`lfs.attributes("f", "colour")`, "invalid attribute name")
	m.want(`return lfs.mkdir("d"), lfs.chdir("d"), lfs.currentdir(), lfs.chdir(".."), lfs.rmdir("d")`, "true true "+dir+"/d true true")
	m.want(`local ok, msg = lfs.mkdir("f"); return ok, type(msg), (lfs.rmdir("f")), (lfs.chdir("none"))`, "nil string nil nil")
	m.want(`local names = {}
		for name in lfs.dir(".") do names[#names + 1] = name end
		table.sort(names)
		return table.concat(names, " ")`, ". .. f pipe")
	m.want(`local next = lfs.dir("."); while next() do end; return next()`, "")
	m.wantError(`lfs.dir("none")`, "cannot open directory")
	m.wantError(`lfs.dir("f")`, "not a directory")
	m.want(`return lfs.touch("f", 1000, 2000), lfs.attributes("f", "access"), lfs.attributes("f", "modification")`, "true 1000 2000")
	m.want(`return lfs.touch("f", 3000), lfs.attributes("f", "access"), lfs.attributes("f", "modification")`, "true 3000 3000")
	m.want(`return (lfs.touch("none"))`, "nil")
	m.want(`local f = io.open("f", "r+"); local a, b = lfs.lock(f, "w"), lfs.lock(f, "r", 0, 3); local c = lfs.unlock(f); f:close() return a, b, c`, "true true true")
	m.wantError(`lfs.lock(io.open("f"), "x")`, "invalid mode")
	m.want(`local f = io.open("f"); f:close(); return (lfs.lock(f, "r"))`, "nil")
	m.wantError(`lfs.lock(newproxy(), "r")`, "open file expected")
}
