-- Reads hashes of an app, until so many fields have come together.
--
-- KEYS[1]  the header
-- KEYS[i]  what is read
-- ARGV     epoch.revision, about how many fields
-- Returns {-1} when the record has another version, {-2, text} when a key holds
-- no hash, else {sequence, how many keys were read, then for each that is there:
-- its number among them, from 1 on, and its fields and values}.

local header = redis.call('HMGET', KEYS[1], 'v', 's')
if header[1] ~= ARGV[1] then
  return {-1}
end
local reply, fields, most = {tonumber(header[2] or 0) or 0, 0}, 0, tonumber(ARGV[2])
for i = 2, #KEYS do
  if fields >= most then
    break
  end
  local hash = redis.pcall('HGETALL', KEYS[i])
  if hash.err then
    return {-2, KEYS[i] .. ': ' .. hash.err}
  end
  if #hash > 0 then
    reply[#reply + 1] = i - 1
    reply[#reply + 1] = hash
    fields = fields + #hash / 2
  end
  reply[2] = i - 1
end
return reply
