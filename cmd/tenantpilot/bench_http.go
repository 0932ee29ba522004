package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"tenantpilot/domain"
)

// benchHTTPTarget is the console as an integration meets it: a server in this process, a bearer token, kept-alive connections.
type benchHTTPTarget struct {
	base, token string
	client      *http.Client
	load        *benchLoad
	stop        context.CancelFunc
	stopped     chan error
}

func newBenchHTTPTarget(ctx context.Context, a *app, load *benchLoad) (*benchHTTPTarget, error) {
	token, _, err := a.auth.IssueToken(ctx, load.actor.Ref.ID, load.actor.Workspace, "bench", time.Time{})
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	serving, stop := context.WithCancel(ctx)
	t := &benchHTTPTarget{
		base: "http://" + listener.Addr().String(), token: token, load: load, stop: stop, stopped: make(chan error, 1),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 128}, Timeout: 30 * time.Second},
	}
	go func() { t.stopped <- a.serve(serving, listener, nil) }()
	return t, nil
}

func (t *benchHTTPTarget) close() error {
	t.client.CloseIdleConnections()
	t.stop()
	return <-t.stopped
}

func (t *benchHTTPTarget) startAccepted(ctx context.Context, connection int64) error {
	body, err := json.Marshal(map[string]any{"sourceSurface": "bench", "providerConnectionId": connection})
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	url := fmt.Sprintf("%s/admin/t/%s/provider-actions/%s/start", t.base, t.load.tenants[connection], domain.OpGroupsSync)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+t.token)
	res, err := t.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the console: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	var outcome struct {
		Status domain.Outcome `json:"status"`
	}
	if err := json.Unmarshal(raw, &outcome); err != nil || outcome.Status != domain.Accepted {
		return fmt.Errorf("connection %d: %s %s, want %s", connection, res.Status, raw, domain.Accepted)
	}
	return nil
}
