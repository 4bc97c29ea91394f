-- proxy.balance: which backend has an idle connection for this client

local M = {}

-- each_idle calls visit(index, backend) for each backend of a type that is not down
-- and has an idle connection for the client's user, until it returns false
local function each_idle(type, visit)
	local user = proxy.connection.client.username
	for i = 1, #proxy.global.backends do
		local b = proxy.global.backends[i]
		if b.type == type and b.state ~= proxy.BACKEND_STATE_DOWN and
		   b.pool.users[user].cur_idle_connections > 0 and
		   visit(i, b) == false then
			return
		end
	end
end

---
-- the first read/write backend with an idle connection; 0 if there is none
function M.idle_failsafe_rw()
	local found = 0
	each_idle(proxy.BACKEND_TYPE_RW, function (i)
		found = i
		return false
	end)
	return found
end

---
-- of the read-only backends with an idle connection the one with the fewest
-- clients, the first of equals; 0 if there is none
function M.idle_ro()
	local found, fewest = 0, nil
	each_idle(proxy.BACKEND_TYPE_RO, function (i, b)
		local clients = b.connected_clients
		if not fewest or clients < fewest then
			found, fewest = i, clients
		end
	end)
	return found
end

return M
