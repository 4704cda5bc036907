package redisstore

import (
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
)

//go:embed apply.lua
var applyLua string

//go:embed create.lua
var createLua string

//go:embed update.lua
var updateLua string

//go:embed place.lua
var placeLua string

//go:embed pending.lua
var pendingLua string

//go:embed confirm.lua
var confirmLua string

//go:embed vacate.lua
var vacateLua string

//go:embed settle.lua
var settleLua string

//go:embed init.lua
var initLua string

// script is a Lua script and the name that Redis knows it by.
type script struct{ source, sha string }

// newScript declares the flags that decide when Redis runs a script at all.
func newScript(flags, body string) *script {
	source := "#!lua" + flags + "\n" + body
	sum := sha1.Sum([]byte(source)) // the name that Redis gives scripts
	return &script{source, hex.EncodeToString(sum[:])}
}

// A full Redis refuses what grows; what only judges or gives back still runs.
const evenIfFull = " flags=allow-oom"

// applyScripts are the script of Apply in its two forms.
type applyScripts struct{ grow, release *script }

func newApplyScripts(body string) applyScripts {
	return applyScripts{newScript("", body), newScript(evenIfFull, body)}
}

var (
	createScript  = newScript("", createLua)
	updateScript  = newScript("", updateLua)
	placeScript   = newScript("", placeLua)
	pendingScript = newScript(" flags=no-writes", pendingLua)
	confirmScript = newScript(evenIfFull, confirmLua)
	vacateScript  = newScript(evenIfFull, vacateLua)
	settleScript  = newScript(evenIfFull, settleLua)
	initScript    = newScript("", initLua)
)
