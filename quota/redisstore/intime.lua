-- Begins scripts that change a record, after clock.lua: a change that comes too
-- late for its announcement is not made. change.go says why.
--
-- ARGV     the server that the change was begun on, its time then, for how many
--          milliseconds from then on the change may be made; the script's own
--          arguments follow
--
-- Defines TOO_LATE, what a script answers that changes nothing, and inTime().

local TOO_LATE = -2

local function inTime()
  local server, now = clock()
  local begun = tonumber(ARGV[2])
  return server == ARGV[1] and now >= begun and now <= begun + tonumber(ARGV[3])
end
