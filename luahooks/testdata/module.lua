-- A function that all sessions share works for the one that calls it.
_G.shared = _G.shared or function(packet)
	proxy.queries:append(1, packet)
	return proxy.PROXY_SEND_QUERY
end

function read_query(packet)
	return shared(packet)
end
