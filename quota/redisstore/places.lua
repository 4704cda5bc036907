-- Lists the places of an account.
--
-- KEYS[1]  the account, a hash: app -> live, pending TOKEN SECONDS, or leaving
--          TOKEN
-- ARGV     for how many seconds a creation may hold a place
-- Returns for each place: app, what the account says of it, 1 when it is pending
-- for longer or leaving, else 0. Seconds are this server's.

local now = tonumber(redis.call('TIME')[1])
local fields, list = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #fields, 2 do
  local place = fields[i + 1]
  local isOld = false
  if place ~= 'live' then
    local since = tonumber(string.match(place, '^pending %w+ (%d+)$')) or 0
    isOld = now - since > tonumber(ARGV[1])
  end
  local n = #list
  list[n + 1], list[n + 2], list[n + 3] = fields[i], place, isOld and 1 or 0
end
return list
