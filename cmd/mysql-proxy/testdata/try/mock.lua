-- There is no server: the script is it.
function connect_server()
	proxy.response = {
		type = proxy.MYSQLD_PACKET_RAW,
		packets = {
			"\010" .. "5.1.0\0" .. "\001\0\0\0" .. "12345678\0" .. string.char(0x01, 0x82, 8, 2, 0) .. ("\0"):rep(13) .. "901234567890\0",
		},
	}
	return proxy.PROXY_SEND_RESULT
end

function read_query(packet)
	proxy.response = { type = proxy.MYSQLD_PACKET_OK, affected_rows = 3, insert_id = 4 }
	if packet:byte() == proxy.COM_STMT_PREPARE then
		proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errcode = 1295, sqlstate = "HY000", errmsg = "no prepared statements" }
	end
	return proxy.PROXY_SEND_RESULT
end
