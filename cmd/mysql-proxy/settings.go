package main

import (
	"strconv"
	"strings"
	"time"

	"mysqlproxy/engine/admin"
)

// This file is what the admin console tells of the options.

// hidden is what is shown of a secret that is set.
const hidden = "***"

// All are the options in the order of the help, without those that are for the
// start only.
func (s *settings) All() []admin.Setting {
	var list []admin.Setting
	for i := range options {
		o := &options[i]
		if o.cmdOnly && o.kind == flagKind {
			continue
		}
		set := admin.Setting{Name: o.long, Default: o.shownDefault(), Source: s.sources[o.long].kind.String(), Live: o.live && !o.cmdOnly, Help: o.help}
		if o.kind == flagKind || o.kind == reversedKind {
			set.Default = "false"
		}
		set.Value = o.shown(s)
		list = append(list, set)
	}
	return list
}

// text is the option's value in the syntax of the defaults-file; empty: none.
func (o *option) text(s *settings) string {
	switch v := o.dst(s).(type) {
	case *bool:
		return strconv.FormatBool(*v == (o.kind == flagKind))
	case *string:
		return escape(*v, false)
	case *[]string:
		list := make([]string, len(*v))
		for i, element := range *v {
			list[i] = escape(element, true)
		}
		return strings.Join(list, ",")
	case *int:
		if *v == 0 && o.low > 0 {
			return "" // the default, which is no number
		}
		return strconv.Itoa(*v)
	case *int64:
		return strconv.FormatInt(*v, 10)
	case *time.Duration:
		return strconv.FormatFloat(v.Seconds(), 'f', -1, 64)
	}
	return ""
}

// shown is text, but for secrets.
func (o *option) shown(s *settings) string {
	if text := o.text(s); !o.secret || text == "" {
		return text
	}
	return hidden
}
