package server

import (
	"context"
	"crypto/x509"

	"google.golang.org/grpc/credentials"
)

// A request id is scoped to whoever asks. No client id can equal one of these,
// because they are printable.
const (
	// operator scopes the request ids of AppService.
	operator = "\x00operator"
	// certified begins the name of a caller that a certificate vouches for.
	certified = "\x00certificate "
)

// callerOf names who asks: the client's certificate says it, else what the
// request says of itself.
func callerOf(ctx context.Context, clientID string) string {
	if owner, ok := certifiedCaller(ctx); ok {
		return certified + owner
	}
	return clientID
}

// certifiedCaller names the owner of the client's certificate, if it has one.
func certifiedCaller(ctx context.Context) (string, bool) {
	if info, ok := authInfo(ctx).(credentials.TLSInfo); ok && len(info.State.VerifiedChains) > 0 {
		return identity(info.State.VerifiedChains[0][0]), true
	}
	return "", false
}

// identity names the owner of a certificate, and not the certificate, which
// is renewed: its first URI (a SPIFFE id, say), its first DNS name, its subject.
func identity(c *x509.Certificate) string {
	switch {
	case len(c.URIs) > 0:
		return c.URIs[0].String()
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	}
	return c.Subject.String()
}
