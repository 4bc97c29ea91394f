--[[
mock-server.lua - a server without a server

What it does
  Plays a MySQL server for tests of an application: anybody may log in, the
  statements of the table "answers" get their answers, other SETs, USE, BEGIN,
  COMMIT, ROLLBACK and the like an OK, and the rest an error. No backend is asked;
  the proxy needs one on its command line only if it insists.

How to start it
  mysql-proxy --proxy-address=127.0.0.1:4040 \
    --proxy-backend-addresses=127.0.0.1:1 \
    --proxy-lua-script=scripts/mock-server.lua
  mysql -h 127.0.0.1 -P 4040 -u anybody -e 'SELECT * FROM fruit'

What to set: "answers". A key is a statement in lower case with single blanks, or
a Lua pattern if it begins with ^. The answer is a table of columns (names), types
(optional) and rows; or ok with affected_rows and insert_id; or error with code and
state; or a function that gets the statement and the pattern's captures and returns
one of these.

Limits
  - No prepared statements: drivers must use plain text (go-sql-driver:
    interpolateParams=true; Connector/J: useServerPrepStmts=false).
  - Values are sent as text, whatever the type.
  - Clients must offer mysql_native_password, as there is no TLS.
]]

local STRING, LONGLONG = proxy.MYSQL_TYPE_VAR_STRING, proxy.MYSQL_TYPE_LONGLONG

local fruit = { { 1, "apple" }, { 2, "pear" }, { 3, nil } }

local answers = {
	["select 1"] = { columns = { "1" }, types = { LONGLONG }, rows = { { 1 } } },
	["select @@version_comment limit 1"] = { columns = { "@@version_comment" }, rows = { { "mock" } } },
	["select * from fruit"] = { columns = { "id", "name" }, types = { LONGLONG, STRING }, rows = fruit },
	["^select %* from fruit where id = (%d+)$"] = function(_, id)
		local found = {}
		for _, row in ipairs(fruit) do
			if row[1] == tonumber(id) then found[#found + 1] = row end
		end
		return { columns = { "id", "name" }, types = { LONGLONG, STRING }, rows = found }
	end,
	["^insert into fruit "] = { ok = true, affected_rows = 1, insert_id = 4 },
	["drop table fruit"] = { error = "DROP command denied to user", code = 1142, state = "42000" },
	["^set "] = { ok = true },
	["^use "] = { ok = true },
	["begin"] = { ok = true },
	["start transaction"] = { ok = true },
	["commit"] = { ok = true },
	["rollback"] = { ok = true },
}

local proto = require("mysql.proto")

local function respond(a)
	if a.columns then
		local fields = {}
		for i, name in ipairs(a.columns) do
			fields[i] = { name = name, type = a.types and a.types[i] or STRING }
		end
		proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = { fields = fields, rows = a.rows } }
	elseif a.error then
		proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = a.error, errcode = a.code or 1105, sqlstate = a.state or "HY000" }
	else
		proxy.response = { type = proxy.MYSQLD_PACKET_OK, affected_rows = a.affected_rows, insert_id = a.insert_id }
	end
	return proxy.PROXY_SEND_RESULT
end

local function find(query)
	local key = string.lower(query)
	key = string.gsub(key, "%s+", " ")
	key = string.match(key, "^ ?(.-) ?;? ?$")
	local a = answers[key]
	if a then return a end
	for pattern, value in pairs(answers) do
		if string.sub(pattern, 1, 1) == "^" and string.find(key, pattern) then
			if type(value) == "function" then return value(query, string.match(key, pattern)) end
			return value
		end
	end
	return { error = "the mock server has no answer to: " .. query }
end

function connect_server()
	proxy.response = {
		type = proxy.MYSQLD_PACKET_RAW,
		packets = { proto.to_challenge_packet({ server_version = 50744, server_status = 2 }) },
	}
	return proxy.PROXY_SEND_RESULT
end

function read_query(packet)
	local c = packet:byte()
	if c == proxy.COM_QUERY then return respond(find(packet:sub(2))) end
	if c == proxy.COM_QUIT or c == proxy.COM_PING or c == proxy.COM_INIT_DB then return respond({ ok = true }) end
	return respond({ error = "the mock server knows no command " .. c, code = 1047, state = "08S01" })
end
