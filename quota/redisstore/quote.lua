-- Keeps a quote, for longer if it is kept already, never for shorter. It may be
-- repeated.
--
-- KEYS[1]  the quote
-- ARGV     the document, for how many milliseconds from now on
-- Returns 1.

if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
