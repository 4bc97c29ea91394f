-- What a script may decide before the first command. NEXT step has the next
-- client's login go another way; COUNTS shows how many sessions have come and gone,
-- the other words what the hooks saw.

local shared = proxy.global
shared.counts = shared.counts or {}

local function count(hook) shared.counts[hook] = (shared.counts[hook] or 0) + 1 end

local function refuse(text)
	proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = text, errcode = 1045, sqlstate = "28000" }
	return proxy.PROXY_SEND_RESULT
end

local step, tries = nil, 0

function connect_server()
	count("connect_server")
	tries = tries + 1
	if tries == 1 then
		count("session")
		step, shared.step = shared.step, nil
	end
	proxy.connection.backend_ndx = 1
	if step == "refuse at once" then return refuse("not today") end
	if step == "send nothing that can be sent" then
		proxy.response = { type = 9 }
		return proxy.PROXY_SEND_RESULT
	end
	if step == "backend out of range" then proxy.connection.backend_ndx = 9 end
	if step == "read-only backend" then proxy.connection.backend_ndx = 3 end
	if step == "dead backend" then proxy.connection.backend_ndx = 2 end
	if step == "error" then error("on purpose") end
	if step == "pooled" or step == "pooled, but a new one" then
		shared.found = proxy.connection.server and proxy.connection.server.thread_id
		if step == "pooled" then return proxy.PROXY_IGNORE_RESULT end
	end
end

function read_handshake()
	count("read_handshake")
	local s = proxy.connection.server
	shared.handshake = { s.mysqld_version, s.thread_id, #s.scramble_buffer, s.auth_plugin_name, s.dst.name }
	if step == "refuse at the greeting" then return refuse("not you") end
end

function read_auth()
	count("read_auth")
	local c = proxy.connection.client
	shared.auth = { c.username, c.default_db, #c.scrambled_password, c.auth_plugin_name }
	if step == "refuse at the login" then return refuse("no such user") end
	if step == "another login" then
		local proto, password = require("mysql.proto"), require("mysql.password")
		local s = proxy.connection.server
		proxy.queries:append(1, proto.to_response_packet({
			username = shared.as.name,
			response = password.scramble(s.scramble_buffer:sub(1, 20), password.hash(shared.as.password)),
			charset = 8, database = "", max_packet_size = 16777216,
			capabilities = 512 + 32768, server_capabilities = 512 + 32768,
		}))
		return proxy.PROXY_SEND_QUERY
	end
end

function read_auth_result(auth)
	count("read_auth_result")
	shared.auth_result = shared.auth_result or {}
	table.insert(shared.auth_result, auth.packet:byte())
	if step == "refuse the server's OK" then return refuse("we are closed") end
	if step == "give the connection back" and auth.packet:byte() == 0 then proxy.connection.backend_ndx = 0 end
end

local function row(...)
	local fields = {}
	for i = 1, select("#", ...) do fields[i] = { name = "c" .. i, type = proxy.MYSQL_TYPE_STRING } end
	proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = { fields = fields, rows = { { ... } } } }
	return proxy.PROXY_SEND_RESULT
end

function read_query(packet)
	local text = packet:sub(2)
	if packet:byte() ~= proxy.COM_QUERY then return end
	local next_step = text:match("^NEXT (.*)$")
	if next_step then
		shared.step = next_step
		local name, password = next_step:match("^another login (%S+) (%S+)$")
		if name then shared.step, shared.as = "another login", { name = name, password = password } end
		proxy.response = { type = proxy.MYSQLD_PACKET_OK }
		return proxy.PROXY_SEND_RESULT
	elseif text == "COUNTS" then
		local c = shared.counts
		return row(("%d %d"):format(c.session, c.disconnect_client or 0))
	elseif text == "HANDSHAKE" then
		return row(table.concat(shared.handshake, " "))
	elseif text == "AUTH" then
		return row(table.concat(shared.auth, " "))
	elseif text == "AUTH RESULTS" then
		return row(table.concat(shared.auth_result, " "))
	elseif text == "TRIES" then
		return row(tries)
	elseif text == "FOUND" then
		return row(tostring(shared.found))
	elseif text == "IDLE" then
		local pool = proxy.global.backends[1].pool
		return row(("%d %d %d"):format(pool.users[proxy.connection.client.username].cur_idle_connections,
			pool.users[""].cur_idle_connections, proxy.global.backends[1].connected_clients))
	elseif text == "ATTACH" then
		proxy.connection.backend_ndx = 1
		return row(tostring(proxy.connection.server ~= nil) .. " " .. proxy.connection.backend_ndx)
	elseif text == "RELEASE" then
		proxy.connection.backend_ndx = 0
		return row(tostring(proxy.connection.server) .. " " .. proxy.connection.backend_ndx)
	elseif text == "CLIENT" then
		local c = proxy.connection.client
		return row(table.concat({ c.src.name, c.dst.name, c.src.address, c.src.port, c.src.type, c.default_db, c.thread_id, c.mysqld_version,
			#c.scramble_buffer }, " "))
	elseif text == "SERVER" then
		local s = proxy.connection.server
		return row(table.concat({ s.dst.name, s.src.address, s.username, s.default_db, s.thread_id, proxy.connection.backend_ndx }, " "))
	elseif text == "SOCKET" then
		local a = proxy.connection.server.dst
		return row(a.name .. " " .. tostring(a.address == a.name) .. " " .. tostring(a.port) .. " " .. a.type)
	end
end

function disconnect_client()
	count("disconnect_client")
	return proxy.PROXY_IGNORE_RESULT -- which means nothing
end
