package catalog

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

var (
	keyPattern      = regexp.MustCompile(`^[a-z][a-z0-9_.]{0,63}$`)
	currencyPattern = regexp.MustCompile(`^[A-Z]{3}$`)
	offsetPattern   = regexp.MustCompile(`^([+-])(\d\d):(\d\d)$`)
)

// entry is the path of an entry of a list: by key, or by index when it has none
// or an earlier entry has the same.
func (b *builder) entry(section string, i int, key string) string {
	path := section + "." + key
	first, ok := b.first[path]
	if !ok {
		b.first[path] = i
		first = i
	}
	if key == "" || first != i {
		return section + "." + strconv.Itoa(i)
	}
	return path
}

// key checks a key and its title, and that it is the first of its kind.
func (b *builder) key(section string, i int, key, title string) string {
	path := b.entry(section, i, key)
	switch {
	case key == "":
		b.addf(path+".key", "is missing")
	case !keyPattern.MatchString(key):
		b.addf(path, "a key is a lower-case letter followed by at most 63 letters, digits, '_' or '.'")
	case path != section+"."+key:
		b.addf(path, "%s is defined twice", key)
	}
	if title == "" {
		b.addf(path+".title", "is missing")
	}
	return path
}

// oneOf reports a word that is none of those allowed.
func oneOf[T ~string](b *builder, path string, got T, allowed ...T) bool {
	if slices.Contains(allowed, got) {
		return true
	}
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	b.addf(path, "%q is none of %s", got, strings.Join(words, ", "))
	return false
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e })
}

const maxUpstreamCode = 999_999

func (b *builder) code(path string, code int32) int32 {
	if code < 0 || code > maxUpstreamCode {
		b.addf(path, "%d is not a code from 0 to %d", code, maxUpstreamCode)
	}
	return code
}

// set makes a set of a list of known names.
func (b *builder) set(path, what string, names []string, known func(string) bool) map[string]bool {
	if len(names) == 0 {
		b.addf(path, "must name at least one %s", what)
	}
	set := make(map[string]bool, len(names))
	for _, n := range names {
		if !known(n) {
			b.addf(path, "unknown %s %q", what, n)
		}
		set[n] = true
	}
	return set
}

// zone reads an offset or a name of the time zone database.
func (b *builder) zone(text string) *time.Location {
	if m := offsetPattern.FindStringSubmatch(text); m != nil {
		hours, _ := strconv.Atoi(m[2])
		minutes, _ := strconv.Atoi(m[3])
		if hours <= 14 && minutes < 60 {
			seconds := hours*3600 + minutes*60
			if m[1] == "-" {
				seconds = -seconds
			}
			return time.FixedZone("UTC"+text, seconds)
		}
	} else if text != "" && text != "Local" {
		if zone, err := time.LoadLocation(text); err == nil {
			return zone
		}
	}
	b.addf("time_zone", "%q is neither an offset, such as +08:00, nor a name, such as Asia/Shanghai", text)
	return time.UTC
}

func (b *builder) duration(path, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		b.addf(path, "%q is not a duration above zero, such as 48h", text)
	}
	return d
}

// date reads a local calendar day; none is allowed when it is optional.
func (b *builder) date(path, text string, required bool) time.Time {
	if text == "" && !required {
		return time.Time{}
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		b.addf(path, "%q is not a day, such as 2022-12-26", text)
		return time.Time{}
	}
	y, m, d := t.Date()
	return dayStart(y, m, d, b.s.zone)
}

// price reads the price of a plan: free, or whole cents.
func (b *builder) price(path, text string) (price decimal.Decimal, bad bool) {
	if text == "free" {
		return decimal.Zero, false
	}
	d, ok := number(text)
	if !ok || !d.IsPositive() || d.Exponent() < -2 {
		b.addf(path, "%q is neither free nor a price above zero in whole cents, such as \"399\"", text)
		return decimal.Zero, true
	}
	return d, false
}

// number reads a decimal number. It refuses exponents that would make a short
// text a number of a billion digits, as soon as somebody computes with it.
func number(text string) (decimal.Decimal, bool) {
	const longest = 20
	if len(text) > longest {
		return decimal.Zero, false
	}
	d, err := decimal.NewFromString(text)
	return d, err == nil && d.Exponent() <= 0 && d.Exponent() >= -longest
}
