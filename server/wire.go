package server

import "unicode/utf8"

// wireReader reads a message field by field.
type wireReader struct {
	wire  string
	at    int
	isOdd bool // there is something that is left to protobuf
}

// Kinds of fields: a tag is the field's number<<3 and its kind.
const (
	varint = 0 // numbers of all kinds
	sized  = 2 // texts and messages: their length, and then they
)

// more reports whether there is another field.
func (r *wireReader) more() bool { return r.at < len(r.wire) && !r.isOdd }

// number reads a tag, a length, or the number that a field is.
func (r *wireReader) number() uint64 {
	if r.at < len(r.wire) && r.wire[r.at] < 0x80 {
		r.at++
		return uint64(r.wire[r.at-1])
	}
	return r.large()
}

// large reads a number that takes more than one byte.
func (r *wireReader) large() (n uint64) {
	for i, b := range []byte(r.wire[r.at:min(r.at+9, len(r.wire))]) {
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			r.at += i + 1
			return n
		}
	}
	r.isOdd = true // cut off, or of ten bytes: below zero
	return 0
}

// bytes reads what has a length.
func (r *wireReader) bytes() string {
	n := r.number()
	if n > uint64(len(r.wire)-r.at) {
		r.isOdd = true
		return ""
	}
	from := r.at
	r.at += int(n)
	return r.wire[from:r.at]
}

// text reads a string.
func (r *wireReader) text() string {
	s := r.bytes()
	if !utf8.ValidString(s) {
		r.isOdd = true
	}
	return s
}

// message reads a message that may be there once: what protobuf makes of another
// one, it says best itself.
func (r *wireReader) message(isFirst bool) string {
	r.isOdd = r.isOdd || !isFirst
	return r.bytes()
}
