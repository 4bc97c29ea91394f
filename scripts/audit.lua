--[[
audit.lua - who did what, and what became of it; without passwords

What it does
  Writes a line of JSON for each of these events:

    login       a client was let in, or not
    command     a statement or another command, with its result
    disconnect  a client has left

  All have time, client, session (a number) and, behind the login, user. Logins
  have the database, the result and the error if there is one; commands have
  database, server, command, statement, result (ok, error, or sent where nobody
  knows), rows and affected. Passwords in statements (IDENTIFIED BY, PASSWORD(),
  SET PASSWORD, *_PASSWORD=, USING) are written as '***'.

How to start it
  AUDIT_LOG=/var/log/mysql-proxy/audit.log mysql-proxy --proxy-address=:4040 \
    --proxy-backend-addresses=10.0.0.1:3306 \
    --proxy-lua-script=scripts/audit.lua

What to set: AUDIT_LOG in the environment is the file, standard output without
it. The file is opened once for each line, so that it may be moved away.

Limits
  - The line is written when the result is known: one whose server dies while a
    command runs has a disconnect and no command. When a line cannot be written
    the command is not held back.
  - Parameters of prepared statements are not written.
  - Bytes that are not ASCII are written as they came.
  - Errors of commands have no number and no text: results are passed on while
    they come, so that the largest costs no memory.
]]

local file = os.getenv("AUDIT_LOG")

local commands = require("proxy.commands")
local proto = require("mysql.proto")

proxy.global.audit_sessions = (proxy.global.audit_sessions or 0) + 1
local session = proxy.global.audit_sessions
local user

local function quote(v)
	if type(v) == "number" then return string.format("%d", v) end
	v = string.gsub(v, '[%c"\\]', function(c) return string.format("\\u%04x", string.byte(c)) end)
	return '"' .. v .. '"'
end

local function write(event, more)
	local client = proxy.connection.client
	local out = { '{"time":' .. quote(os.date("!%Y-%m-%dT%H:%M:%SZ")), '"event":' .. quote(event),
		'"session":' .. quote(session), '"client":' .. quote(client.src.name) }
	if user then out[#out + 1] = '"user":' .. quote(user) end
	for _, field in ipairs(more) do
		if field[2] ~= nil then out[#out + 1] = quote(field[1]) .. ":" .. quote(field[2]) end
	end
	local line = table.concat(out, ",") .. "}\n"
	local f = file and io.open(file, "a")
	if f then
		f:write(line)
		f:close()
	else
		io.write(line)
		io.flush()
	end
end

-- quoted is the end of the string that begins at or behind pos with nothing but
-- blanks between, and where it begins; nil if there is none.
local function quoted(text, pos)
	local from = string.find(text, "[^%s]", pos)
	local mark = from and string.sub(text, from, from)
	if mark ~= "'" and mark ~= '"' then return nil end
	local at = from + 1
	while true do
		local q = string.find(text, "[\\" .. mark .. "]", at)
		if not q then return from, #text end
		if string.byte(text, q) == 92 or string.sub(text, q + 1, q + 1) == mark then
			at = q + 2
		else
			return from, q
		end
	end
end

-- Where a password may follow, in capitals.
local before_password = {
	"IDENTIFIED%s+BY%s+PASSWORD", "IDENTIFIED%s+BY", "IDENTIFIED%s+[%w_]+%s+[%w_`'\"]+%s+BY", "IDENTIFIED%s+[%w_]+%s+[%w_`'\"]+%s+AS",
	"USING", "USING%s+PASSWORD%s*%(", "PASSWORD%s*%(", "PASSWORD%s*=", "PASSWORD%s*=%s*PASSWORD%s*%(", "PASSWORD%s+FOR%s+[^=]+=", "REPLACE", "OR",
	"PASSWORD",
}

-- redact replaces the strings behind such words, if the statement is about users
-- or passwords at all.
local function redact(text)
	local upper = string.upper(text)
	if not string.find(upper, "IDENTIFIED", 1, true) and not string.find(upper, "PASSWORD", 1, true) then return text end
	local cuts = {}
	for _, pattern in ipairs(before_password) do
		local pos = 1
		while true do
			local from, last = string.find(upper, pattern, pos)
			if not from then break end
			local a, b = quoted(text, last + 1)
			if a then cuts[a] = math.max(cuts[a] or 0, b) end
			pos = from + 1
		end
	end
	local out, pos = {}, 1
	while true do
		local next_cut
		for a in pairs(cuts) do
			if a >= pos and (not next_cut or a < next_cut) then next_cut = a end
		end
		if not next_cut then break end
		out[#out + 1] = string.sub(text, pos, next_cut - 1) .. "'***'"
		pos = cuts[next_cut] + 1
	end
	return table.concat(out) .. string.sub(text, pos)
end

function read_auth_result(auth)
	local first = auth.packet:byte()
	local client = proxy.connection.client
	user = client.username
	if first == 0 then
		write("login", { { "database", client.default_db }, { "result", "ok" } })
	elseif first == 255 then
		local err = proto.from_err_packet(auth.packet)
		write("login", { { "database", client.default_db }, { "result", "error" }, { "errno", err.errcode }, { "error", err.errmsg } })
	end
end

local function command(packet, result, res)
	local cmd = commands.parse(packet)
	local client, server = proxy.connection.client, proxy.connection.server
	write("command", {
		{ "database", client.default_db }, { "server", server and server.dst.name },
		{ "command", cmd.type_name or ("command " .. cmd.type) }, { "statement", cmd.query and redact(cmd.query) or cmd.schema },
		{ "statement_id", cmd.stmt_handler_id }, { "result", result },
		{ "rows", res and res.row_count }, { "affected", res and res.affected_rows },
	})
end

-- sent are commands that have no response, or not one.
local sent = {
	[proxy.COM_STMT_CLOSE] = true, [proxy.COM_STMT_SEND_LONG_DATA] = true,
	[proxy.COM_CHANGE_USER] = true, [proxy.COM_BINLOG_DUMP] = true, [30] = true,
}

function read_query(packet)
	local c = packet:byte()
	if c == proxy.COM_QUIT then return end
	if sent[c] then
		command(packet, "sent")
		return
	end
	proxy.queries:append(1, packet)
	return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
	local res = inj.resultset
	if res.query_status == proxy.MYSQLD_PACKET_ERR then
		command(inj.query, "error", res)
	elseif res.query_status == proxy.MYSQLD_PACKET_OK then
		command(inj.query, "ok", res)
	else
		command(inj.query, "sent", res)
	end
end

function disconnect_client()
	write("disconnect", {})
end
