-- Writes fields of hashes of an app that has no header yet.
--
-- KEYS[1]  the header
-- KEYS[i]  what is written
-- ARGV     for each key: time to live in milliseconds (0 for ever), fields, then
--          for each field: its name, its value
-- Returns 1, or 0 when there is a header: then nothing was written.

if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
local at = 1
for i = 2, #KEYS do
  local ttl, fields = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  for _ = 1, fields do
    redis.call('HSET', KEYS[i], ARGV[at], ARGV[at + 1])
    at = at + 2
  end
  if ttl ~= '0' then
    redis.call('PEXPIRE', KEYS[i], ttl)
  end
end
return 1
