-- Shows what each hook is given. read_handshake and read_auth have the
-- parameter that they had in MySQL Proxy 0.6.
function connect_server(a)
	print("connect_server " .. (a and 1 or 0))
end

function read_handshake(auth)
	print("read_handshake " .. auth.mysqld_version .. " " .. auth.thread_id .. " " .. #auth.scramble ..
		" " .. auth.client_addr .. " " .. auth.server_addr)
end

function read_auth(auth)
	print("read_auth " .. auth.username .. " " .. #auth.password .. " " .. auth.default_db)
end

function read_auth_result(auth)
	local fields = 0
	for _ in pairs(auth) do
		fields = fields + 1
	end
	print("read_auth_result " .. fields .. " " .. #auth.packet)
end

function read_query(packet, more)
	print("read_query " .. (more == nil and 1 or 2) .. " " .. #packet)
end

function read_query_result(inj)
	print("read_query_result 1 " .. inj.id)
end

function disconnect_client(a)
	print("disconnect_client " .. (a and 1 or 0))
end
