--[[
rw-classic.lua - read/write splitting as scripts did it on MySQL Proxy 0.8.5

For measurements: it does the work of that time, with its faults. To split in
earnest take scripts/rw-splitting.lua, or no script at all and
--proxy-read-only-backend-addresses.

  - Logins open connections until each backend has min_idle idle ones; later
    logins take one over. Each login leaves its connection in the pool at once.
  - Every command is queued with its result wanted. A SELECT outside of a
    transaction takes an idle connection with a replica, all else one with the
    primary. If that has another database, COM_INIT_DB goes first.
  - The connection goes back into the pool when the result is there.
]]

local balance = require("proxy.balance")
local commands = require("proxy.commands")
local tokenizer = require("proxy.tokenizer")
local auto_config = require("proxy.auto-config")

proxy.global.config = proxy.global.config or {}
local config = proxy.global.config
if not config.rwclassic then
	config.rwclassic = { min_idle = 4, max_idle = 8 }
end

local THE_CLIENTS, SWITCH_DB = 1, 2 -- what a queued command is for

local in_transaction, counts_found_rows = false, false

function connect_server()
	local settings, primary = config.rwclassic, 0
	for i = 1, #proxy.global.backends do
		local b = proxy.global.backends[i]
		local idle = b.pool.users[""].cur_idle_connections -- nobody knows yet whose login this is
		b.pool.min_idle_connections = settings.min_idle
		b.pool.max_idle_connections = settings.max_idle
		if b.state ~= proxy.BACKEND_STATE_DOWN then
			if idle < settings.min_idle then
				proxy.connection.backend_ndx = i
				return -- a new connection
			end
			if primary == 0 and b.type == proxy.BACKEND_TYPE_RW then primary = i end
		end
	end
	if primary == 0 then return end
	proxy.connection.backend_ndx = primary
	if proxy.connection.server then return proxy.PROXY_IGNORE_RESULT end
end

function read_auth_result(auth)
	if auth.packet:byte() == proxy.MYSQLD_PACKET_OK then proxy.connection.backend_ndx = 0 end
end

-- may_leave tells whether a statement may run on a replica.
local function may_leave(text)
	local tokens = tokenizer.tokenize(text)
	local first = tokenizer.first_stmt_token(tokens)
	if not first or first.token_name ~= "TK_SQL_SELECT" then return false end
	local stays = false
	counts_found_rows = false
	for i = 1, #tokens do
		local token = tokens[i]
		local name = token.token_name
		if name == "TK_SQL_SQL_CALC_FOUND_ROWS" then
			counts_found_rows = true
		elseif name == "TK_LITERAL" or name == "TK_FUNCTION" then
			local word = token.text:upper()
			if word == "LAST_INSERT_ID" or word == "@@INSERT_ID" then stays = true end
		end
	end
	return not stays
end

function read_query(packet)
	local command = commands.parse(packet)
	local own = auto_config.handle(config, command)
	if own then return own end
	if command.type == proxy.COM_QUIT then
		proxy.response = { type = proxy.MYSQLD_PACKET_OK }
		return proxy.PROXY_SEND_RESULT -- the server does not hear it: its connection is kept
	end
	proxy.queries:append(THE_CLIENTS, packet, { resultset_is_needed = true })
	if not in_transaction and command.type == proxy.COM_QUERY and may_leave(command.query) then
		local replica = balance.idle_ro()
		if replica > 0 then proxy.connection.backend_ndx = replica end
	end
	if proxy.connection.backend_ndx == 0 then
		proxy.connection.backend_ndx = balance.idle_failsafe_rw()
	end
	local client, server = proxy.connection.client, proxy.connection.server
	if server and command.type ~= proxy.COM_INIT_DB and client.default_db ~= server.default_db then
		proxy.queries:prepend(SWITCH_DB, string.char(proxy.COM_INIT_DB) .. client.default_db, { resultset_is_needed = true })
	end
	return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
	local result = inj.resultset
	if inj.id == SWITCH_DB then
		if result.query_status == proxy.MYSQLD_PACKET_ERR then
			proxy.queries:reset()
			proxy.response = {
				type = proxy.MYSQLD_PACKET_ERR, errcode = 1049, sqlstate = "42000",
				errmsg = "the server does not have the database " .. proxy.connection.client.default_db,
			}
			return proxy.PROXY_SEND_RESULT
		end
		return proxy.PROXY_IGNORE_RESULT
	end
	in_transaction = result.flags.in_trans
	if not in_transaction and not counts_found_rows and (result.insert_id or 0) == 0 then
		proxy.connection.backend_ndx = 0
	end
end

function disconnect_client()
	proxy.connection.backend_ndx = 0
end
