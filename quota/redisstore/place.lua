-- Takes a place for an app in its account, if one is left.
--
-- KEYS[1]  the account, a hash: app -> live, pending TOKEN SECONDS, or leaving
--          TOKEN
-- ARGV     app, places, a fresh token
-- Returns what the account says of the app now: live, or pending with the token
-- that it was found with, else the fresh one; "" when no place is left.
--
-- A place that is leaving is pending from then on: who asks has found no app of
-- this id.
--
-- The time is this server's, in seconds of Unix time: how long a place has been
-- pending is judged here too, in places.lua.

local place = redis.call('HGET', KEYS[1], ARGV[1])
if place == 'live' then
  return place
end
if not place and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[2]) then
  return ''
end
local token = place and string.match(place, '^pending (%w+) %d+$') or ARGV[3]
place = 'pending ' .. token .. ' ' .. redis.call('TIME')[1]
redis.call('HSET', KEYS[1], ARGV[1], place)
return place
