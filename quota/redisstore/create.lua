-- Makes an app's header, record and log, unless there is a header. The app is
-- unsettled until settle.lua has said otherwise: whoever reads it settles it
-- first.
--
-- KEYS[1]  the header: v epoch.revision, c clock, s sequence, b the token of the
--          creation, u the same while the app is unsettled
-- KEYS[2]  the record, a string: epoch.revision, " ", record
-- KEYS[3]  the app's log, a hash: revision -> event
-- What an app of this id that was lost has left in the last two is not this one's.
-- ARGV     epoch.revision, record, token; for each event of the log its revision
--          and itself
-- Returns 1 when it was made, 0 when there is one.

if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'c', 0, 's', 0, 'b', ARGV[3], 'u', ARGV[3])
redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. ARGV[2])
redis.call('UNLINK', KEYS[3])
for i = 4, #ARGV, 2 do
  redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
end
return 1
