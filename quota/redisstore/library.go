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
	answer := strings.Replace(answerLua, "CHECKS", permissions(body), 1)
	sum := sha1.Sum([]byte(body + answer))
	name = "imquota_" + hex.EncodeToString(sum[:8])
	return "#!lua name=" + name + "\n" + body + strings.ReplaceAll(answer, "NAME", name), name
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
// did not know, as they are to be sent next. With no time left there are none, and
// those have the server's word that they did not run.
func (s *Store) unknown(ctx context.Context, sent []*command) []*command {
	var again []*command
	asked, taught := false, false // a flight goes to one server
	for _, c := range sent {
		if c.err = c.readReply(); c.err == nil {
			continue
		}
		switch v, _ := judge(c.err); {
		case c.form == byFunction && v == noScript:
			if !asked && !c.taught {
				asked, taught = true, s.teach(ctx, c)
			}
			if !taught {
				c.form = byHash // keys that are on their way come to a server that was not given it
			}
			c.taught = true
		case c.form == byFunction && refusesFunctions(c.err):
			s.refuseFunctions()
			c.form = byHash
		case c.form == byHash && v == noScript:
			c.form = byText
		default:
			continue
		}
		again = append(again, c)
	}
	if len(again) > 0 && !hasTime(ctx, 0) {
		return nil
	}
	return again
}

// refusesFunctions reports whether a server knows no functions, or its user may not
// load or call them: it will not either when it is asked again.
func refusesFunctions(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, "ERR unknown command") ||
		strings.HasPrefix(text, "NOPERM ") && (strings.Contains(text, "'fcall'") || strings.Contains(text, "'function|load'"))
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
	if _, answered := errors.AsType[redis.Error](err); !answered {
		return false
	}
	if strings.HasSuffix(err.Error(), "already exists") { // another was first
		return true
	}
	if v, _ := judge(err); v == ran || refusesFunctions(err) { // it cannot read the library, or will not
		s.refuseFunctions()
	}
	return false
}
