package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tenantpilot/cmd/tenantpilot/internal/client"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

// startRequest is what the flags of `tenantpilot start` say.
type startRequest struct {
	baseURL, token, dataDir      string
	tenant, operation            string
	selectionKey, idempotencyKey string
	connection                   int64
	reconsent, asJSON            bool
}

func startCommand() *cobra.Command {
	var r startRequest
	cmd := &cobra.Command{
		Use: "start", Short: "Start an operation through the console's API", Args: noArgs,
		Long: `Ask a running console to start an operation, and print which of the four outcomes it answered.

The console is --url or TENANTPILOT_URL, the token TENANTPILOT_TOKEN or the file TENANTPILOT_TOKEN_FILE names. Without them it is the
demo in --data-dir, with its operator's token.

Exit codes: 0 accepted or deduped, 1 error, 2 usage, 3 blocked, 4 scope busy, 5 not found or not allowed.`,
		Example: `  tenantpilot start --tenant 5c2b1c1e-... --operation directory_groups.sync
  tenantpilot start --tenant 5c2b1c1e-... --operation provider.connection.check --json`,
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	f.StringVar(&r.tenant, "tenant", "", "directory id of the tenant (a GUID)")
	f.StringVar(&r.operation, "operation", "", "operation type, for example directory_groups.sync")
	f.Int64Var(&r.connection, "connection", 0, "number of the provider connection (default: the tenant's default connection)")
	f.StringVar(&r.selectionKey, "selection-key", "", "which groups to sync (default: all_groups_v1)")
	f.BoolVar(&r.reconsent, "reconsent", false, "check although consent is recorded as required or revoked: you have consented since")
	f.StringVar(&r.idempotencyKey, "idempotency-key", "", "a UUID; the same key again gets the first answer (default: a fresh one)")
	f.StringVar(&r.baseURL, "url", os.Getenv("TENANTPILOT_URL"), "base URL of the console")
	f.BoolVar(&r.asJSON, "json", false, "print the answer as JSON")
	dataDirFlag(cmd, &r.dataDir)
	return cmd
}

func (r *startRequest) run(ctx context.Context, out io.Writer) error {
	if err := r.complete(); err != nil {
		return err
	}
	answer, err := r.send(ctx)
	if err != nil {
		return err
	}
	var o view.StartOutcome
	if err := json.Unmarshal(answer, &o); err != nil {
		return fmt.Errorf("read the console's answer: %w", err)
	}
	if r.asJSON {
		fmt.Fprintln(out, string(bytes.TrimSpace(answer)))
	} else {
		printOutcome(out, strings.TrimSuffix(r.baseURL, "/"), o)
	}
	switch o.Status {
	case "blocked":
		return &exitCode{code: exitBlocked}
	case "scope_busy":
		return &exitCode{code: exitBusy}
	}
	return nil
}

// complete checks the flags and fills in the demo's address and token.
func (r *startRequest) complete() error {
	if r.tenant == "" || r.operation == "" {
		return usage(errors.New("name the tenant and the operation: --tenant GUID --operation TYPE"))
	}
	if _, err := uuid.Parse(r.tenant); err != nil {
		return usage(fmt.Errorf("--tenant %q is no directory id (a GUID)", r.tenant))
	}
	if r.idempotencyKey == "" {
		r.idempotencyKey = uuid.NewString()
	} else if _, err := uuid.Parse(r.idempotencyKey); err != nil {
		return usage(fmt.Errorf("--idempotency-key %q is no UUID", r.idempotencyKey))
	}
	r.token = os.Getenv("TENANTPILOT_TOKEN")
	if file := os.Getenv("TENANTPILOT_TOKEN_FILE"); file != "" && r.token == "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read token: %w", err)
		}
		r.token = strings.TrimSpace(string(b))
	}
	if r.baseURL != "" && r.token != "" {
		return nil
	}
	return r.completeFromDemo()
}

func (r *startRequest) completeFromDemo() error {
	demo, err := readDemoFile(filepath.Join(r.dataDir, demoFileName))
	if err != nil {
		return usage(fmt.Errorf("which console? Set TENANTPILOT_URL and TENANTPILOT_TOKEN, or start `tenantpilot demo`: %w", err))
	}
	if r.baseURL == "" {
		r.baseURL = demo.BaseURL
	} else if r.baseURL != demo.BaseURL {
		return usage(errors.New("set TENANTPILOT_TOKEN for the console at " + r.baseURL)) // the demo's token is for the demo only
	}
	if r.token == "" {
		r.token = demo.tokenOf("operator")
	}
	return nil
}

func (r *startRequest) send(ctx context.Context) ([]byte, error) {
	body := map[string]any{"sourceSurface": "cli"}
	if r.connection != 0 {
		body["providerConnectionId"] = r.connection
	}
	inputs := map[string]any{}
	if r.selectionKey != "" {
		inputs["selectionKey"] = r.selectionKey
	}
	if r.reconsent {
		inputs["reconsent"] = true
	}
	if len(inputs) > 0 {
		body["targetContext"] = inputs
	}
	console, err := client.New(r.baseURL, r.token)
	if err != nil {
		return nil, usage(err)
	}
	answer, err := console.Do(ctx, client.Request{
		Method: http.MethodPost, Body: body, Key: r.idempotencyKey,
		Path: "/admin/t/" + url.PathEscape(r.tenant) + "/provider-actions/" + url.PathEscape(r.operation) + "/start",
	})
	var away *client.Unreachable
	var p *client.Problem
	switch {
	case errors.As(err, &away) && !away.NotSent:
		return nil, fmt.Errorf("%w; send --idempotency-key %s again to learn whether it started", err, r.idempotencyKey)
	case !errors.As(err, &p):
		return answer.Body, err
	case p.Status == http.StatusNotFound, p.Status == http.StatusForbidden:
		return nil, &exitCode{exitNotFound, err}
	case p.Status == http.StatusBadRequest, p.Status == http.StatusUnprocessableEntity:
		return nil, usage(err)
	}
	return nil, err
}

// printOutcome says what the gate answered; base is where the addresses in it are.
func printOutcome(out io.Writer, base string, o view.StartOutcome) {
	fmt.Fprintf(out, "%s: %s\n", o.Status, o.OperatorMessage)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	if o.Run != nil {
		fmt.Fprintf(w, "run\t%s\t%s\n", strconv.FormatInt(o.Run.ID, 10), base+o.Run.URL)
	}
	if o.ProviderConnection != nil {
		fmt.Fprintf(w, "connection\t%d\t%s\n", o.ProviderConnection.ID, o.ProviderConnection.Label)
	}
	nextSteps(w, base, o.NextSteps)
	_ = w.Flush()
}

func nextSteps(w io.Writer, base string, steps []view.NextStep) {
	for i, step := range steps {
		where := view.String(step.Href)
		if strings.HasPrefix(where, "/") {
			where = base + where
		}
		fmt.Fprintf(w, "next %d\t%s\t%s\n", i+1, step.Label, where)
	}
}
