package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// socketMode lets the owner and the group of a Unix socket connect.
const socketMode = 0o660

// listen opens one address: host:port or unix:PATH.
func listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return config.Listen(ctx, "tcp", address)
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// removeStale removes a socket that a killed process left behind. One that
// somebody listens on, and anything else of that name, is left alone.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%s exists and is not a socket", path)
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("%s is in use by another server", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// reachesBeyond reports whether other machines could reach an address.
func reachesBeyond(ctx context.Context, address string) (bool, error) {
	if strings.HasPrefix(address, "unix:") {
		return false, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, err
	}
	if host == "" {
		return true, nil
	}
	found, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return false, err
	}
	for _, ip := range found {
		if !ip.IP.IsLoopback() {
			return true, nil
		}
	}
	return false, nil
}
