-- A proxy script that leaves a note for the admin port's script.

function connect_server()
	proxy.global.note = "a client came from " .. proxy.connection.client.src.address
end
