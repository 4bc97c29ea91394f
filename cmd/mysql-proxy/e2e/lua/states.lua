-- SELECT state names the Lua state that serves the connection, and counts.

proxy.global.name = proxy.global.name or tostring({})
proxy.global.count = proxy.global.count or 0

local results = 0

function read_query(packet)
	proxy.global.count = proxy.global.count + 1
	if packet:sub(2) == "SELECT state" then
		proxy.response = {
			type = proxy.MYSQLD_PACKET_OK,
			resultset = {
				fields = { { name = "state", type = proxy.MYSQL_TYPE_STRING } },
				rows = { { proxy.global.name .. " " .. proxy.global.count .. " " .. results } },
			},
		}
		return proxy.PROXY_SEND_RESULT
	end
	proxy.queries:append(1, packet, { resultset_is_needed = true })
	return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
	for row in inj.resultset.rows do results = results + #row end
end
