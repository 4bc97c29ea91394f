-- Keeps the objects of the first session where the next one finds them.
function read_query()
	local kept = proxy.global.kept
	if not kept then
		proxy.global.kept = {
			connection = proxy.connection,
			queries = proxy.queries,
			client = proxy.connection.client,
		}
		return
	end
	print(select(2, pcall(function() return kept.connection.backend_ndx end)))
	print(select(2, pcall(function() kept.connection.backend_ndx = 2 end)))
	print(select(2, pcall(function() kept.queries:append(1, "x") end)))
	print(select(2, pcall(function() return kept.client.username end)))
end
