-- What a script that counts statements by their form costs: each is cut into
-- tokens, its values become ?, and a table that all sessions share counts it.

local tokenizer = require("proxy.tokenizer")

local longest, most = 65536, 1000 -- bytes of a statement, forms

local forms = proxy.global.forms
if not forms then
	forms = { known = 0, counts = {} }
	proxy.global.forms = forms
end

function read_query(packet)
	if packet:byte() ~= proxy.COM_QUERY or #packet > longest then return end
	local form = tokenizer.normalize(tokenizer.tokenize(packet:sub(2)))
	local count = forms.counts[form]
	if count then
		forms.counts[form] = count + 1
	elseif forms.known < most then
		forms.counts[form] = 1
		forms.known = forms.known + 1
	end
end
