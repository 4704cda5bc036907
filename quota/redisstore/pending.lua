-- Lists the places of an account that may belong to no app: those that are
-- pending or leaving.
--
-- KEYS[1]  the account, a hash: app -> live, pending TOKEN SECONDS, or leaving
--          TOKEN
-- ARGV     for how many seconds a creation may hold a place
-- Returns for each such place: app, what the account says of it, 1 when it is
-- pending for longer or leaving, else 0. Seconds are this server's.

local now = tonumber(redis.call('TIME')[1])
local fields, list = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #fields, 2 do
  local place = fields[i + 1]
  if place ~= 'live' then
    local since = tonumber(string.match(place, '^pending %w+ (%d+)$')) or 0
    local n = #list
    list[n + 1], list[n + 2], list[n + 3] = fields[i], place, now - since > tonumber(ARGV[1]) and 1 or 0
  end
end
return list
