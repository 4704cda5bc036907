package redisstore

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis makes a script's functions anew at each call, and those of a library once.
// So the script of Apply is called as a function. A server is given the library by
// whoever finds that it has none, and keeps it and hands it to its replicas like a
// key; one that does not take it evaluates the script.

// form is how a command has its script run.
type form uint8

const (
	byHash     form = iota // EVALSHA
	byText                 // EVAL, where the hash was not known
	byFunction             // FCALL
)

// A library's functions answer as scripts do; see newScript.
const answerLua = `
local function answer(KEYS, args)
  local mark = table.remove(args)
  CHECKS
  return {mark, apply(KEYS, args)}
end
redis.register_function('NAME', answer)
redis.register_function{function_name='NAME_even_if_full', callback=answer, flags={'allow-oom'}}
`

// newLibrary makes functions of what defines apply, and returns the name of that
// which is for what grows. The name is the text's own: versions lie side by side.
func newLibrary(body string) (source, name string) {
	sum := sha1.Sum([]byte(body + answerLua))
	name = "imquota_" + hex.EncodeToString(sum[:8])
	answer := strings.NewReplacer("CHECKS", permissions(body), "NAME", name).Replace(answerLua)
	return "#!lua name=" + name + "\n" + body + answer, name
}

// withoutFunctions is for how long scripts are evaluated where functions may not be
// loaded or called.
const withoutFunctions = time.Minute

// form returns how Apply's script is run for now.
func (s *Store) form() form {
	if refused := s.refusedFunctions.Load(); refused != nil && time.Since(*refused) < withoutFunctions {
		return byHash
	}
	return byFunction
}

func (s *Store) refuseFunctions() {
	now := time.Now()
	s.refusedFunctions.Store(&now)
}

// unknown reads the replies to commands, and returns those whose script the server
// did not know, as they are to be sent next.
func (s *Store) unknown(ctx context.Context, sent []*command) []*command {
	var again []*command
	taught := false
	for _, c := range sent {
		if c.err = c.readReply(); c.err == nil {
			continue
		}
		text := ""
		if reply, ok := errors.AsType[redis.Error](c.err); ok {
			text = reply.Error()
		}
		switch {
		case c.form == byFunction && strings.HasPrefix(text, "ERR Function not found"):
			if c.taught || !taught && !s.teach(ctx, c) {
				c.form = byHash // keys that are on their way come to a server that was not given it
				break
			}
			c.taught, taught = true, true
		case c.form == byFunction && refusesFunctions(text):
			s.refuseFunctions()
			c.form = byHash
		case c.form == byHash && strings.HasPrefix(text, "NOSCRIPT"):
			c.form = byText
		default:
			continue
		}
		again = append(again, c)
	}
	return again
}

// refusesFunctions reports whether a server knows no functions, or its user may not
// call them.
func refusesFunctions(text string) bool {
	return strings.HasPrefix(text, "ERR unknown command") || strings.HasPrefix(text, "NOPERM ") && strings.Contains(text, "'fcall'")
}

// teach gives the library to the server that has a command's keys, and reports
// whether it is there now.
func (s *Store) teach(ctx context.Context, c *command) bool {
	server := s.client
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		node, err := cluster.MasterForKey(ctx, c.key())
		if err != nil {
			return false
		}
		server = node
	}
	err := server.FunctionLoad(ctx, s.scripts.library).Err()
	if err == nil {
		return true
	}
	reply, answered := errors.AsType[redis.Error](err)
	if answered && strings.HasSuffix(reply.Error(), "already exists") { // another was first
		return true
	}
	if answered {
		s.refuseFunctions()
	}
	return false
}
