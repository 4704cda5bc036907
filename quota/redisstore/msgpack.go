package redisstore

import (
	"encoding/binary"
	"math"
)

// The script takes one MessagePack array and answers another: it is a third of
// what the same numbers take as arguments and replies of their own, and neither
// side makes a value of each. Only what both sides use is here: whole numbers,
// strings of bytes, false, and the array itself.

// packed is the elements of an array.
type packed struct {
	data     []byte
	elements int
}

func (p *packed) number(n int64) {
	p.elements++
	switch {
	case n >= 0 && n < 1<<7:
		p.data = append(p.data, byte(n))
	case n < 0 && n >= -1<<5:
		p.data = append(p.data, byte(n))
	case n >= 0 && n < 1<<16:
		p.data = binary.BigEndian.AppendUint16(append(p.data, 0xcd), uint16(n))
	case n >= 0 && n < 1<<32:
		p.data = binary.BigEndian.AppendUint32(append(p.data, 0xce), uint32(n))
	default:
		p.data = binary.BigEndian.AppendUint64(append(p.data, 0xd3), uint64(n))
	}
}

func (p *packed) flag(b bool) {
	if b {
		p.number(1)
	} else {
		p.number(0)
	}
}

// none is where there is no number.
func (p *packed) none() {
	p.elements++
	p.data = append(p.data, 0xc2)
}

func (p *packed) text(s string) {
	p.textHead(len(s))
	p.data = append(p.data, s...)
}

func (p *packed) bytes(b []byte) {
	p.textHead(len(b))
	p.data = append(p.data, b...)
}

func (p *packed) textHead(n int) {
	p.elements++
	switch {
	case n < 1<<5:
		p.data = append(p.data, 0xa0|byte(n))
	case n < 1<<16:
		p.data = binary.BigEndian.AppendUint16(append(p.data, 0xda), uint16(n))
	default:
		p.data = binary.BigEndian.AppendUint32(append(p.data, 0xdb), uint32(n))
	}
}

// placeholder keeps room for a number that is known later and is below 1<<32; it
// returns where.
func (p *packed) placeholder() int {
	p.elements++
	p.data = append(p.data, 0xce, 0, 0, 0, 0)
	return len(p.data) - 4
}

func (p *packed) fill(at, n int) { binary.BigEndian.PutUint32(p.data[at:], uint32(n)) }

// append adds the elements of another.
func (p *packed) append(other *packed) {
	p.data = append(p.data, other.data...)
	p.elements += other.elements
}

// arrayHead is the beginning of an array whose length is filled in at the end.
const arrayHead = 5

func newArray(room int) packed {
	return packed{data: append(make([]byte, 0, arrayHead+room), 0xdd, 0, 0, 0, 0)}
}

// array returns what newArray began.
func (p *packed) array() []byte {
	binary.BigEndian.PutUint32(p.data[1:], uint32(p.elements))
	return p.data
}

// unpacker reads an array's elements one after the other. What is not what it
// should be makes it fail, and nothing that it reads after that is of use.
type unpacker struct {
	data   string
	failed bool
}

// unpack begins to read an array.
func unpack(data string) unpacker {
	u := unpacker{data: data}
	switch head := u.byte(); {
	case head&0xf0 == 0x90:
	case head == 0xdc:
		u.bits(2)
	case head == 0xdd:
		u.bits(4)
	default:
		u.failed = true
	}
	return u
}

func (u *unpacker) byte() byte {
	if len(u.data) == 0 {
		u.failed = true
		return 0xc1 // which nothing begins with
	}
	b := u.data[0]
	u.data = u.data[1:]
	return b
}

// bits reads a number of so many bytes.
func (u *unpacker) bits(size int) uint64 {
	if len(u.data) < size {
		u.failed, u.data = true, ""
		return 0
	}
	var n uint64
	for i := range size {
		n = n<<8 | uint64(u.data[i])
	}
	u.data = u.data[size:]
	return n
}

func (u *unpacker) number() int64 {
	switch head := u.byte(); {
	case head < 0x80:
		return int64(head)
	case head >= 0xe0:
		return int64(int8(head))
	case head == 0xcc:
		return int64(u.bits(1))
	case head == 0xcd:
		return int64(u.bits(2))
	case head == 0xce:
		return int64(u.bits(4))
	case head == 0xcf:
		if n := u.bits(8); n <= math.MaxInt64 {
			return int64(n)
		}
	case head == 0xd0:
		return int64(int8(u.bits(1)))
	case head == 0xd1:
		return int64(int16(u.bits(2)))
	case head == 0xd2:
		return int64(int32(u.bits(4)))
	case head == 0xd3:
		return int64(u.bits(8))
	}
	u.failed = true
	return 0
}

func (u *unpacker) text() string {
	n := uint64(0)
	switch head := u.byte(); {
	case head&0xe0 == 0xa0:
		n = uint64(head & 0x1f)
	case head == 0xd9 || head == 0xc4:
		n = u.bits(1)
	case head == 0xda || head == 0xc5:
		n = u.bits(2)
	case head == 0xdb || head == 0xc6:
		n = u.bits(4)
	default:
		u.failed = true
	}
	if uint64(len(u.data)) < n {
		u.failed, u.data = true, ""
		return ""
	}
	s := u.data[:n]
	u.data = u.data[n:]
	return s
}

// skip passes over elements, and returns them.
func (u *unpacker) skip(elements int64) string {
	all := u.data
	for range elements {
		if len(u.data) == 0 {
			u.failed = true
		}
		if u.failed {
			return ""
		}
		switch head := u.data[0]; {
		case head&0xe0 == 0xa0, head >= 0xc4 && head <= 0xc6, head >= 0xd9 && head <= 0xdb:
			u.text()
		default:
			u.number()
		}
	}
	return all[:len(all)-len(u.data)]
}
