package server

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"strconv"

	"github.com/imquota/imquota/account"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// change is a request that changes a record, once, and says who asks.
type change interface {
	proto.Message
	GetRequestId() string
	GetActor() string
}

// change checks what all of them have in common.
func (v *invalidFields) change(in change) {
	v.optional("request_id", in.GetRequestId(), maxRequestID)
	v.optional("actor", in.GetActor(), maxActor)
}

// originOf returns who asks for a change, and by which request. Who asks is not
// a part of what is asked.
func originOf(ctx context.Context, in change) account.Origin {
	by := actorOf(ctx, in.GetActor())
	by.Change = changeOf(in)
	return by
}

// actorOf returns who asks: a certificate's owner, else who the request says.
func actorOf(ctx context.Context, said string) account.Origin {
	if owner, ok := certifiedCaller(ctx); ok {
		return account.Origin{Actor: owner, Certified: true}
	}
	return account.Origin{Actor: said}
}

// changeOf returns what a record remembers of a request that changes it.
func changeOf(in change) account.Change {
	if in.GetRequestId() == "" {
		return account.Change{}
	}
	asked := proto.Clone(in)
	if actor := asked.ProtoReflect().Descriptor().Fields().ByName("actor"); actor != nil {
		asked.ProtoReflect().Clear(actor)
	}
	// Requests of two kinds may have the same bytes.
	wire, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend([]byte(kindOf(asked)), asked)
	if err != nil {
		return account.Change{} // unreachable: the message came off the wire
	}
	sum := sha256.Sum256(wire)
	return account.Change{RequestID: in.GetRequestId(), Fingerprint: binary.BigEndian.Uint64(sum[:])}
}

func kindOf(m proto.Message) protoreflect.FullName { return m.ProtoReflect().Descriptor().FullName() }

// pageSize returns how long a page may be: as many as are asked for, if they are
// not too many, or the usual number.
func (v *invalidFields) pageSize(asked int32, usual, most int) int {
	switch {
	case asked < 0:
		v.add("page_size", "is %d; it must not be negative", asked)
	case asked == 0:
		return usual
	}
	return min(int(asked), most)
}

// numberToken reads a token that is a number; zero when there is none.
func (v *invalidFields) numberToken(token string, bits int) uint64 {
	if token == "" {
		return 0
	}
	n, err := strconv.ParseUint(token, 10, bits)
	if err != nil {
		v.add("page_token", "%q is not a token of this service", token)
	}
	return n
}
