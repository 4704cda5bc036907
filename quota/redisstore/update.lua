-- Replaces an app's record and logs the event, if nobody else has meanwhile;
-- clock.lua and intime.lua come first.
--
-- KEYS[1]  the header
-- KEYS[2]  the record, a string: epoch.revision, " ", record
-- KEYS[3]  the app's log, a hash: revision -> event
-- ARGV     those of intime.lua, epoch.revision expected, epoch.revision new,
--          record, revision, event, revision of the event that is forgotten
-- Returns 1 when it was replaced, 0 when it has another version, -1 when there
-- is no such app, -2 when it is too late.

if not inTime() then
  return TOO_LATE
end
local version = redis.call('HGET', KEYS[1], 'v')
if not version then
  return -1
end
if version ~= ARGV[4] then
  return 0
end
redis.call('HSET', KEYS[3], ARGV[7], ARGV[8])
redis.call('HDEL', KEYS[3], ARGV[9])
redis.call('SET', KEYS[2], ARGV[5] .. ' ' .. ARGV[6])
redis.call('HSET', KEYS[1], 'v', ARGV[5])
redis.call('HINCRBY', KEYS[1], 's', 1)
return 1
