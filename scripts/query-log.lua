--[[
query-log.lua - a line for each statement: when, who, where, how long, what came

What it does
  Writes a line of tab separated fields when a response is whole:

    time  client  user  database  server  ms  rows  affected  status  statement

  rows is the number of rows sent, affected the number of rows changed, status ok
  or error. Line feeds, tabs and backslashes in a statement are written as \n,
  \t and \\; statements are cut at max_length bytes. COM_QUERY and
  COM_STMT_PREPARE have their text, other commands their name.

How to start it
  QUERY_LOG=/var/log/mysql-proxy/query.log mysql-proxy --proxy-address=:4040 \
    --proxy-backend-addresses=10.0.0.1:3306 \
    --proxy-lua-script=scripts/query-log.lua

What to set: QUERY_LOG in the environment is the file, standard output without
it; the table "settings" below. The file is opened once for each line, so that it
may be moved away at any time.

Limits
  - Statements are logged as they are, with whatever secrets are in them; see
    audit.lua for a log without passwords.
  - LOAD DATA LOCAL is logged when the server asks for the file, without a status.
  - Commands without a response (closing a statement) are not logged.
]]

local settings = {
	file = os.getenv("QUERY_LOG"),
	slower_than = 0,   -- milliseconds
	max_length = 4096, -- bytes of a statement
}

local commands = require("proxy.commands")

local escapes = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\", ["\0"] = "\\0" }

local function write(line)
	if not settings.file then
		io.write(line)
		io.flush()
		return
	end
	local f = io.open(settings.file, "a")
	if f then
		f:write(line)
		f:close()
	end
end

local function what(packet)
	local cmd = commands.parse(packet)
	local text = cmd.query or cmd.schema or cmd.type_name or ("command " .. cmd.type)
	if cmd.schema then text = cmd.type_name .. " " .. text end
	if #text > settings.max_length then text = string.sub(text, 1, settings.max_length) .. "..." end
	return (string.gsub(text, "[\n\r\t\\%z]", escapes))
end

-- silent are commands that have no response, or not one.
local silent = {
	[proxy.COM_QUIT] = true, [proxy.COM_STMT_CLOSE] = true, [proxy.COM_STMT_SEND_LONG_DATA] = true,
	[proxy.COM_CHANGE_USER] = true, [proxy.COM_BINLOG_DUMP] = true, [30] = true,
}

function read_query(packet)
	if silent[packet:byte()] then return end
	proxy.queries:append(1, packet)
	return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
	local ms = inj.response_time / 1000
	if ms < settings.slower_than then return end
	local res = inj.resultset
	local status = "-"
	if res.query_status == proxy.MYSQLD_PACKET_OK then
		status = "ok"
	elseif res.query_status == proxy.MYSQLD_PACKET_ERR then
		status = "error"
	end
	local client, server = proxy.connection.client, proxy.connection.server
	write(table.concat({
		os.date("!%Y-%m-%dT%H:%M:%SZ"), client.src.name, client.username, client.default_db, server.dst.name,
		string.format("%.3f", ms), res.row_count or 0, res.affected_rows or 0, status, what(inj.query),
	}, "\t") .. "\n")
end
