-- Says of an app's place that the app is about to be deleted. The place is still
-- taken. One that the account does not know is not made.
--
-- KEYS[1]  the account, a hash: app -> live, pending TOKEN SECONDS, or leaving
--          TOKEN
-- ARGV     app, a fresh token
-- Returns 1 when the place is leaving with that token because nobody else has
-- said so before, else 0: then it is not for this caller to undo.

local place = redis.call('HGET', KEYS[1], ARGV[1])
if not place then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], 'leaving ' .. ARGV[2])
return string.match(place, '^leaving ') and 0 or 1
