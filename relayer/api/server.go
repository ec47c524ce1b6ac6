// Package api is the HTTP face: read-only for users, and on another listener
// metrics and health for operators. It promises never to cause a payment, to
// bound whatever a client sends, and to answer errors as problem+json without
// internal text.
package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Server is a running listener.
type Server struct {
	addr string
	http *http.Server
	done chan error
}

// Listen starts serving at once. Port 0 takes any free one; Addr tells which.
func Listen(addr string, h http.Handler) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w (is another instance running? port 0 takes any free one)", addr, err)
	}
	s := &Server{addr: l.Addr().String(), done: make(chan error, 1), http: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}}
	go func() { s.done <- s.http.Serve(l) }()
	return s, nil
}

// Addr is host:port.
func (s *Server) Addr() string { return s.addr }

// Close lets requests finish for a moment, then ends them.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	if serve := <-s.done; !errors.Is(serve, http.ErrServerClosed) {
		return serve
	}
	return err
}
