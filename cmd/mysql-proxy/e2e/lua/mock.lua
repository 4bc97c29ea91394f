-- A server without a server: greeting, login and every command.

local proto = require("mysql.proto")

local asked = 0

function connect_server()
	proxy.response = { type = proxy.MYSQLD_PACKET_RAW, packets = { proto.to_challenge_packet({ server_version = 50645 }) } }
	return proxy.PROXY_SEND_RESULT
end

function read_auth()
	if proxy.connection.client.username ~= "stranger" then return end -- anybody else is let in
	proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = "we do not know you", errcode = 1045, sqlstate = "28000" }
	return proxy.PROXY_SEND_RESULT
end

local function result(name, rows)
	proxy.response = {
		type = proxy.MYSQLD_PACKET_OK,
		resultset = { fields = { { name = name, type = proxy.MYSQL_TYPE_VAR_STRING } }, rows = rows },
	}
end

function read_query(packet)
	asked = asked + 1
	local command, text = packet:byte(), packet:sub(2)
	if command == proxy.COM_QUERY and text:upper():match("^SELECT") then
		if text == "SELECT who" then
			local c = proxy.connection.client
			result("who", { { c.username .. " " .. c.default_db .. " " .. tostring(proxy.connection.server) .. " " .. c.mysqld_version } })
		elseif text == "SELECT lines" then
			result("line", { { "one" }, { nil }, { "" }, { ("three "):rep(20000) } })
		elseif text == "SELECT count" then
			result("count", { { asked } })
		else
			result("text", { { text } })
		end
	elseif command == proxy.COM_QUERY and text:match("^FAIL") then
		proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = text, errcode = 1234, sqlstate = "42S02" }
	elseif command == proxy.COM_QUERY and text:match("^INSERT") then
		proxy.response = { type = proxy.MYSQLD_PACKET_OK, affected_rows = 3, insert_id = 70000 }
	else
		proxy.response = { type = proxy.MYSQLD_PACKET_OK }
	end
	return proxy.PROXY_SEND_RESULT
end
