-- Keeps connections in the pool and sends SELECT to the replicas in turn.
proxy.global.turn = proxy.global.turn or 0

function connect_server()
	for i = 1, #proxy.global.backends do
		if proxy.global.backends[i].pool.users[""].cur_idle_connections == 0 then
			proxy.connection.backend_ndx = i
			return
		end
	end
	proxy.connection.backend_ndx = 1
	return proxy.PROXY_IGNORE_RESULT
end

function read_auth_result(auth)
	if auth.packet:byte() == proxy.MYSQLD_PACKET_OK then proxy.connection.backend_ndx = 0 end
end

function read_query(packet)
	if packet:byte() == proxy.COM_QUIT then
		proxy.response = { type = proxy.MYSQLD_PACKET_OK }
		return proxy.PROXY_SEND_RESULT
	end
	local n = 1
	if packet:sub(2, 7) == "SELECT" then
		proxy.global.turn = proxy.global.turn + 1
		n = 2 + proxy.global.turn % (#proxy.global.backends - 1)
	end
	proxy.connection.backend_ndx = n
	proxy.queries:append(1, packet, { resultset_is_needed = true })
	return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
	proxy.connection.backend_ndx = 0
end

function disconnect_client()
	proxy.connection.backend_ndx = 0
end
