-- Lists a part of a directory; clock.lua comes first. A cursor means something
-- to the server alone that made it: another one begins anew.
--
-- KEYS[1]  the directory, a hash: app -> live and its account; and a mark
-- ARGV     the cursor or 0, the run id of the server that made it, about how
--          many apps
-- Returns the next cursor, 0 at the end, this server's run id, and the fields
-- and values.

local server = clock()
local cursor = server == ARGV[2] and ARGV[1] or '0'
local part = redis.call('HSCAN', KEYS[1], cursor, 'COUNT', ARGV[3])
return {part[1], server, part[2]}
