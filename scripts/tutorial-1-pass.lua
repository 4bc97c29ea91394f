--[[
tutorial-1-pass.lua - the smallest script: look at what passes

  mysql-proxy --proxy-address=:4040 --proxy-backend-addresses=127.0.0.1:3306 \
    --proxy-lua-script=scripts/tutorial-1-pass.lua
  mysql -h 127.0.0.1 -P 4040 -u app -p -e 'SELECT 1'

The proxy calls a script's functions, the hooks, at certain points of a client's
connection. read_query is called with each command. Its first byte says which one
it is; what follows is the command's own. A hook that returns nothing changes
nothing: the command goes to the server, the response to the client.

What to set: nothing. Limits: passwords in statements are printed, too.
]]

function read_query(packet)
	if packet:byte() == proxy.COM_QUERY then
		print("a statement: " .. packet:sub(2))
	else
		print("command " .. packet:byte())
	end
end
