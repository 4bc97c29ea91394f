-- What a hook costs by itself: read_query is called with every command and has
-- nothing to say, so each goes on as if there were no script.

function read_query(packet)
end
