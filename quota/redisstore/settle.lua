-- Ends an app's creation: keeps the header, or drops it with the record
-- and the log.
--
-- KEYS[1]  the header
-- KEYS[2]  the record
-- KEYS[3]  the app's log
-- ARGV     the token of the creation, 1 to keep or 0 to drop
-- Returns 1 when the header was this creation's, 0 when it is another's or
-- there is none. One that is settled already is left alone.

local header = redis.call('HMGET', KEYS[1], 'b', 'u')
if header[1] ~= ARGV[1] then
  return 0
end
if header[2] then
  if ARGV[2] == '1' then
    redis.call('HDEL', KEYS[1], 'u')
  else
    redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
  end
end
return 1
