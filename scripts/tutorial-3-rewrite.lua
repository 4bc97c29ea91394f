--[[
tutorial-3-rewrite.lua - send something else

  mysql-proxy --proxy-address=:4040 --proxy-backend-addresses=127.0.0.1:3306 \
    --proxy-lua-script=scripts/tutorial-3-rewrite.lua
  mysql -h 127.0.0.1 -P 4040 -u app -p -e 'WHO AM I'

A hook that has put a command into proxy.queries and returns
proxy.PROXY_SEND_QUERY sends that to the server instead of the client's. The first
argument of append is a number of your own choice, the second is the whole command:
its byte, then its text.

What to set: nothing. Limits: only the exact statements below are replaced.
]]

local statements = {
	["WHO AM I"] = "SELECT CURRENT_USER() AS me",
	["WHAT TIME IS IT"] = "SELECT CURTIME() AS now",
}

function read_query(packet)
	if packet:byte() ~= proxy.COM_QUERY then return end
	local other = statements[packet:sub(2)]
	if other then
		proxy.queries:append(1, string.char(proxy.COM_QUERY) .. other)
		return proxy.PROXY_SEND_QUERY
	end
end
