package luahooks

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"weak"

	lua "github.com/yuin/gopher-lua"
)

// luaFile is a FILE* of io: a file, one end of a process, or a standard stream.
type luaFile struct {
	f    *os.File     // nil for standard output
	out  *standardOut // of standard output
	cmd  *exec.Cmd    // of popen
	std  bool         // cannot be closed
	read bool
	put  bool // may be written

	in      *bufio.Reader // of what is read
	pending []byte        // written but not in the file yet
	size    int           // bytes that pending may hold
	byLines bool
	closed  bool
	value   weak.Pointer[lua.LUserData] // as Lua has it: that one holds this file
}

// newFile takes a file. The state's end writes what is pending in it, and so does
// the collector when a script has forgotten to close it.
func (s *stdlib) newFile(f *os.File, read, put bool) *luaFile {
	file := &luaFile{f: f, read: read, put: put, size: blockSize}
	runtime.SetFinalizer(file, func(file *luaFile) {
		if !file.std {
			go file.close() // of a process it waits for the end
		}
	})
	open := s.files[:0]
	for _, w := range s.files {
		if old := w.Value(); old != nil && !old.closed {
			open = append(open, w)
		}
	}
	s.files = append(open, weak.Make(file))
	return file
}

// flushAll writes what is pending in standard output and in all files.
func (s *stdlib) flushAll() {
	s.stdout.flush()
	for _, w := range s.files {
		if file := w.Value(); file != nil {
			file.flush()
		}
	}
}

// openFile opens a file with a mode of C's fopen.
func (s *stdlib) openFile(name, mode string) (*luaFile, error) {
	flags, read, put := 0, false, true
	if mode == "" {
		return nil, syscall.EINVAL
	}
	switch mode[0] {
	case 'r':
		read, put = true, false
	case 'w':
		flags = os.O_CREATE | os.O_TRUNC
	case 'a':
		flags = os.O_CREATE | os.O_APPEND
	default:
		return nil, syscall.EINVAL
	}
	for _, c := range mode[1:] {
		switch c {
		case '+':
			read, put = true, true
		case 'x':
			flags |= os.O_EXCL
		}
	}
	switch {
	case read && put:
		flags |= os.O_RDWR
	case put:
		flags |= os.O_WRONLY
	}
	f, err := os.OpenFile(name, flags, 0o666)
	if err != nil {
		return nil, err
	}
	return s.newFile(f, read, put), nil
}

// process starts a shell command of which one end is a file.
func (s *stdlib) process(command string, read bool) (*luaFile, error) {
	ours, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if read {
		cmd.Stdout = theirs
	} else {
		ours, theirs = theirs, ours
		cmd.Stdin = theirs
	}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		ours.Close()
		return nil, err
	}
	file := s.newFile(ours, read, !read)
	file.cmd = cmd
	return file, nil
}

// close closes the file and waits for its process.
func (f *luaFile) close() error {
	if f.closed {
		return nil
	}
	err := f.flush()
	f.closed = true
	if e := f.f.Close(); err == nil {
		err = e
	}
	if f.cmd != nil {
		f.cmd.Wait() // with whatever status
	}
	f.in, f.pending = nil, nil
	return err
}

// flush writes what is pending. What cannot be written is dropped.
func (f *luaFile) flush() error {
	if f.out != nil {
		return f.out.flush()
	}
	if len(f.pending) == 0 || f.closed {
		return nil
	}
	_, err := f.f.Write(f.pending)
	f.pending = f.pending[:0]
	return err
}

// write appends text to what is pending.
func (f *luaFile) write(text string) error {
	if f.out != nil {
		return f.out.writeString(text)
	}
	if !f.put {
		return syscall.EBADF
	}
	if err := f.unread(); err != nil {
		return err
	}
	if len(f.pending)+len(text) > f.size {
		if err := f.flush(); err != nil {
			return err
		}
		if len(text) >= f.size {
			_, err := f.f.WriteString(text)
			return err
		}
	}
	f.pending = append(f.pending, text...)
	if f.byLines && bytes.IndexByte(f.pending, '\n') >= 0 {
		return f.flush()
	}
	return nil
}

// reader is where to read, once what was written is in the file.
func (f *luaFile) reader() (*bufio.Reader, error) {
	if !f.read {
		return nil, syscall.EBADF
	}
	if err := f.flush(); err != nil {
		return nil, err
	}
	if f.in == nil {
		f.in = bufio.NewReaderSize(f.f, blockSize)
	}
	return f.in, nil
}

// unread gives back what was read ahead, so that the file stands where the script
// believes it does.
func (f *luaFile) unread() error {
	if f.in == nil {
		return nil
	}
	ahead := f.in.Buffered()
	f.in = nil
	if ahead == 0 {
		return nil
	}
	_, err := f.f.Seek(int64(-ahead), io.SeekCurrent)
	if errors.Is(err, syscall.ESPIPE) {
		err = nil
	}
	return err
}

func (f *luaFile) seek(offset int64, whence int) (int64, error) {
	if f.out != nil {
		if err := f.out.flush(); err != nil {
			return 0, err
		}
		if file, ok := f.out.w.(*os.File); ok {
			return file.Seek(offset, whence)
		}
		return 0, syscall.ESPIPE
	}
	if err := f.flush(); err != nil {
		return 0, err
	}
	if err := f.unread(); err != nil {
		return 0, err
	}
	return f.f.Seek(offset, whence)
}

// readLine reads up to the end of a line, which it drops. ok is false at the end
// of the file.
func readLine(r *bufio.Reader) (line []byte, ok bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], true, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return line, len(line) > 0, nil
		default:
			return line, false, err
		}
		if len(line) > maxString {
			return nil, false, syscall.ENOMEM
		}
	}
}

// readBytes reads n bytes, or what there is; n < 0: all.
func readBytes(r *bufio.Reader, n int) ([]byte, error) {
	var b bytes.Buffer // grows with what comes, not with what was asked for
	if n < 0 || n > maxString {
		n = maxString + 1
	}
	_, err := b.ReadFrom(io.LimitReader(r, int64(n)))
	if b.Len() > maxString {
		return nil, syscall.ENOMEM
	}
	return b.Bytes(), err
}

// readANumber reads a number as scanf("%lf") does: it takes the bytes that may
// belong to one.
func readANumber(r *bufio.Reader) (float64, bool, error) {
	var text []byte
	next := func() (byte, error) {
		c, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		return c, nil
	}
	c, err := next()
	for err == nil && isSpace(c) {
		c, err = next()
	}
	for err == nil && len(text) < 200 && continuesNumber(text, c) {
		text = append(text, c)
		c, err = next()
	}
	if err == nil {
		r.UnreadByte()
	} else if !errors.Is(err, io.EOF) {
		return 0, false, err
	}
	f, n := strtod(string(text))
	return f, n == len(text) && n > 0, nil
}

// continuesNumber tells whether c may stand behind text in a number.
func continuesNumber(text []byte, c byte) bool {
	lower := bytes.ToLower(text)
	sign := c == '-' || c == '+'
	if len(text) == 0 && sign {
		return true
	}
	body := lower
	if len(body) > 0 && (body[0] == '-' || body[0] == '+') {
		body = body[1:]
	}
	c |= 0x20
	for _, word := range []string{"nan", "infinity"} {
		if len(body) < len(word) && word[:len(body)] == string(body) && c == word[len(body)] {
			return true
		}
	}
	hex := bytes.HasPrefix(body, []byte("0x"))
	letter := byte('e')
	if hex {
		letter = 'p'
	}
	exp := bytes.IndexByte(body, letter)
	switch {
	case sign:
		return exp >= 0 && exp == len(body)-1
	case isDigit(c):
		return !bytes.ContainsAny(body, "iny")
	case c == '.'|0x20:
		return exp < 0 && bytes.IndexByte(body, '.') < 0
	case c == 'x':
		return string(body) == "0"
	case c == letter:
		return exp < 0 && mantissa(string(body), isDigit) > 0 || hex && exp < 0 && len(body) > 2
	case hex:
		return exp < 0 && digitOf(c) < 16
	}
	return false
}
