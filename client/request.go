package client

import (
	"crypto/rand"

	imquotav1 "github.com/imquota/imquota/proto/imquota/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// complete returns what is sent for a request of the caller's: with the caller's
// name, and an id if repeating it needs one. r is not changed; what is returned
// shares its parts.
func (c *Client) complete(r *imquotav1.CheckQuotaRequest) *imquotav1.CheckQuotaRequest {
	device, id := c.named(r.GetClient()), r.GetRequestId()
	if id == "" && countsAnew(r) {
		id = rand.Text()
	}
	if device == r.GetClient() && id == r.GetRequestId() {
		return r
	}
	out := &imquotav1.CheckQuotaRequest{
		AppId: r.GetAppId(), RequestId: id, Mode: r.GetMode(), View: r.GetView(),
		Client: device, Hold: r.GetHold(), Action: r.GetAction(),
	}
	keepUnknown(out, r)
	return out
}

// completeRelease is complete for a release.
func (c *Client) completeRelease(r *imquotav1.ReleaseQuotaRequest) *imquotav1.ReleaseQuotaRequest {
	out := &imquotav1.ReleaseQuotaRequest{
		AppId: r.GetAppId(), RequestId: r.GetRequestId(), Mode: r.GetMode(), View: r.GetView(),
		Client: c.named(r.GetClient()), Release: r.GetRelease(),
	}
	if out.GetRequestId() == "" && r.GetMode() != imquotav1.Mode_MODE_CHECK_ONLY {
		out.RequestId = rand.Text()
	}
	keepUnknown(out, r)
	return out
}

// countsAnew reports whether a request that is carried out twice may count twice.
// Not so what counts nothing, and what adds users to a set that they may be in
// already: the store need not remember those.
func countsAnew(r *imquotav1.CheckQuotaRequest) bool {
	if r.GetMode() == imquotav1.Mode_MODE_CHECK_ONLY {
		return false
	}
	switch r.GetAction().(type) {
	case *imquotav1.CheckQuotaRequest_UseFeature, *imquotav1.CheckQuotaRequest_Login, *imquotav1.CheckQuotaRequest_RegisterUsers:
		return false
	}
	return true
}

// named returns the client of a request, with the caller's name if it has none.
func (c *Client) named(device *imquotav1.Client) *imquotav1.Client {
	switch {
	case device == nil:
		return c.caller
	case c.id == "" || device.GetId() != "":
		return device
	}
	out := &imquotav1.Client{Id: c.id, Platform: device.GetPlatform(), SdkVersion: device.GetSdkVersion()}
	keepUnknown(out, device)
	return out
}

// keepUnknown keeps what a newer contract has added.
func keepUnknown(out, of proto.Message) {
	if unknown := of.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		out.ProtoReflect().SetUnknown(append(protoreflect.RawFields(nil), unknown...))
	}
}
