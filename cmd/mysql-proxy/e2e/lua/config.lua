-- Options that a client can look at and set.

local commands = require("proxy.commands")
require("proxy.auto-config")

local options = proxy.global.config.demo
if not options then
	options = { greeting = "hello", max_rows = 5, loud = true }
	proxy.global.config.demo = options
end

function read_query(packet)
	local cmd = commands.parse(packet)
	local r = proxy.global.config:handle(cmd)
	if r then return r end
	if cmd.type == proxy.COM_QUERY and cmd.query == "SELECT greeting" then
		proxy.response = {
			type = proxy.MYSQLD_PACKET_OK,
			resultset = {
				fields = { { name = "greeting", type = proxy.MYSQL_TYPE_STRING } },
				rows = { { options.loud and options.greeting:upper() or options.greeting } },
			},
		}
		return proxy.PROXY_SEND_RESULT
	end
end
