package server

import (
	"fmt"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Requests are bounded before they are decoded: as many may be arriving as may be
// under way, and each holds its bytes while nobody knows yet what it is.
//
// MaxQuotaBytes is for those of QuotaService, and twice what the largest that is
// valid takes. The rest is there so that a list that is too long is answered with
// its field's name, not by grpc-go with RESOURCE_EXHAUSTED. MaxMessageBytes is for
// those of operators, which bring along what an app had before.
const (
	MaxQuotaBytes   = 256 << 10
	MaxMessageBytes = 1 << 20
)

// A message within a message may take two bytes on the wire, and a hundred times
// as many once it is decoded. So more than this are not decoded: in a batch, whose
// items have none of their own, more than four times what is valid; in a request
// of operators, more than one for every leastNested bytes, once it has manyBytes.
const (
	maxDecodedItems = 4 * maxBatchItems
	leastNested     = 16
	manyBytes       = 32 << 10
)

var quotaFile = imquotav1.File_imquota_v1_quota_service_proto.Path()

// tooLarge returns why a request is not decoded, if that is so. What is broken is
// left to the decoder, which says it better.
func tooLarge(data mem.BufferSlice, m protoreflect.Message) error {
	n := data.Len()
	if n <= 2*maxDecodedItems {
		return nil
	}
	d := m.Descriptor()
	if d.ParentFile().Path() != quotaFile {
		if n > manyBytes && nested(data.Materialize(), d, n/leastNested) < 0 {
			return fmt.Errorf("it has %d bytes, and more than %d messages in them", n, n/leastNested)
		}
		return nil
	}
	if n > MaxQuotaBytes {
		return fmt.Errorf("it has %d bytes; at most %d are allowed", n, MaxQuotaBytes)
	}
	if _, ok := m.Interface().(*imquotav1.BatchCheckQuotaRequest); ok && fields(data.Materialize()) > maxDecodedItems {
		return fmt.Errorf("it has more than %d items; at most %d are allowed", maxDecodedItems, maxBatchItems)
	}
	return nil
}

// fields counts the fields of a message, each as often as it is there.
func fields(b []byte) (n int) {
	for len(b) > 0 {
		_, _, size := protowire.ConsumeField(b)
		if size < 0 {
			return n
		}
		b = b[size:]
		n++
	}
	return n
}

// nested returns how many more messages there may be than are within this one; less
// than zero when there are too many.
func nested(b []byte, d protoreflect.MessageDescriptor, left int) int {
	for len(b) > 0 && left >= 0 {
		number, kind, size := protowire.ConsumeField(b)
		if size < 0 {
			return left
		}
		if f := d.Fields().ByNumber(number); f != nil && f.Message() != nil && kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(b)
			within, _ := protowire.ConsumeBytes(b[tag:size])
			left = nested(within, f.Message(), left-1)
		}
		b = b[size:]
	}
	return left
}
