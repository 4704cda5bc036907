-- Begins scripts that need to know which server runs them and what its time is.
-- A server that was started again is another one, and so is the replica that
-- took over: time is only compared with time of the same one.
--
-- Defines clock(), which returns the server's run id and its time, in Unix
-- milliseconds.

local function clock()
  local time = redis.call('TIME')
  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or '', time[1] * 1000 + math.floor(time[2] / 1000)
end
