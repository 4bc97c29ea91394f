package luahooks

import lua "github.com/yuin/gopher-lua"

func openModules(s *Scripts, l *lua.LState) {}
