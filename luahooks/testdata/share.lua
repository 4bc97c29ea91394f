-- Counts in all the places where a script can keep something.
local here = 0
global = 0
proxy.mine = 0

function read_query()
	here = here + 1
	global = global + 1
	proxy.mine = proxy.mine + 1
	_G.everybody = (_G.everybody or 0) + 1
	proxy.global.n = (proxy.global.n or 0) + 1
	print("local " .. here .. " global " .. global .. " proxy " .. proxy.mine ..
		" _G " .. _G.everybody .. " proxy.global " .. proxy.global.n)
end
