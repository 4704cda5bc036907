package server

import (
	"strconv"
	"strings"
	"testing"

	"github.com/imquota/imquota/catalog"
	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"github.com/imquota/imquota/quota"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// longest returns the longest of some names.
func longest(names []string) (name string) {
	for _, n := range names {
		if len(n) > len(name) {
			name = n
		}
	}
	return name
}

// largestBatch is as large as a request of QuotaService can be and be valid: as
// many items as there may be, every field as long as it may be, and as many ids.
func largestBatch() *imquotav1.BatchCheckQuotaRequest {
	cat := catalog.Default()
	long := strings.Repeat
	ids := make([]string, maxListIDs)
	for i := range ids {
		ids[i] = long("u", quota.MaxUserID-4) + strconv.Itoa(1000 + i)[:4]
	}
	in := &imquotav1.BatchCheckQuotaRequest{}
	for i := range maxBatchItems {
		own := ids[i*maxListIDs/maxBatchItems : (i+1)*maxListIDs/maxBatchItems]
		in.Items = append(in.Items, &imquotav1.CheckQuotaRequest{
			AppId: 1<<32 - 1, RequestId: long("r", maxRequestID), Mode: imquotav1.Mode_MODE_RESERVE, View: imquotav1.View_VIEW_BASIC,
			Client: &imquotav1.Client{Id: long("c", maxClientID), Platform: longest(cat.PlatformNames()), SdkVersion: "99999.99999.99999"},
			Hold:   durationpb.New(quota.MaxHold),
			Action: &imquotav1.CheckQuotaRequest_CreateGroup{CreateGroup: &imquotav1.CreateGroup{
				GroupId: long("g", quota.MaxGroupID), GroupType: long("t", maxKey), OwnerId: long("o", quota.MaxUserID), MemberIds: own,
			}},
		})
	}
	return in
}

// TestLargestRequest holds the bound of requests to what the largest valid one
// takes: another limit, or another field, that makes it larger has to move both.
func TestLargestRequest(t *testing.T) {
	t.Parallel()
	in := largestBatch()
	b, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if 2*len(b) > MaxQuotaBytes || 4*len(b) < MaxQuotaBytes {
		t.Errorf("the largest valid request has %d bytes, and %d are allowed: not twice as many", len(b), MaxQuotaBytes)
	}
	got := &imquotav1.BatchCheckQuotaRequest{}
	if err := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, got); err != nil || !proto.Equal(in, got) {
		t.Errorf("it is not read: %v", err)
	}
}

// TestWhatIsNotDecoded: a request that would take a hundred times its bytes is
// refused by those.
func TestWhatIsNotDecoded(t *testing.T) {
	t.Parallel()
	items := func(n int) []byte { return []byte(strings.Repeat("\x0a\x00", n)) }
	orders := func(n int) []byte {
		in := &imquotav1.AppImport{}
		for range n {
			in.Orders = append(in.Orders, &imquotav1.Order{})
		}
		b, err := proto.Marshal(&imquotav1.CreateAppRequest{Import: in})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, tt := range map[string]struct {
		wire []byte
		into proto.Message
		why  string
	}{
		"a full batch":              {items(maxBatchItems), &imquotav1.BatchCheckQuotaRequest{}, ""},
		"a batch one too long":      {items(maxBatchItems + 1), &imquotav1.BatchCheckQuotaRequest{}, ""},
		"a batch far too long":      {items(maxDecodedItems + 1), &imquotav1.BatchCheckQuotaRequest{}, "more than 1024 items"},
		"bytes of no batch":         {append(items(maxDecodedItems), 0xff), &imquotav1.BatchCheckQuotaRequest{}, "cannot parse"},
		"a list far too long":       {[]byte("\x62\xd0\x86\x03" + strings.Repeat("\x0a\x00", 25000)), &imquotav1.CheckQuotaRequest{}, ""},
		"more than is ever read":    {make([]byte, MaxQuotaBytes+1), &imquotav1.CheckQuotaRequest{}, "has 262145 bytes"},
		"of operators, orders":      {orders(maxOrders), &imquotav1.CreateAppRequest{}, ""},
		"of operators, many orders": {orders(manyBytes), &imquotav1.CreateAppRequest{}, "messages in them"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(tt.wire)}, tt.into); err != nil {
				t.Fatal(err)
			}
			why, isRefused := unreadable(tt.into)
			if isRefused != (tt.why != "") || !strings.Contains(why, tt.why) {
				t.Errorf("%d bytes: refused %t, %q", len(tt.wire), isRefused, why)
			}
		})
	}
}
