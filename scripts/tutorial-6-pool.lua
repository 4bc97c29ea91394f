--[[
tutorial-6-pool.lua - give a client the connection that another one left

  mysql-proxy --proxy-address=:4040 --proxy-backend-addresses=127.0.0.1:3306 \
    --proxy-lua-script=scripts/tutorial-6-pool.lua
  mysql -h 127.0.0.1 -P 4040 -u app -p -e 'SELECT CONNECTION_ID()'   # twice

Assigning 0 to proxy.connection.backend_ndx gives the server connection to a pool;
assigning n takes an idle one of backend n, if there is one. In connect_server the
proxy would still open a new connection; proxy.PROXY_IGNORE_RESULT says that the
idle one is to be used. The client then logs in on it anew (COM_CHANGE_USER), so
that it may be of another user. This spares the server the work of a new
connection. What a client left in it (variables, temporary tables) is gone by then.

A client that leaves says COM_QUIT. If the server heard it, it would close; so the
script answers.

rw-splitting.lua goes on from here: it changes the connection between statements.

What to set: max_idle. Limits: CONNECTION_ID() is that of the older connection, also
in the client's greeting. A client that leaves inside a transaction leaves nothing
of use: the proxy closes such a connection by itself; MySQL Proxy 0.8.5 did not.
]]

local max_idle = 8 -- per user

local function primary()
	for i = 1, #proxy.global.backends do
		local b = proxy.global.backends[i]
		if b.type == proxy.BACKEND_TYPE_RW and b.state ~= proxy.BACKEND_STATE_DOWN then return i, b end
	end
end

local in_trans, logged_in = false, false

function connect_server()
	local i = primary()
	if not i then return end
	proxy.connection.backend_ndx = i
	if proxy.connection.server then return proxy.PROXY_IGNORE_RESULT end
end

function read_auth_result(auth)
	logged_in = auth.packet:byte() == proxy.MYSQLD_PACKET_OK
end

function read_query(packet)
	if packet:byte() == proxy.COM_QUIT then
		proxy.response = { type = proxy.MYSQLD_PACKET_OK }
		return proxy.PROXY_SEND_RESULT
	end
	if packet:byte() == proxy.COM_QUERY then
		proxy.queries:append(1, packet)
		return proxy.PROXY_SEND_QUERY
	end
end

function read_query_result(inj)
	in_trans = inj.resultset.flags.in_trans
end

function disconnect_client()
	local _, b = primary()
	if not logged_in or in_trans or not proxy.connection.server or not b then return end -- it is closed
	if b.pool.users[proxy.connection.client.username].cur_idle_connections < max_idle then
		proxy.connection.backend_ndx = 0
	end
end
