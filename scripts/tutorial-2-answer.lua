--[[
tutorial-2-answer.lua - answer yourself

  mysql-proxy --proxy-address=:4040 --proxy-backend-addresses=127.0.0.1:3306 \
    --proxy-lua-script=scripts/tutorial-2-answer.lua
  mysql -h 127.0.0.1 -P 4040 -u app -p -e 'SHOW PROXY; DO PROXY; DROP PROXY'

A hook that has put an answer into proxy.response and returns
proxy.PROXY_SEND_RESULT sends it to the client; the server sees nothing of the
command. There are three kinds of answers: rows, an OK, and an error.

What to set: nothing. Limits: values are sent as text whatever their type says.
]]

local function send(response)
	proxy.response = response
	return proxy.PROXY_SEND_RESULT
end

local answers = {
	-- rows: nil is NULL
	["SHOW PROXY"] = function()
		return send({
			type = proxy.MYSQLD_PACKET_OK,
			resultset = {
				fields = {
					{ name = "name", type = proxy.MYSQL_TYPE_STRING },
					{ name = "value", type = proxy.MYSQL_TYPE_STRING },
				},
				rows = {
					{ "client", proxy.connection.client.src.name },
					{ "server", proxy.connection.server.dst.name },
					{ "nothing", nil },
				},
			},
		})
	end,
	-- an OK
	["DO PROXY"] = function()
		return send({ type = proxy.MYSQLD_PACKET_OK, affected_rows = 2, insert_id = 7 })
	end,
	-- an error, with its number and its five characters of SQLSTATE
	["DROP PROXY"] = function()
		return send({ type = proxy.MYSQLD_PACKET_ERR, errmsg = "the proxy stays", errcode = 1105, sqlstate = "HY000" })
	end,
}

function read_query(packet)
	if packet:byte() ~= proxy.COM_QUERY then return end
	local answer = answers[packet:sub(2)]
	if answer then return answer() end
end
