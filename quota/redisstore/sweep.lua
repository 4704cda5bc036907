-- Removes keys of an app, if its record is still the one that says that it is
-- gone.
--
-- KEYS[1]  the header
-- KEYS[i]  what is removed
-- ARGV     epoch.revision; empty: there must be no header
-- Returns how many keys there were, -1 when the record has another version.

if (redis.call('HGET', KEYS[1], 'v') or '') ~= ARGV[1] then
  return -1
end
return redis.call('UNLINK', unpack(KEYS, 2))
