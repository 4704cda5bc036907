-- Writes to the log that a record may change from now on; clock.lua comes first.
--
-- KEYS[1]  the log, a stream: a app, or o account
-- ARGV     a or o, which one, for how many milliseconds an entry is kept at least
-- Returns the entry's id.

local _, now = clock()
return redis.call('XADD', KEYS[1], 'MINID', '~', string.format('%.0f', now - ARGV[3]), '*', ARGV[1], ARGV[2])
