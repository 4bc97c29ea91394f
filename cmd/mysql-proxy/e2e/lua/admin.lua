-- An admin script of a user's own: SHOW lists the servers' states, and
-- SERVER n UP, DOWN or UNKNOWN sets one.

local numbers = { UNKNOWN = proxy.BACKEND_STATE_UNKNOWN, UP = proxy.BACKEND_STATE_UP, DOWN = proxy.BACKEND_STATE_DOWN }

function read_query(packet)
	if packet:byte() ~= proxy.COM_QUERY then return end
	local text = packet:sub(2)
	local n, state = text:match("^SERVER (%d+) (%u+)$")
	local backend = proxy.global.backends[tonumber(n or 0)]
	if backend and numbers[state] then
		backend.state = numbers[state]
		proxy.response = { type = proxy.MYSQLD_PACKET_OK, affected_rows = 1 }
		return proxy.PROXY_SEND_RESULT
	elseif text == "SHOW" then
		local rows = {}
		for i = 1, #proxy.global.backends do
			rows[i] = { i, proxy.global.backends[i].state, proxy.global.note }
		end
		proxy.response = {
			type = proxy.MYSQLD_PACKET_OK,
			resultset = {
				fields = { { name = "n", type = proxy.MYSQL_TYPE_LONG }, { name = "state", type = proxy.MYSQL_TYPE_LONG },
					{ name = "note", type = proxy.MYSQL_TYPE_STRING } },
				rows = rows,
			},
		}
		return proxy.PROXY_SEND_RESULT
	elseif text == "BREAK" then
		error("broken")
	end
end
