package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Where each option's value comes from, and how it is shown.

// sources has who has given an option, by its long name. Who is not there has its
// default.
type sources map[string]source

// source is who has given an option.
type source struct {
	kind sourceKind
	line int // of the defaults-file, from 1
}

type sourceKind uint8

const (
	fromDefault sourceKind = iota
	fromLine
	fromFile
	fromSet // the console, while the proxy runs
)

// String is the word of the console.
func (k sourceKind) String() string { return [...]string{"default", "command line", "file", "SET"}[k] }

// optionName finds the options that a message is about.
var optionName = regexp.MustCompile(`--([a-z][a-z0-9-]*)`)

// locate adds the line of the defaults-file to an error about an option that is
// given there.
func (f sources) locate(file string, err error) error {
	var known *fileError
	if err == nil || errors.As(err, &known) {
		return err
	}
	for _, m := range optionName.FindAllStringSubmatch(err.Error(), -1) {
		if from := f[m[1]]; from.kind == fromFile {
			return fmt.Errorf("%s line %d: %w", clean(file), from.line, err)
		}
	}
	return err
}

// escape is unescape's counterpart. In a list a comma is escaped, too.
func escape(v string, list bool) string {
	v = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(v)
	if list {
		v = strings.ReplaceAll(v, ",", `\,`)
	}
	if strings.HasPrefix(v, " ") {
		v = `\s` + v[1:]
	}
	return v
}
