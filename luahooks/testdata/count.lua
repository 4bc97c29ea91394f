-- Counts queries for everybody, and answers each with itself after a look at
-- the server's result.
proxy.global.total = proxy.global.total or 0

local last

function read_auth_result(auth)
	proxy.connection.backend_ndx = 0
end

function read_query(packet)
	if packet == "total" then
		proxy.response = { type = proxy.MYSQLD_PACKET_RAW, packets = { proxy.global.total } }
		return proxy.PROXY_SEND_RESULT
	end
	last = packet
	proxy.queries:append(1, packet, { resultset_is_needed = true })
	return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
	local rows = 0
	for row in inj.resultset.rows do
		rows = rows + 1
	end
	assert(rows == 2 and inj.query == last)
	proxy.global.total = proxy.global.total + 1
	proxy.response = { type = proxy.MYSQLD_PACKET_RAW, packets = { last } }
	return proxy.PROXY_SEND_RESULT
end

function disconnect_client()
	proxy.connection.backend_ndx = 0
end
