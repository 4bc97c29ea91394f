-- Fails in each of the ways in which a script can.
function read_query(packet)
	local sql = packet:sub(2)
	if sql == "raise" then
		local nothing
		return nothing.field
	elseif sql == "empty queue" then
		return proxy.PROXY_SEND_QUERY
	elseif sql == "silence" then
		proxy.response = { type = proxy.MYSQLD_PACKET_RAW, packets = {} }
		return proxy.PROXY_SEND_RESULT
	elseif sql == "dropped" then
		proxy.queries:append(1, packet, { resultset_is_needed = true })
		return proxy.PROXY_SEND_QUERY
	elseif sql == "nonsense" then
		proxy.response = { type = proxy.MYSQLD_PACKET_RAW, packets = { "\003x" } }
		return proxy.PROXY_SEND_RESULT
	elseif sql == "close" then
		proxy.connection.connection_close = true
		proxy.response = { type = proxy.MYSQLD_PACKET_OK }
		return proxy.PROXY_SEND_RESULT
	end
end

function read_query_result(inj) return proxy.PROXY_IGNORE_RESULT end
