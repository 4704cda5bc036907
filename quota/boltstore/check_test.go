package boltstore

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// tree is a store's file with a bucket of users so large that it has branches.
type tree struct {
	bytes  []byte
	root   int // the page the bucket begins at
	leaves []int
}

const treeUsers = 20_000

// grown makes such a store and closes it.
func grown(t *testing.T, path string) *tree {
	t.Helper()
	s := open(t, path)
	found(t, s, 1)
	found(t, s, 2)
	var root int
	if err := s.db.Update(func(tx *bolt.Tx) error {
		users := tx.Bucket(usersBucket)
		for n := range treeUsers {
			if err := users.Put(idKeyOf(1, bulkyUser(n)), encodeUser(user{month: 7})); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.db.View(func(tx *bolt.Tx) error {
		root = int(tx.Bucket(usersBucket).Root())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	tr := &tree{bytes: read(t, path), root: root}
	tr.descend(root)
	if len(tr.leaves) < 100 || len(tr.page(root)) == 0 || tr.flags(root) != branchFlag {
		t.Fatal("it is no tree")
	}
	return tr
}

func (tr *tree) page(id int) []byte {
	size := os.Getpagesize()
	return tr.bytes[id*size : (id+1)*size]
}

func (tr *tree) flags(id int) uint16 { return binary.NativeEndian.Uint16(tr.page(id)[8:]) }

// element is one of a page's.
func (tr *tree) element(id, i int) []byte {
	return tr.page(id)[pageHeaderSize+elementSize*i:][:elementSize]
}

func (tr *tree) descend(id int) {
	if tr.flags(id) == leafFlag {
		tr.leaves = append(tr.leaves, id)
		return
	}
	for i := range int(binary.NativeEndian.Uint16(tr.page(id)[10:])) {
		tr.descend(int(binary.NativeEndian.Uint64(tr.element(id, i)[8:])))
	}
}

// TestOpenRefusesADamagedPage: of what bbolt would visit in a goroutine of its
// own, to find the free pages. There, it would end the process.
func TestOpenRefusesADamagedPage(t *testing.T) {
	t.Parallel()
	put16, put32, put64 := binary.NativeEndian.PutUint16, binary.NativeEndian.PutUint32, binary.NativeEndian.PutUint64
	tests := []struct {
		name   string
		damage func(tr *tree, leaf int)
		want   string
	}{
		{"zero", func(tr *tree, leaf int) { clear(tr.page(leaf)) }, "another one"},
		{"of another kind", func(tr *tree, leaf int) { put16(tr.page(leaf)[8:], 0x10) }, "holds no keys"},
		{"of a neighbour", func(tr *tree, leaf int) { copy(tr.page(leaf), tr.page(leaf-1)) }, "another one"},
		{"with more keys than fit", func(tr *tree, leaf int) { put16(tr.page(leaf)[10:], 9999) }, "more keys than fit"},
		{"longer than the file", func(tr *tree, leaf int) { put32(tr.page(leaf)[12:], 1<<30) }, "longer than the file"},
		{"over its neighbour", func(tr *tree, leaf int) { put32(tr.page(leaf)[12:], 1) }, "used twice"},
		{"with a key outside", func(tr *tree, leaf int) { put32(tr.element(leaf, 3)[4:], 1<<31) }, "not inside"},
		{"with a key too long", func(tr *tree, leaf int) { put32(tr.element(leaf, 3)[8:], 1<<32-1) }, "not inside"},
		{"with a value too long", func(tr *tree, leaf int) { put32(tr.element(leaf, 3)[12:], 1<<32-1) }, "not inside"},
		{"with a bucket cut off", func(tr *tree, leaf int) { tr.element(leaf, 3)[0] |= bucketFlag }, "cut off"},
		{"with keys out of order", func(tr *tree, leaf int) {
			at := bytes.Index(tr.page(leaf), []byte("user-"))
			tr.page(leaf)[at] = 'v'
		}, "out of order"},
		{"with keys of another's range", func(tr *tree, leaf int) {
			last := bytes.LastIndex(tr.page(leaf), []byte("user-"))
			tr.page(leaf)[last] = 'v'
		}, "out of order"},
		{"of a branch that leads nowhere", func(tr *tree, _ int) { put16(tr.page(tr.root)[10:], 0) }, "leads nowhere"},
		{"of a branch that leads to itself", func(tr *tree, _ int) { put64(tr.element(tr.root, 0)[8:], uint64(tr.root)) }, "used twice"},
		{"of a branch that leads to a page twice", func(tr *tree, _ int) {
			copy(tr.element(tr.root, 1)[8:], tr.element(tr.root, 0)[8:])
		}, "used twice"},
		{"of a branch that leads out of the file", func(tr *tree, _ int) { put64(tr.element(tr.root, 0)[8:], 1<<60) }, "no such page"},
		{"of a branch that leads to the head", func(tr *tree, _ int) { put64(tr.element(tr.root, 0)[8:], 1) }, "no such page"},
		{"of a branch with a key outside", func(tr *tree, _ int) { put32(tr.element(tr.root, 1), 1<<31) }, "not inside"},
		{"of a branch with keys out of order", func(tr *tree, _ int) {
			at := bytes.Index(tr.page(tr.root), []byte("user-"))
			tr.page(tr.root)[at] = 'v'
		}, "out of order"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			tr := grown(t, path)
			tt.damage(tr, tr.leaves[len(tr.leaves)/2])
			write(t, path, tr.bytes)
			s, err := Open(path, impatient)
			refused(t, s, err, path, tt.want)
			_, _, err = Compact(t.Context(), path, impatient, nil)
			refused(t, nil, err, path, "it is damaged: page")
			if !bytes.Equal(tr.bytes, read(t, path)) {
				t.Error("the file was written to")
			}
		})
	}
}

// TestOpenRefusesADamagedBucket: small ones lie in the value of a key.
func TestOpenRefusesADamagedBucket(t *testing.T) {
	t.Parallel()
	name := generationKey(1, 7)
	for what, damage := range map[string]func(inline []byte){
		"no page":            func(inline []byte) { clear(inline[8:10]) },
		"more keys than fit": func(inline []byte) { inline[10] = 200 },
		"a key outside":      func(inline []byte) { inline[pageHeaderSize+7] = 1 },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			shut(t, open(t, path))
			plant(t, path, func(tx *bolt.Tx) error {
				b, err := tx.Bucket(requestsBucket).CreateBucket(name)
				if err != nil {
					return err
				}
				k := request(1)
				return b.Put(k.Hash[:], k.Fingerprint[:])
			})
			b := read(t, path)
			at := bytes.LastIndex(b, name)
			damage(b[at+len(name)+bucketHeaderSize:])
			write(t, path, b)
			s, err := Open(path, impatient)
			refused(t, s, err, path, "it is damaged: page")
		})
	}
}
