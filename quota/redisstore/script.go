package redisstore

import (
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

//go:embed apply.lua
var applyLua string

//go:embed create.lua
var createLua string

//go:embed record.lua
var recordLua string

//go:embed update.lua
var updateLua string

//go:embed place.lua
var placeLua string

//go:embed places.lua
var placesLua string

//go:embed confirm.lua
var confirmLua string

//go:embed vacate.lua
var vacateLua string

//go:embed settle.lua
var settleLua string

//go:embed init.lua
var initLua string

//go:embed clock.lua
var clockLua string

//go:embed intime.lua
var inTimeLua string

//go:embed begin.lua
var beginLua string

//go:embed announce.lua
var announceLua string

//go:embed owner.lua
var ownerLua string

//go:embed leave.lua
var leaveLua string

//go:embed stay.lua
var stayLua string

//go:embed free.lua
var freeLua string

//go:embed sweep.lua
var sweepLua string

//go:embed lease.lua
var leaseLua string

//go:embed walk.lua
var walkLua string

//go:embed quote.lua
var quoteLua string

//go:embed export.lua
var exportLua string

//go:embed restore.lua
var restoreLua string

// script is a Lua script and the name that Redis knows it by.
type script struct {
	source, sha string
	function    string // of the library, if it is there too
	waits       bool   // what it writes is waited for, whoever runs it
}

// newScript declares the flags that decide when Redis runs a script at all, and
// has the script answer with the mark that its caller drew. A connection whose
// replies are out of step, because somebody has sent one twice, would have a call
// take another one's for its own.
func newScript(flags, body string) *script {
	source := "#!lua" + flags + `
local mark = table.remove(ARGV)
local function script()
` + body + `
end
local reply = script()
if type(reply) == 'table' and (reply.err or reply.ok) then
  return reply
end
return {mark, reply}
`
	sum := sha1.Sum([]byte(source)) // the name that Redis gives scripts
	return &script{source: source, sha: hex.EncodeToString(sum[:]), waits: flags != noWrites}
}

// commandOf finds the commands that a script runs.
var commandOf = regexp.MustCompile(`(?:p?call|try|change)\('([A-Z]+)'`)

// readers are those that change nothing.
var readers = []string{"EXISTS", "GET", "HGET", "HGETALL", "HKEYS", "HLEN", "HMGET", "HRANDFIELD", "HSCAN", "INFO", "PTTL", "TIME", "ZRANGEBYSCORE"}

// whole has a script refuse before it writes anything, if the user may not make all
// of its writes. Redis holds each command of a script against the user's
// permissions when it comes to it, and leaves what was written before. The scripts
// without it take steps that are repeated.
func whole(body string) string { return permissions(body) + body }

// permissions are the checks that whole adds.
func permissions(body string) string {
	var commands []string
	for _, match := range commandOf.FindAllStringSubmatch(body, -1) {
		if !slices.Contains(readers, match[1]) {
			commands = append(commands, match[1])
		}
	}
	slices.Sort(commands)
	var checks strings.Builder
	for _, command := range slices.Compact(commands) {
		fmt.Fprintf(&checks, "if not redis.acl_check_cmd('%s', KEYS[1]) then return redis.error_reply('NOPERM this user may not run %[1]s') end\n", command)
	}
	return checks.String()
}

// unwaited is a script whose writes are no loss, or that may write nothing.
func unwaited(s *script) *script {
	s.waits = false
	return s
}

// A full Redis refuses what grows; what only judges or gives back still runs, and
// so does what replaces the record of an app or an account. Those are small, and
// room is made by them: an app is disabled, deleted, reclaimed, swept; a bill paid.
const evenIfFull = " flags=allow-oom"

// applyScripts are the script of Apply in its two forms, each of which is a function
// of the library too.
type applyScripts struct {
	grow, release *script
	library       string
}

func newApplyScripts(body string) applyScripts {
	library, name := newLibrary(body)
	script := permissions(body) + "local keys = KEYS\n" + body + "return apply(keys, ARGV)" // apply has a KEYS of its own
	// It judges too, and then writes nothing.
	a := applyScripts{unwaited(newScript("", script)), unwaited(newScript(evenIfFull, script)), library}
	a.grow.function, a.release.function = name, name+"_even_if_full"
	return a
}

const noWrites = " flags=no-writes"

var (
	createScript  = newScript("", whole(createLua))
	recordScript  = newScript(noWrites, recordLua)
	updateScript  = newScript(evenIfFull, whole(clockLua+inTimeLua+updateLua))
	ownerScript   = newScript(evenIfFull, whole(clockLua+inTimeLua+ownerLua))
	beginScript   = newScript(noWrites, clockLua+beginLua)
	placeScript   = newScript("", placeLua)
	placesScript  = newScript(noWrites, placesLua)
	confirmScript = newScript(evenIfFull, confirmLua)
	vacateScript  = newScript(evenIfFull, vacateLua)
	settleScript  = newScript(evenIfFull, settleLua)
	leaveScript   = newScript(evenIfFull, leaveLua)
	stayScript    = newScript(evenIfFull, stayLua)
	freeScript    = newScript(evenIfFull, freeLua)
	sweepScript   = unwaited(newScript(evenIfFull, sweepLua))
	walkScript    = newScript(noWrites, clockLua+walkLua)
	initScript    = newScript("", initLua)
	exportScript  = newScript(noWrites, exportLua)
	restoreScript = newScript("", restoreLua)

	// What is changed must be announced, and what is gone swept, even then.
	announceScript = unwaited(newScript(evenIfFull, clockLua+announceLua))
	leaseScript    = unwaited(newScript(evenIfFull, leaseLua))

	quoteScript = newScript("", quoteLua)
)
