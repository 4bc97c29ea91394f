-- Read/write splitting as scripts for MySQL Proxy 0.8 do it: every connection is
-- given back after each statement, reads outside of a transaction go to a
-- replica, and what a statement does beyond its first word is not looked at.

local commands = require("proxy.commands")
local tokenizer = require("proxy.tokenizer")
local balance = require("proxy.balance")
local auto_config = require("proxy.auto-config")

local config = proxy.global.config
config.rwsplit = config.rwsplit or { min_idle_connections = 1, max_idle_connections = 2, is_debug = false }

local CLIENTS, SCHEMA = 1, 2 -- what a queued command is: the client's, or the change of database before it
local buffered = { resultset_is_needed = true }

local is_in_transaction = false
local is_in_select_calc_found_rows = false

local function debug_line(...)
	if config.rwsplit.is_debug then print(...) end
end

function connect_server()
	local rw
	for i = 1, #proxy.global.backends do
		local b = proxy.global.backends[i]
		local idle = b.pool.users[""].cur_idle_connections
		b.pool.min_idle_connections = config.rwsplit.min_idle_connections
		b.pool.max_idle_connections = config.rwsplit.max_idle_connections
		if b.state ~= proxy.BACKEND_STATE_DOWN then
			if idle < b.pool.min_idle_connections then
				debug_line("backend " .. i .. " has " .. idle .. " idle connections, one more is opened")
				proxy.connection.backend_ndx = i
				rw = nil
				break
			elseif not rw and b.type == proxy.BACKEND_TYPE_RW then
				rw = i
			end
		end
	end
	if rw then proxy.connection.backend_ndx = rw end
	if proxy.connection.server then return proxy.PROXY_IGNORE_RESULT end
end

function read_auth_result(auth)
	if auth.packet:byte() == proxy.MYSQLD_PACKET_OK then
		proxy.connection.backend_ndx = 0
	end
end

-- wants_replica tells whether a query goes to a replica, and notes what it does
-- to the session.
local function wants_replica(query)
	local tokens = tokenizer.tokenize(query)
	if tokenizer.first_stmt_token(tokens).token_name ~= "TK_SQL_SELECT" then return false end
	is_in_select_calc_found_rows = false
	local stays = false
	for i = 1, #tokens do
		local token = tokens[i]
		if token.token_name == "TK_SQL_SQL_CALC_FOUND_ROWS" then
			is_in_select_calc_found_rows = true
		elseif token.token_name == "TK_LITERAL" then
			local word = token.text:upper()
			stays = stays or word == "LAST_INSERT_ID" or word == "@@INSERT_ID"
		end
	end
	return not stays
end

function read_query(packet)
	local cmd = commands.parse(packet)
	local r = auto_config.handle(cmd)
	if r then return r end

	if cmd.type == proxy.COM_QUIT then
		proxy.response = { type = proxy.MYSQLD_PACKET_OK }
		return proxy.PROXY_SEND_RESULT
	elseif cmd.type == proxy.COM_BINLOG_DUMP then
		if proxy.connection.backend_ndx == 0 then
			proxy.connection.backend_ndx = balance.idle_failsafe_rw()
		end
		return
	end

	proxy.queries:append(CLIENTS, packet, buffered)
	if not is_in_transaction and cmd.type == proxy.COM_QUERY and wants_replica(cmd.query) then
		local ro = balance.idle_ro()
		if ro > 0 then proxy.connection.backend_ndx = ro end
	end
	if proxy.connection.backend_ndx == 0 then
		proxy.connection.backend_ndx = balance.idle_failsafe_rw()
	end
	if not proxy.connection.server then
		return proxy.PROXY_SEND_QUERY -- there is none: this ends the session
	end

	local schema = proxy.connection.client.default_db
	if cmd.type ~= proxy.COM_INIT_DB and schema and schema ~= proxy.connection.server.default_db then
		proxy.queries:prepend(SCHEMA, string.char(proxy.COM_INIT_DB) .. schema, buffered)
	end
	return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
	local res = inj.resultset
	if inj.id == SCHEMA then
		if res.query_status ~= proxy.MYSQLD_PACKET_ERR then return proxy.PROXY_IGNORE_RESULT end
		proxy.queries:reset()
		proxy.response = {
			type = proxy.MYSQLD_PACKET_ERR,
			errmsg = "cannot change to database " .. proxy.connection.client.default_db .. " on " .. proxy.connection.server.dst.name,
		}
		return proxy.PROXY_SEND_RESULT
	end
	is_in_transaction = res.flags.in_trans
	local has_insert_id = res.insert_id and res.insert_id > 0
	if not is_in_transaction and not is_in_select_calc_found_rows and not has_insert_id then
		proxy.connection.backend_ndx = 0
	end
end

function disconnect_client()
	proxy.connection.backend_ndx = 0
end
