package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc/credentials"
)

// tlsConfig reads the certificates; nil without any.
func (c *serveCmd) tlsConfig() (*tls.Config, error) {
	if c.TLSCert == "" && c.TLSKey == "" {
		if c.TLSClientCA != "" {
			return nil, errors.New("--tls-client-ca needs --tls-cert and --tls-key")
		}
		return nil, nil
	}
	pair, err := keyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: pair, MinVersion: tls.VersionTLS12}
	if config.ClientCAs, err = authorities("--tls-client-ca", c.TLSClientCA); err != nil {
		return nil, err
	}
	if config.ClientCAs != nil {
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config, nil
}

// keyPair reads the certificate and key of --tls-cert and --tls-key; none when
// neither is given.
func keyPair(cert, key string) ([]tls.Certificate, error) {
	switch {
	case cert == "" && key == "":
		return nil, nil
	case cert == "":
		return nil, errors.New("--tls-key needs --tls-cert")
	case key == "":
		return nil, errors.New("--tls-cert needs --tls-key")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	return []tls.Certificate{pair}, nil
}

// authorities reads the certificates of a flag's file; nil without a file.
func authorities(flag, path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s %s: holds no certificate", flag, path)
	}
	return pool, nil
}

// tcpOnly leaves Unix sockets, which never leave the machine, in plain text.
type tcpOnly struct {
	credentials.TransportCredentials
}

// ServerHandshake implements credentials.TransportCredentials.
func (c *tcpOnly) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if conn.LocalAddr().Network() == "unix" {
		return conn, unixAuth{}, nil
	}
	return c.TransportCredentials.ServerHandshake(conn)
}

// Clone implements credentials.TransportCredentials.
func (c *tcpOnly) Clone() credentials.TransportCredentials {
	return &tcpOnly{c.TransportCredentials.Clone()}
}

type unixAuth struct{}

// AuthType implements credentials.AuthInfo.
func (unixAuth) AuthType() string { return "unix" }
