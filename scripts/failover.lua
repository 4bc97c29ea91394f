--[[
failover.lua - the first server that is up

What it does
  New clients go to the first read/write backend of the command line. When it
  cannot be reached the next one takes its place, and so on, within the same
  connection attempt: the client sees no error. A backend that is down is tried
  again after four seconds by the next new client; so clients go back to the
  first one once it is up again.
  Without the script the backends share the load; with it the second one is idle
  until it is needed.

How to start it
  mysql-proxy --proxy-address=:4040 \
    --proxy-backend-addresses=10.0.0.1:3306 \
    --proxy-backend-addresses=10.0.0.2:3306 \
    --proxy-lua-script=scripts/failover.lua

What to set: nothing. --proxy-connect-timeout bounds the wait for a server that
does not answer at all.

Limits
  - A client that is connected stays where it is; if its server dies it has to
    connect again, as without a proxy.
  - The script does not know whether the second server has everything that the
    first one had, nor does it make it writable.
  - While the first server takes no connections, each attempt to reach it costs
    one client some time: none if the port refuses, the connect time-out if its
    machine is gone.
]]

function connect_server()
	for i = 1, #proxy.global.backends do
		local b = proxy.global.backends[i]
		if b.type == proxy.BACKEND_TYPE_RW and b.state ~= proxy.BACKEND_STATE_DOWN then
			proxy.connection.backend_ndx = i
			return
		end
	end
	-- all are down: the proxy says so to the client
end
