-- Replaces an account's record, if nobody else has meanwhile; clock.lua and
-- intime.lua come first.
--
-- KEYS[1]  the record, a hash: v epoch.revision, r record
-- ARGV     those of intime.lua, epoch.revision expected or "" where there must
--          be none, epoch.revision new, record
-- Returns 1 when it was replaced, 0 when it has another version, -2 when it is
-- too late.

if not inTime() then
  return TOO_LATE
end
if (redis.call('HGET', KEYS[1], 'v') or '') ~= ARGV[4] then
  return 0
end
redis.call('HSET', KEYS[1], 'v', ARGV[5], 'r', ARGV[6])
return 1
