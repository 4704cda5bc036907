package catalog

import (
	"fmt"
	"strconv"
	"strings"
)

// SDKVersion is the version of an IM SDK, such as 5.8.1668. Versions compare
// number by number: 5.10 is above 5.8, and 5.8 equals 5.8.0.
type SDKVersion struct{ parts [4]uint32 }

// ParseSDKVersion reads one to four numbers joined by dots. A build flavour
// after a space, '_', '-' or '+' is ignored (FACTS §1: "enhanced").
func ParseSDKVersion(s string) (SDKVersion, error) {
	numbers := s
	if i := strings.IndexAny(s, " _-+"); i > 0 {
		numbers = s[:i]
	}
	var v SDKVersion
	if n := 1 + strings.Count(numbers, "."); n > len(v.parts) {
		return SDKVersion{}, fmt.Errorf("%q has more than %d numbers", s, len(v.parts))
	}
	for i, more := 0, true; more; i++ {
		var number string
		number, numbers, more = strings.Cut(numbers, ".")
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return SDKVersion{}, fmt.Errorf("%q is not numbers joined by dots, such as 5.8.1668", s)
		}
		v.parts[i] = uint32(n)
	}
	return v, nil
}

// Less reports whether v is older than w.
func (v SDKVersion) Less(w SDKVersion) bool {
	for i := range v.parts {
		if v.parts[i] != w.parts[i] {
			return v.parts[i] < w.parts[i]
		}
	}
	return false
}

// String returns the numbers without trailing zeros beyond the second.
func (v SDKVersion) String() string {
	n := len(v.parts)
	for n > 2 && v.parts[n-1] == 0 {
		n--
	}
	fields := make([]string, n)
	for i := range fields {
		fields[i] = strconv.FormatUint(uint64(v.parts[i]), 10)
	}
	return strings.Join(fields, ".")
}
