package luahooks

// Builtin makes scripts out of a Lua module that is part of the program, in the
// same Lua states: "admin" is the admin plugin's script where none is given.
func (s *Scripts) Builtin(name string) *Scripts {
	path := "builtin/" + name + ".lua"
	f := &file{path: path, fixed: true}
	text, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		f.err = err
	} else if main, err := compileScript(text, chunkName(path)); err != nil {
		f.err = err
	} else {
		f.last = &version{main: main, restless: definesLater(main)}
	}
	return &Scripts{opts: s.opts, file: f, vms: s.vms}
}

// Check looks at the script as it is now and logs what is wrong with it, for
// whoever starts the proxy; the clients would be told, too.
func (s *Scripts) Check() {
	if s.file == nil {
		return
	}
	if _, err := s.file.load(); err != nil && s.file.mayLog() {
		s.opts.Log.Error("(lua-error) [" + s.file.path + "] " + err.Error())
	}
}
