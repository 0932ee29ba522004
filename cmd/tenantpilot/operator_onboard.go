package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tenantpilot/cmd/tenantpilot/internal/client"
	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/domain"
)

const onboardingPath = "/admin/onboarding"

func sessionPath(session int64, more string) string {
	return onboardingPath + "/" + strconv.FormatInt(session, 10) + more
}

func onboardCommand() *cobra.Command {
	verbs := []*cobra.Command{onboardList(), onboardShow(), onboardStart(), onboardConnection(), onboardCheck(), onboardBootstrap()}
	for _, v := range []onboardVerb{
		{"stop", "/stop-rest", "Take first operations that wait out of their queue", "What is running goes on, and so does the onboarding.", ""},
		{"take-over", "/take-over", "Go on with an onboarding that somebody else began", "", ""},
		{"complete", "/complete", "End an onboarding whose connection works", "", "why a degraded verification is acceptable; needed then"},
		{"abandon", "/abandon", "End an onboarding without finishing it", "What was set up stays; the directory can be onboarded again.", "why"},
	} {
		verbs = append(verbs, v.command())
	}
	return operatorGroup("onboard", "Bring customers' directories under management, step by step", verbs...)
}

// onboarding is a session as the console tells it.
type onboarding struct {
	ID           int64  `json:"onboarding_session_id"`
	Directory    string `json:"tenant_id"`
	Name         string `json:"name"`
	Domain       string `json:"domain"`
	State        string `json:"state"`
	Owner        string `json:"owner"`
	CurrentStep  string `json:"current_step"`
	Connection   *int64 `json:"provider_connection_id"`
	EndedReason  string `json:"ended_reason"`
	Verification *struct {
		Outcome    string `json:"outcome"`
		ReasonCode string `json:"reason_code"`
		Run        *int64 `json:"operation_run_id"`
		Status     string `json:"status"`
	} `json:"verification"`
	Steps []struct {
		Step       string `json:"step"`
		Label      string `json:"label"`
		State      string `json:"state"`
		ReasonCode string `json:"reason_code"`
		After      string `json:"after"`
	} `json:"steps"`
	Operations []struct {
		Operation  string `json:"operation_type"`
		State      string `json:"state"`
		ReasonCode string `json:"reason_code"`
		Run        *int64 `json:"operation_run_id"`
		Status     string `json:"status"`
	} `json:"operations"`
	StartedAt   time.Time `json:"started_at"`
	YouMay      string    `json:"you_may"`
	NeedsReason bool      `json:"needs_reason"`
}

// step is the label of a step, its name where the console did not give one.
func (s onboarding) step(name string) string {
	for _, step := range s.Steps {
		if step.Step == name {
			return step.Label
		}
	}
	return name
}

// reason is why the step that is due is blocked; zero where it is not.
func (s onboarding) reason() domain.Reason {
	for _, step := range s.Steps {
		if step.Step == s.CurrentStep && step.ReasonCode != "" {
			return domain.ReasonFor(domain.ReasonCode(step.ReasonCode))
		}
	}
	return domain.Reason{}
}

// begun says whether a first operation started, or waits for its turn.
func (s onboarding) begun() bool {
	for _, op := range s.Operations {
		if op.State == "admitted" || op.State == "pending" {
			return true
		}
	}
	return false
}

// mendConnection are the commands that remove what blocks the step of the connection.
var mendConnection = map[domain.ReasonCode]string{
	domain.ReasonProviderConnectionDisabled: "enable", domain.ReasonProviderConnectionReviewRequired: "review",
}

// next is what to do, as a command that is open to whoever asks; empty where there is none.
func (s onboarding) next() string {
	switch s.YouMay {
	case "take_over":
		return fmt.Sprintf("onboard take-over %d", s.ID)
	case "work":
	default:
		return ""
	}
	connection := int64(0)
	if s.Connection != nil {
		connection = *s.Connection
	}
	reason := s.reason()
	switch domain.OnboardingStep(s.CurrentStep) {
	case domain.StepConnection:
		if connection == 0 {
			return fmt.Sprintf("onboard connection %d", s.ID)
		}
		mend := mendConnection[reason.Code]
		if mend == "" && reason.Offers(domain.StepRotateCredential) {
			mend = "rotate"
		}
		return fmt.Sprintf("connections %s %d", cmp.Or(mend, "show"), connection)
	case domain.StepConsented:
		switch {
		case reason.Code == domain.ReasonProviderTenantNotFound:
			return fmt.Sprintf("onboard abandon %d", s.ID)
		case reason.Code != "" && !reason.Offers(domain.StepConsent):
			return fmt.Sprintf("onboard check %d --reconsent --wait", s.ID)
		}
		return fmt.Sprintf("consent link %d", connection)
	case domain.StepVerified:
		return fmt.Sprintf("onboard check %d --wait", s.ID)
	case domain.StepBootstrap:
		if !s.begun() {
			return fmt.Sprintf("onboard bootstrap %d --operation %s", s.ID, domain.OpGroupsSync)
		}
	}
	if s.NeedsReason {
		return fmt.Sprintf("onboard complete %d --reason 'why a degraded verification is acceptable'", s.ID)
	}
	return fmt.Sprintf("onboard complete %d", s.ID)
}

func onboardList() *cobra.Command {
	var o operator
	return o.verb("list", "List onboardings, those that go on first", "", func(ctx context.Context, _ []string) error {
		var list struct {
			Sessions []onboarding `json:"sessions"`
		}
		a, err := o.ask(ctx, client.Request{Path: onboardingPath}, &list)
		if err != nil {
			return err
		}
		return o.show(a, func() {
			if len(list.Sessions) == 0 {
				fmt.Fprintln(o.out, `Nothing was onboarded here yet: begin with "tenantpilot onboard start".`)
				return
			}
			o.table(func(w io.Writer) {
				fmt.Fprintln(w, "SESSION\tTENANT\tDIRECTORY\tSTATE\tSTEP\tOWNER\tBEGAN")
				for _, s := range list.Sessions {
					fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n",
						s.ID, s.Name, s.Directory, s.State, s.step(s.CurrentStep), s.Owner, narrate.Instant(s.StartedAt))
				}
			})
		})
	})
}

func onboardShow() *cobra.Command {
	var o operator
	return o.verb("show SESSION", "Show how far an onboarding is, and what is next", "", func(ctx context.Context, args []string) error {
		id, err := number("onboarding", args[0])
		if err != nil {
			return err
		}
		return o.session(ctx, client.Request{Path: sessionPath(id, "")})
	})
}

// session asks for something that is answered with the session, and prints it.
func (o *operator) session(ctx context.Context, r client.Request) error {
	var s onboarding
	a, err := o.ask(ctx, r, &s)
	if err != nil {
		return err
	}
	return o.show(a, func() { o.onboarding(s) })
}

func (o *operator) onboarding(s onboarding) {
	o.table(func(w io.Writer) {
		fmt.Fprintf(w, "Onboarding\t%d\t%s\n", s.ID, cmp.Or(s.Name, s.Domain))
		fmt.Fprintf(w, "Directory\t%s\n", s.Directory)
		fmt.Fprintf(w, "State\t%s\t%s\n", s.State, s.EndedReason)
		fmt.Fprintf(w, "Owner\t%s\n", s.Owner)
		if s.Connection != nil {
			fmt.Fprintf(w, "Connection\t%d\n", *s.Connection)
		}
		if v := s.Verification; v != nil {
			fmt.Fprintf(w, "Last check\t%s\t%s\n", v.Outcome, runWords(v.Run, v.Status, v.ReasonCode))
		}
	})
	fmt.Fprintln(o.out)
	o.table(func(w io.Writer) {
		fmt.Fprintln(w, "STEP\tSTATE\tWHY")
		for _, step := range s.Steps {
			why := reasonWords(step.ReasonCode)
			if step.After != "" {
				why = "after " + s.step(step.After)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", step.Label, step.State, why)
		}
	})
	if len(s.Operations) > 0 {
		fmt.Fprintln(o.out)
		o.table(func(w io.Writer) {
			fmt.Fprintln(w, "OPERATION\tSTATE\tRUN")
			for _, op := range s.Operations {
				fmt.Fprintf(w, "%s\t%s\t%s\n", op.Operation, strings.ReplaceAll(op.State, "_", " "), runWords(op.Run, op.Status, op.ReasonCode))
			}
		})
	}
	if next := s.next(); next != "" {
		fmt.Fprintf(o.out, "\nNext: tenantpilot %s\n", next)
	}
}

// runWords says which run it was and how it stands, or why there is none.
func runWords(run *int64, status, reason string) string {
	if run == nil {
		return reasonWords(reason)
	}
	return strings.TrimSpace(fmt.Sprintf("run %d %s %s", *run, status, reasonWords(reason)))
}

func reasonWords(code string) string {
	if code == "" {
		return ""
	}
	return domain.ReasonFor(domain.ReasonCode(code)).Short
}

func onboardStart() *cobra.Command {
	var o operator
	var s struct {
		Directory string `json:"entra_tenant_id"`
		Name      string `json:"name"`
		Domain    string `json:"domain,omitempty"`
	}
	cmd := o.verb("start", "Begin to onboard a directory, or go on with it",
		"A directory has one onboarding: one that is open is answered as it is.",
		func(ctx context.Context, _ []string) error {
			if _, err := uuid.Parse(s.Directory); err != nil {
				return usage(fmt.Errorf("--tenant %q is no directory id (a GUID)", s.Directory))
			}
			return o.session(ctx, client.Request{Method: http.MethodPost, Path: onboardingPath, Body: s})
		})
	f := cmd.Flags()
	f.StringVar(&s.Directory, "tenant", "", "directory id of the customer (a GUID)")
	f.StringVar(&s.Name, "name", "", "what people call the customer")
	f.StringVar(&s.Domain, "domain", "", "the customer's domain")
	return cmd
}

func onboardConnection() *cobra.Command {
	var o operator
	var use int64
	var name, kind, app string
	cmd := o.verb("connection SESSION", "Choose the onboarding's connection, or add one",
		"With --name a new connection is added; its credential comes afterwards, with \"connections rotate\". Otherwise it is the one that\n"+
			"--use names, or the tenant's default.",
		func(ctx context.Context, args []string) error {
			id, err := number("onboarding", args[0])
			if err != nil {
				return err
			}
			body := map[string]any{}
			switch {
			case use != 0 && (name != "" || app != ""):
				return usage(errors.New("either --use a connection or add one with --name"))
			case use != 0:
				body["provider_connection_id"] = use
			case name != "":
				body["display_name"], body["connection_type"], body["app_id"] = name, kind, app
			case app != "":
				return usage(errors.New("name the new connection: --name"))
			}
			return o.session(ctx, client.Request{Method: http.MethodPost, Path: sessionPath(id, "/connection"), Body: body})
		})
	f := cmd.Flags()
	f.Int64Var(&use, "use", 0, "number of a connection of the tenant (default: its default)")
	f.StringVar(&name, "name", "", "name of a connection to add")
	f.StringVar(&kind, "type", "platform", "of a connection to add: platform or dedicated")
	f.StringVar(&app, "app-id", "", "of a dedicated connection to add: its application (client) id")
	return cmd
}

func onboardCheck() *cobra.Command {
	var o operator
	var w waiting
	var reconsent bool
	cmd := w.checkFlags(o.verb("check SESSION", "Check the onboarding's connection, through the gate",
		"The same check as \"verify\", kept with the onboarding. With --wait, --json prints the run.",
		func(ctx context.Context, args []string) error {
			id, err := number("onboarding", args[0])
			if err == nil {
				err = w.complete()
			}
			if err != nil {
				return err
			}
			body := map[string]any{"step": string(domain.StepVerified)}
			if reconsent {
				body["reconsent"] = true
			}
			return o.start(ctx, w, client.Request{
				Method: http.MethodPost, Key: w.key, Body: body,
				Path: sessionPath(id, "/provider-actions/"+string(domain.OpConnectionCheck)+"/start"),
			})
		}))
	cmd.Flags().BoolVar(&reconsent, "reconsent", false, "check although consent is recorded as required or revoked: it was given since")
	return cmd
}

func onboardBootstrap() *cobra.Command {
	var o operator
	var w waiting
	var operations []string
	cmd := w.flags(o.verb("bootstrap SESSION", "Start first operations, one after another",
		"The first one starts now, through the gate; each other one when the one before it has ended. \"onboard show\" says how far they are.\n"+
			"An operation that runs already joins its run. While other work holds the connection all of them wait for their turn; only with --wait\n"+
			"that is exit code 4. --wait waits for the first one; with it, --json prints the run.",
		func(ctx context.Context, args []string) error {
			id, err := number("onboarding", args[0])
			if err == nil && len(operations) == 0 {
				err = usage(fmt.Errorf("name the operations, in order: --operation %s", domain.OpGroupsSync))
			}
			if err == nil {
				err = w.complete()
			}
			if err != nil {
				return err
			}
			var s onboarding
			if _, err := o.ask(ctx, client.Request{Path: sessionPath(id, "")}, &s); err != nil {
				return err
			}
			if s.Connection == nil {
				return fmt.Errorf("onboarding %d has no connection yet: tenantpilot onboard connection %d", id, id)
			}
			return o.start(ctx, w, client.Request{
				Method: http.MethodPost, Path: sessionPath(id, "/provider-bootstrap/start"), Key: w.key,
				Body: map[string]any{"providerConnectionId": *s.Connection, "selectedOperations": operations, "sourceSurface": "cli"},
			})
		}))
	cmd.Flags().StringArrayVar(&operations, "operation", nil, "operation type, for example directory_groups.sync; given again for the next")
	return cmd
}

// onboardVerb is one of the session's changes that need a reason at most.
type onboardVerb struct {
	name, path, short, long string
	reason                  string // help of --reason; empty has none
}

func (v onboardVerb) command() *cobra.Command {
	var o operator
	var reason string
	cmd := o.verb(v.name+" SESSION", v.short, v.long, func(ctx context.Context, args []string) error {
		id, err := number("onboarding", args[0])
		if err != nil {
			return err
		}
		body := map[string]string{}
		if reason != "" {
			body["reason"] = reason
		}
		return o.session(ctx, client.Request{Method: http.MethodPost, Path: sessionPath(id, v.path), Body: body})
	})
	if v.reason != "" {
		cmd.Flags().StringVar(&reason, "reason", "", v.reason)
	}
	return cmd
}
