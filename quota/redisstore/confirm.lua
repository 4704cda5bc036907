-- Makes the place of an app live, if the app's creation still has it. This is
-- where a creation is decided: create.go says why once and for all.
--
-- KEYS[1]  the account, a hash: app -> live, pending TOKEN SECONDS, or leaving
--          TOKEN
-- KEYS[2]  the account's deleted apps, a hash: app -> seconds; what is live is
--          none of them, though one of this id may have been that was lost
-- ARGV     app, token
-- Returns 1 when the place is live now, 0 when this creation has none.

local place = redis.call('HGET', KEYS[1], ARGV[1])
if place ~= 'live' then
  if not place or string.match(place, '^pending (%w+) %d+$') ~= ARGV[2] then
    return 0
  end
  redis.call('HSET', KEYS[1], ARGV[1], 'live')
end
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
