-- Every hook fails.
for _, name in ipairs({ "connect_server", "read_handshake", "read_auth", "read_auth_result",
		"read_query", "read_query_result", "disconnect_client" }) do
	getfenv(1)[name] = function()
		proxy.response = { type = proxy.MYSQLD_PACKET_OK }
		proxy.queries:append(1, "queued before the error")
		error("on purpose in " .. name)
	end
end
