package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// deriveBasedir is the base directory that follows from argv[0]: the parent
// of the directory that holds the program, /usr for /usr/bin/mysql-proxy. A
// name without an absolute path is searched in $PATH, as the shell did.
func deriveBasedir(argv0 string) (string, error) {
	program := argv0
	if !filepath.IsAbs(program) {
		program = searchPath(argv0, os.Getenv("PATH"))
	}
	if program != "" {
		if real, err := filepath.EvalSymlinks(program); err == nil {
			return filepath.Dir(filepath.Dir(real)), nil
		}
	}
	// argv[0] is only what the caller says; the system knows better.
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err != nil {
		return "", fmt.Errorf("cannot find out where the program is (%v); give --basedir", err)
	}
	return filepath.Dir(filepath.Dir(program)), nil
}

// searchPath finds name as a shell would; relative hits become absolute. It
// is empty if there is none.
func searchPath(name, path string) string {
	dirs := filepath.SplitList(path)
	if strings.ContainsRune(name, '/') {
		dirs = []string{"."}
	}
	for _, dir := range dirs {
		candidate, err := filepath.Abs(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return candidate
		}
	}
	return ""
}

// setLuaPaths puts LUA_PATH and LUA_CPATH into the environment, for scripts
// and what they start: the option, else what is there, else the modules under
// the base directory.
func setLuaPaths(s *settings) error {
	for _, v := range []struct{ name, option, pattern string }{
		{"LUA_PATH", s.LuaPath, "?.lua"},
		{"LUA_CPATH", s.LuaCPath, "?.so"},
	} {
		value := v.option
		if value == "" {
			if _, exists := os.LookupEnv(v.name); exists {
				continue
			}
			value = filepath.Join(s.Basedir, "lib/mysql-proxy/lua", v.pattern)
		}
		if err := os.Setenv(v.name, value); err != nil {
			return fmt.Errorf("setting %s: %w", v.name, err)
		}
	}
	return nil
}
