-- Makes an app's header and record, unless there is one. The app is unsettled
-- until settle.lua has said otherwise: whoever reads it settles it first.
--
-- KEYS[1]  the header: v epoch.revision, c clock, s sequence, r record, b the
--          token of the creation, u the same while the app is unsettled
-- ARGV     epoch.revision, record, token
-- Returns 1 when it was made, 0 when there is one.

if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'c', 0, 's', 0, 'r', ARGV[2], 'b', ARGV[3], 'u', ARGV[3])
return 1
