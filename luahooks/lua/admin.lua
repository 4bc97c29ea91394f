-- The script of the admin plugin:
--
--   mysql-proxy --plugins=admin --admin-lua-script=admin.lua
--       --admin-username=... --admin-password=...
--
-- It answers SELECT * FROM backends and SELECT * FROM help.

local function fail(msg)
	proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = msg }
	return proxy.PROXY_SEND_RESULT
end

local function result(fields, rows)
	proxy.response = {
		type = proxy.MYSQLD_PACKET_OK,
		resultset = { fields = fields, rows = rows },
	}
	return proxy.PROXY_SEND_RESULT
end

local states = {
	[proxy.BACKEND_STATE_UNKNOWN] = "unknown",
	[proxy.BACKEND_STATE_UP] = "up",
	[proxy.BACKEND_STATE_DOWN] = "down",
}

local types = {
	[proxy.BACKEND_TYPE_UNKNOWN] = "unknown",
	[proxy.BACKEND_TYPE_RW] = "rw",
	[proxy.BACKEND_TYPE_RO] = "ro",
}

local function backends()
	local rows = {}
	for i = 1, #proxy.global.backends do
		local b = proxy.global.backends[i]
		rows[i] = {
			i,
			b.dst.name,
			states[b.state],
			types[b.type],
			b.uuid, -- NULL unless a script has set it
			b.connected_clients,
		}
	end
	return result({
		{ name = "backend_ndx", type = proxy.MYSQL_TYPE_LONG },
		{ name = "address", type = proxy.MYSQL_TYPE_STRING },
		{ name = "state", type = proxy.MYSQL_TYPE_STRING },
		{ name = "type", type = proxy.MYSQL_TYPE_STRING },
		{ name = "uuid", type = proxy.MYSQL_TYPE_STRING },
		{ name = "connected_clients", type = proxy.MYSQL_TYPE_LONG },
	}, rows)
end

local function help()
	return result({
		{ name = "command", type = proxy.MYSQL_TYPE_STRING },
		{ name = "description", type = proxy.MYSQL_TYPE_STRING },
	}, {
		{ "SELECT * FROM help", "shows this list" },
		{ "SELECT * FROM backends", "lists the backends and their state" },
	})
end

function read_query(packet)
	if string.byte(packet, 1) ~= proxy.COM_QUERY then
		return fail("[admin] we only handle text-based queries (COM_QUERY)")
	end
	local query = string.lower(string.sub(packet, 2))
	if query == "select * from backends" then
		return backends()
	elseif query == "select * from help" then
		return help()
	end
	return fail("[admin] use 'SELECT * FROM help' to see the statements that are supported")
end
