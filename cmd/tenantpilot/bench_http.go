package main

import (
	"context"
	"errors"

	"github.com/google/uuid"
)

// benchHTTPTarget is the console to measure through: a server in this process, a token, and a client with kept-alive connections.
type benchHTTPTarget struct{}

// newBenchHTTPTarget returns nil while there is no console to serve.
func newBenchHTTPTarget(context.Context, *bench) (*benchHTTPTarget, error) { return nil, nil }

func (t *benchHTTPTarget) startAccepted(context.Context, int64) (uuid.UUID, error) {
	return uuid.Nil, errors.ErrUnsupported
}

func (t *benchHTTPTarget) close() {}
