package bench

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
)

// Population is whom the checks are about.
type Population struct {
	Apps []uint32
	// Users are spread evenly over the apps, which have one each at least.
	Users int
	// Features are keys that every app's plan has.
	Features []string
	// Seed is what everything that is drawn begins with.
	Seed uint64
	// View is what is asked for of each decision.
	View imquotav1.View
	// RequestIDs has what counts carry a request id, which the store remembers.
	RequestIDs bool
	// Run keeps the names of groups and requests apart from those of other runs on
	// the same apps.
	Run string
}

// Validate refuses a population of which nothing can be drawn.
func (p *Population) Validate() error {
	switch {
	case len(p.Apps) == 0:
		return errors.New("there are no apps")
	case p.Users < len(p.Apps):
		return fmt.Errorf("%d users are fewer than one for each of %d apps", p.Users, len(p.Apps))
	}
	return nil
}

// usersOf returns how many users the i-th app has.
func (p *Population) usersOf(app int) int {
	n := p.Users / len(p.Apps)
	if app < p.Users%len(p.Apps) {
		n++
	}
	return n
}

// userID returns the id of an app's user: 20 bytes, in no order, as ids are that
// an IM app draws.
func (p *Population) userID(app, user int) string {
	return id("user", scatter(scatter(p.Seed^uint64(app))+uint64(user)))
}

// id is a prefix and 16 digits.
func id(prefix string, n uint64) string {
	var text [20]byte
	copy(text[:], prefix)
	var raw [8]byte
	for i := range raw {
		raw[i] = byte(n >> (56 - 8*i))
	}
	hex.Encode(text[4:], raw[:])
	return string(text[:])
}

// scatter maps numbers to numbers one to one, near ones far apart.
func scatter(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// draw draws an app, a user of it, and another.
func (p *Population) draw(rng *rand.Rand) (app int, user, other string) {
	app = rng.IntN(len(p.Apps))
	user, other = p.drawUsers(rng, app)
	return app, user, other
}

// drawUsers draws two users of an app. One that has a single user has a guest too.
func (p *Population) drawUsers(rng *rand.Rand, app int) (user, other string) {
	n := p.usersOf(app)
	i := rng.IntN(n)
	k := n
	if n > 1 {
		k = (i + 1 + rng.IntN(n-1)) % n
	}
	return p.userID(app, i), p.userID(app, k)
}
