package luahooks

import (
	"fmt"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/packet"
)

const (
	capConnectWithDB = uint64(packet.CapConnectWithDB)
	capProtocol41    = uint64(packet.CapProtocol41)
	capSecure        = uint64(packet.CapSecureConnection)
	capPluginAuth    = uint64(packet.CapPluginAuth)
	capLenencAuth    = uint64(packet.CapPluginAuthLenenc)
)

// The challenge of a greeting for which the script gives none.
const (
	mockChallenge     = "01234567"
	mockChallengeMore = "890123456789"
)

// serverVersionNumber is 50144 for "5.1.44-log", 0 if s is not of that form.
func serverVersionNumber(s string) uint64 {
	var parts [3]uint64
	for i := range parts {
		n := digitsLen(s)
		v, err := strconv.ParseUint(s[:n], 10, 16)
		if err != nil {
			return 0
		}
		parts[i] = v
		s = strings.TrimPrefix(s[n:], ".")
	}
	return parts[0]*10000 + parts[1]*100 + parts[2]
}

// versionText is "5.01.44" for 50144: two digits, as MySQL Proxy writes them.
// Numbers that are no version of MySQL get the mock's.
func versionText(v uint64) string {
	if v < 30001 || v > 99999 {
		return "5.0.99"
	}
	return fmt.Sprintf("%d.%02d.%02d", v/10000, v/100%100, v%100)
}

// pluginNameEndsInNUL tells whether a server of version v ends the plugin name
// in its greeting with a NUL. Some forgot it.
func pluginNameEndsInNUL(v uint64) bool { return v >= 50510 && v < 50600 || v >= 50602 }

func readGreeting(p *payloadReader, t fieldTable) {
	p.first(10)
	t.setNumber("protocol_version", 0) // MySQL Proxy never fills it
	t.setNumber("server_version", serverVersionNumber(p.nul(false)))
	t.setNumber("thread_id", p.number(4))
	challenge := p.bytes(8)
	p.bytes(1)
	caps := p.number(2)
	t.setNumber("charset", p.number(1))
	t.setNumber("server_status", p.number(2))
	caps |= p.number(2) << 16
	t.setNumber("capabilities", caps)
	size := int(p.number(1))
	p.bytes(10)
	switch {
	case caps&capPluginAuth != 0:
		// 13 bytes more at least, the last of them a NUL that scripts get to see.
		challenge += p.bytes(max(13, size-8))
		t.setString("auth_plugin_name", p.nul(true))
	case caps&capSecure != 0:
		challenge += p.bytes(12)
		p.bytes(1)
	}
	t.setString("challenge", challenge)
}

// appendGreeting writes a greeting. The defaults make that of a mock server,
// which takes any client. Unlike MySQL Proxy it takes auth_plugin_name over: the
// greeting would name no plugin otherwise.
func appendGreeting(dst []byte, t fieldTable) []byte {
	version, _ := uintOf(t.l.GetField(t.t, "server_version"))
	caps := t.number("capabilities", capProtocol41|capSecure)
	t.number("protocol_version", 0) // looked at for its type only
	challenge := t.string("challenge")
	switch {
	case challenge == "" && caps&capPluginAuth != 0:
		t.l.RaiseError("PLUGIN_AUTH in capabilities needs a challenge")
	case challenge == "":
		challenge = mockChallenge + mockChallengeMore
	case len(challenge) < 8:
		t.l.RaiseError("challenge has %d bytes, 8 or 20 expected", len(challenge))
	case len(challenge) > 255:
		t.l.RaiseError("challenge has %d bytes, 255 at most", len(challenge))
	}
	size := 0
	if caps&capPluginAuth != 0 {
		size = len(challenge)
	}
	dst = append(dst, 10)
	dst = packet.AppendNulString(dst, versionText(version))
	dst = appendNumberBytes(dst, t.number("thread_id", 0), 4)
	dst = append(dst, challenge[:8]...)
	dst = append(dst, 0)
	dst = appendNumberBytes(dst, caps, 2)
	dst = appendNumberBytes(dst, t.number("charset", 0), 1)
	dst = appendNumberBytes(dst, t.number("server_status", 0), 2)
	dst = appendNumberBytes(dst, caps>>16, 2)
	dst = append(dst, byte(size))
	dst = appendZeros(dst, 10)
	more := challenge[8:]
	switch {
	case caps&capPluginAuth != 0:
		dst = append(dst, more...)
		dst = append(dst, t.string("auth_plugin_name")...)
		if pluginNameEndsInNUL(version) {
			dst = append(dst, 0)
		}
	case caps&capSecure != 0:
		if len(more) < len(mockChallengeMore) {
			more += mockChallengeMore[len(more):]
		}
		dst = append(dst, more[:len(mockChallengeMore)]...)
		dst = append(dst, 0)
	}
	return dst
}

// fromResponsePacket takes a login and the capabilities of the greeting that it
// answers.
func fromResponsePacket(l *lua.LState) int {
	p := payloadReader{l: l, rest: l.CheckString(1)}
	server, ok := uintOf(l.Get(2))
	if !ok {
		l.TypeError(2, lua.LTNumber)
	}
	t := fieldTable{l, l.NewTable()}
	t.setNumber("server_capabilities", server)
	readLogin(&p, t, server)
	p.check()
	l.Push(t.t)
	return 1
}

func readLogin(p *payloadReader, t fieldTable, server uint64) {
	caps := p.number(2)
	if caps&capProtocol41 == 0 {
		t.setNumber("capabilities", caps)
		t.setNumber("max_packet_size", p.number(3))
		t.setString("username", p.nul(false))
		t.setString("response", p.nul(true))
		if caps&server&capConnectWithDB != 0 {
			t.setString("database", p.nul(true))
		}
		return
	}
	caps |= p.number(2) << 16
	t.setNumber("capabilities", caps)
	t.setNumber("max_packet_size", p.number(4))
	t.setNumber("charset", p.number(1))
	p.bytes(23)
	t.setString("username", p.nul(false))
	both := caps & server
	switch {
	case both&capLenencAuth != 0: // the same as a length byte up to 250
		t.setString("response", p.lenencString())
	case server&capSecure != 0:
		t.setString("response", p.bytes(int(p.number(1))))
	default:
		t.setString("response", p.nul(false))
	}
	if both&capConnectWithDB != 0 {
		t.setString("database", p.nul(true))
	}
	if both&capPluginAuth != 0 {
		t.setString("auth_plugin_name", p.nul(true))
	}
}

// appendLogin writes a login. Without server_capabilities it is laid out for a
// server of MySQL 5.0, where MySQL Proxy raises an error: scripts in its manual
// leave them out.
func appendLogin(dst []byte, t fieldTable) []byte {
	server := t.number("server_capabilities", capConnectWithDB|capProtocol41|capSecure)
	caps := capProtocol41 | capSecure
	user, response, db := t.string("username"), t.string("response"), t.string("database")
	withDB := server&capConnectWithDB != 0 && db != ""
	if withDB {
		caps |= capConnectWithDB // or the server would not read it
	}
	caps = t.number("capabilities", caps)
	if caps&capProtocol41 == 0 {
		dst = appendNumberBytes(dst, caps, 2)
		dst = appendNumberBytes(dst, t.number("max_packet_size", 1<<24-1), 3)
		dst = packet.AppendNulString(dst, user)
		dst = packet.AppendNulString(dst, response)
		if withDB {
			dst = packet.AppendNulString(dst, db)
		}
		return dst
	}
	both := caps & server
	dst = appendNumberBytes(dst, caps, 4)
	dst = appendNumberBytes(dst, t.number("max_packet_size", 1<<24-1), 4)
	dst = appendNumberBytes(dst, t.number("charset", 8), 1) // latin1_swedish_ci
	dst = appendZeros(dst, 23)
	dst = packet.AppendNulString(dst, user)
	switch {
	case both&capLenencAuth != 0:
		dst = packet.AppendLenEncString(dst, response)
	case server&capSecure != 0:
		if len(response) > 255 {
			t.l.RaiseError("response has %d bytes, 255 at most", len(response))
		}
		dst = append(append(dst, byte(len(response))), response...)
	default:
		dst = packet.AppendNulString(dst, response)
	}
	if withDB {
		dst = packet.AppendNulString(dst, db)
	}
	if both&capPluginAuth != 0 {
		dst = packet.AppendNulString(dst, t.string("auth_plugin_name"))
	}
	return dst
}
