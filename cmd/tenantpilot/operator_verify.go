package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tenantpilot/cmd/tenantpilot/internal/client"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/domain"
)

// waiting is what the verbs that start a run have in common.
type waiting struct {
	key     string
	wait    bool
	healthy bool // a check that found anything else counts as one that did not succeed
	timeout time.Duration
}

func (w *waiting) flags(cmd *cobra.Command) *cobra.Command {
	f := cmd.Flags()
	f.BoolVar(&w.wait, "wait", false, "wait until the run has ended, and print what it found")
	f.DurationVar(&w.timeout, "timeout", 15*time.Minute, "how long to wait at most; the run goes on")
	f.StringVar(&w.key, "idempotency-key", "", "a UUID; the same key again gets the first answer (default: a fresh one)")
	return cmd
}

// checkFlags are those of a check of a connection.
func (w *waiting) checkFlags(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&w.healthy, "healthy", false, "with --wait: exit code 5 also when the check found the connection not healthy")
	return w.flags(cmd)
}

// complete checks the flags and draws the attempt's key.
func (w *waiting) complete() error {
	if w.key == "" {
		w.key = uuid.NewString()
	} else if _, err := uuid.Parse(w.key); err != nil {
		return usage(fmt.Errorf("--idempotency-key %q is no UUID", w.key))
	}
	if w.timeout <= 0 {
		return usage(errors.New("--timeout is a time such as 10m"))
	}
	if w.healthy && !w.wait {
		return usage(errors.New("--healthy is about what a check finds: give --wait too"))
	}
	return nil
}

func verifyCommand() *cobra.Command {
	var o operator
	var w waiting
	return w.checkFlags(o.verb("verify CONNECTION", "Check a provider connection, through the gate",
		"Starts provider.connection.check: can we sign in, is consent there, which permissions are granted? With --wait, --json prints the\n"+
			"run. A check that finds out that the connection cannot be used has succeeded as a run; --healthy asks for more.",
		func(ctx context.Context, args []string) error {
			id, err := number("connection", args[0])
			if err == nil {
				err = w.complete()
			}
			if err != nil {
				return err
			}
			return o.start(ctx, w, client.Request{
				Method: http.MethodPost, Path: connectionPath(id, "actions", string(domain.OpConnectionCheck), "start"), Key: w.key,
			})
		}))
}

// start asks for a run, says what the gate answered, and waits for the run when that is wanted. A start that waits for its turn is no refusal,
// but not what --wait asked for.
func (o *operator) start(ctx context.Context, w waiting, r client.Request) error {
	var outcome view.BootstrapOutcome
	a, err := o.ask(ctx, r, &outcome)
	if err != nil {
		return keyAgain(ctx, err, w.key)
	}
	runs := outcome.Run != nil && (outcome.Status == "accepted" || outcome.Status == "deduped")
	if w.wait && runs {
		if !o.asJSON {
			printOutcome(o.out, o.console.URL(""), outcome.StartOutcome)
		}
		return o.await(ctx, w, outcome.Run.ID)
	}
	if err := o.show(a, func() { printOutcome(o.out, o.console.URL(""), outcome.StartOutcome) }); err != nil {
		return err
	}
	switch {
	case outcome.Status == "blocked":
		return &exitCode{code: exitBlocked}
	case outcome.Status == "scope_busy" && (w.wait || len(outcome.PendingOperations) == 0):
		return &exitCode{code: exitBusy}
	}
	return nil
}

// keyAgain says, where it is open whether a start was carried out, how to find out.
func keyAgain(ctx context.Context, err error, key string) error {
	var away *client.Unreachable
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		err = errors.New("interrupted")
	case !errors.As(err, &away) || away.NotSent:
		return err
	}
	return fmt.Errorf("%w; send --idempotency-key %s again to learn whether it started", err, key)
}

// await follows a run to its end and reports what came of it.
func (o *operator) await(ctx context.Context, w waiting, run int64) error {
	waitCtx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	var detail view.RunDetail
	said := ""
	a, err := o.console.Poll(waitCtx, client.Request{Path: view.RunHref(run)}, func(a client.Answer) (bool, error) {
		if err := a.Into(&detail); err != nil {
			return false, err
		}
		if now := strings.ToLower(view.ExecutionBadge(detail.ExecutionStatus).Word); now != said && detail.Outcome == nil && !o.asJSON {
			said = now
			fmt.Fprintf(o.notes, "run %d: %s\n", run, now)
		}
		return detail.ExecutionStatus == "completed", nil
	})
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("interrupted; run %d goes on, see %s", run, o.console.URL(view.RunHref(run)))
	case waitCtx.Err() != nil && err != nil:
		return fmt.Errorf("run %d has not ended within %s; it goes on, see %s", run, w.timeout, o.console.URL(view.RunHref(run)))
	case err != nil:
		return err
	}
	succeeded := view.String(detail.Outcome) == string(domain.Succeeded)
	var found *view.ConsentDetail
	if detail.OperationType == string(domain.OpConnectionCheck) && detail.ProviderConnection != nil && (w.healthy || !o.asJSON) {
		now, _, err := o.consent(ctx, detail.ProviderConnection.ID)
		if err != nil {
			return err
		}
		found = &now
		succeeded = succeeded && (!w.healthy || view.String(now.State.VerificationStatus) == string(domain.VerificationHealthy))
	}
	if o.asJSON {
		err = o.document(a)
	} else {
		o.report(detail, found)
	}
	if err == nil && !succeeded {
		err = &exitCode{code: exitNotSucceeded}
	}
	return err
}

// report prints how a run ended, and of a check what it found.
func (o *operator) report(d view.RunDetail, found *view.ConsentDetail) {
	line := fmt.Sprintf("Run %d: %s.", d.RunID, strings.ToLower(view.OutcomeBadge(view.String(d.Outcome)).Word))
	if d.ShortReason != nil {
		line += " " + *d.ShortReason
	}
	fmt.Fprintln(o.out, line)
	o.table(func(w io.Writer) { nextSteps(w, o.console.URL(""), d.NextSteps) })
	if found == nil {
		return
	}
	fmt.Fprintf(o.out, "%s: %s\n", found.ProviderConnection.Label, verificationSentence(*found))
	o.consentState(*found)
}

func verificationSentence(c view.ConsentDetail) string {
	var missing []string
	for _, p := range c.Permissions {
		if p.Granted != nil && !*p.Granted {
			missing = append(missing, p.Permission)
		}
	}
	why := view.String(c.State.Diagnostics.LastErrorMessage)
	switch domain.VerificationState(view.String(c.State.VerificationStatus)) {
	case domain.VerificationHealthy:
		return "it works, and everything that operations need is granted."
	case domain.VerificationDegraded:
		if len(missing) > 0 {
			return "it works, but lacks " + strings.Join(missing, ", ") + "."
		}
		return strings.TrimSpace("it works, but not for everything. " + why)
	case domain.VerificationBlocked:
		return strings.TrimSpace("it cannot be used. " + why)
	}
	return strings.TrimSpace("whether it works is not known. " + why)
}
