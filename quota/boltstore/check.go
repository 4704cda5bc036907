package boltstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"
)

// checkPages visits all pages that a transaction can reach, as bbolt does when
// it opens a file for writing, and finds what would make bbolt panic. It reads
// the file rather than the mapping: a disk that fails is an error then.
func checkPages(file io.ReaderAt, tx *bolt.Tx) error {
	size := int64(tx.DB().Info().PageSize)
	c := &pageCheck{file: file, size: size, seen: make([]bool, tx.Size()/size)}
	return c.tree(uint64(tx.Cursor().Bucket().Root()), 0, nil, nil)
}

// pageCheck is a visit to the pages of a file.
//
// A page is a header (id, flags, count, overflow: the pages after it that are
// its own) and count elements, which say where their keys and values are. A
// branch's element leads to the page of the keys from its own on; a leaf's
// element holds a value or, marked so, a bucket: the id of its root page and a
// sequence number, and if the id is 0 the page itself. Integers have the
// machine's byte order.
type pageCheck struct {
	file  io.ReaderAt
	size  int64
	seen  []bool   // by page id; its length is the number of pages
	pages [][]byte // one for each level of the tree, to be used again
}

const (
	pageHeaderSize   = 16
	elementSize      = 16 // of leaves and branches
	bucketHeaderSize = 16

	branchFlag = 0x01
	leafFlag   = 0x02
	bucketFlag = 0x01 // of a leaf's element
)

// tree checks a page and what lies below it; its keys must lie in the half-open
// range. An end that is nil is open.
func (c *pageCheck) tree(id uint64, level int, from, to []byte) error {
	page, err := c.read(id, level)
	if err != nil {
		return err
	}
	switch binary.NativeEndian.Uint16(page[8:]) {
	case branchFlag:
		return c.branch(id, page, level, from, to)
	case leafFlag:
		return c.leaf(id, page, level, from, to)
	}
	return damagedPage(id, "it holds no keys")
}

// read returns a page and its overflow.
func (c *pageCheck) read(id uint64, level int) ([]byte, error) {
	if id < 2 || id >= uint64(len(c.seen)) {
		return nil, damagedPage(id, "there is no such page")
	}
	for level >= len(c.pages) {
		c.pages = append(c.pages, make([]byte, c.size))
	}
	offset := int64(id) * c.size
	if _, err := c.file.ReadAt(c.pages[level][:c.size], offset); err != nil {
		return nil, err
	}
	page := c.pages[level]
	if binary.NativeEndian.Uint64(page) != id {
		return nil, damagedPage(id, "it says that it is another one")
	}
	end := id + 1 + uint64(binary.NativeEndian.Uint32(page[12:]))
	if end > uint64(len(c.seen)) {
		return nil, damagedPage(id, "it is longer than the file")
	}
	for i := id; i < end; i++ {
		if c.seen[i] {
			return nil, damagedPage(i, "it is used twice")
		}
		c.seen[i] = true
	}
	if length := int64(end-id) * c.size; length > int64(len(page)) {
		page = make([]byte, length)
		c.pages[level] = page
	}
	if end == id+1 {
		return page[:c.size], nil
	}
	page = page[:int64(end-id)*c.size]
	_, err := c.file.ReadAt(page, offset)
	return page, err
}

func (c *pageCheck) branch(id uint64, page []byte, level int, from, to []byte) error {
	elements, err := elementsOf(id, page)
	if err != nil {
		return err
	}
	if elements == 0 {
		return damagedPage(id, "it leads nowhere")
	}
	// An element is: position of the key, its length, page id.
	key := func(i int) ([]byte, error) {
		at := pageHeaderSize + elementSize*i
		return slice(id, page, at, uint64(binary.NativeEndian.Uint32(page[at:])), uint64(binary.NativeEndian.Uint32(page[at+4:])))
	}
	this, err := key(0)
	for i := 0; err == nil && i < elements; i++ {
		next := to
		if i+1 < elements {
			if next, err = key(i + 1); err != nil {
				return err
			}
		}
		if err = inOrder(id, i, from, this, next); err == nil {
			err = c.tree(binary.NativeEndian.Uint64(page[pageHeaderSize+elementSize*i+8:]), level+1, this, next)
		}
		this = next
	}
	return err
}

func (c *pageCheck) leaf(id uint64, page []byte, level int, from, to []byte) error {
	elements, err := elementsOf(id, page)
	if err != nil {
		return err
	}
	var before []byte
	for i := range elements {
		// An element is: flags, position of the key, its length, the value's.
		at := pageHeaderSize + elementSize*i
		position := uint64(binary.NativeEndian.Uint32(page[at+4:]))
		keySize, size := uint64(binary.NativeEndian.Uint32(page[at+8:])), uint64(binary.NativeEndian.Uint32(page[at+12:]))
		both, err := slice(id, page, at, position, keySize+size)
		if err != nil {
			return err
		}
		key, value := both[:keySize], both[keySize:]
		if i > 0 {
			from = nil
			if bytes.Compare(before, key) >= 0 {
				return damagedPage(id, "its keys are out of order")
			}
		}
		if err := inOrder(id, i, from, key, to); err != nil {
			return err
		}
		before = key
		if binary.NativeEndian.Uint32(page[at:])&bucketFlag == 0 {
			continue
		}
		if err := c.bucket(id, value, level+1); err != nil {
			return err
		}
	}
	return nil
}

// bucket checks a bucket that is an element's value of a page.
func (c *pageCheck) bucket(id uint64, value []byte, level int) error {
	if len(value) < bucketHeaderSize {
		return damagedPage(id, "a bucket is cut off")
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return c.tree(root, level, nil, nil)
	}
	inline := value[bucketHeaderSize:]
	if len(inline) < pageHeaderSize || binary.NativeEndian.Uint16(inline[8:]) != leafFlag {
		return damagedPage(id, "a bucket in it holds no keys")
	}
	return c.leaf(id, inline, level, nil, nil)
}

// elementsOf returns how many elements a page has, all of which are inside it.
func elementsOf(id uint64, page []byte) (int, error) {
	n := int(binary.NativeEndian.Uint16(page[10:]))
	if pageHeaderSize+elementSize*n > len(page) {
		return 0, damagedPage(id, "it has more keys than fit")
	}
	return n, nil
}

// slice returns what an element points at: position counts from the element.
func slice(id uint64, page []byte, element int, position, length uint64) ([]byte, error) {
	begin := uint64(element) + position
	if begin+length > uint64(len(page)) {
		return nil, damagedPage(id, "a key or value is not inside it")
	}
	return page[begin : begin+length], nil
}

// inOrder checks that a page's i-th key lies between its neighbours, or the
// ends of the page's range.
func inOrder(id uint64, i int, from, key, to []byte) error {
	if i == 0 && from != nil && bytes.Compare(key, from) < 0 || to != nil && bytes.Compare(key, to) >= 0 {
		return damagedPage(id, "its keys are out of order")
	}
	return nil
}

func damagedPage(id uint64, what string) error {
	return damageError{fmt.Sprintf("page %d: %s", id, what)}
}
