package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tenantpilot/cmd/tenantpilot/internal/client"
	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

func connectionsCommand() *cobra.Command {
	verbs := []*cobra.Command{connectionsList(), connectionsShow(), connectionsCreate(), connectionsEdit(), connectionsRotate()}
	for _, change := range connectionVerbs {
		verbs = append(verbs, change.command())
	}
	return operatorGroup("connections", "Look at provider connections, add them and change them", verbs...)
}

func connectionsList() *cobra.Command {
	var o operator
	axes := map[string]*[]string{}
	cmd := o.verb("list", "List provider connections with lifecycle, consent and verification",
		`A filter can be given more than once: any of its values will do. A leading "-" excludes: --verification=-healthy.`,
		func(ctx context.Context, _ []string) error {
			query := url.Values{}
			for name, values := range axes {
				if len(*values) > 0 {
					query[name] = *values
				}
			}
			var list view.ConnectionBundle
			a, err := o.ask(ctx, client.Request{Path: view.ConnectionsHref, Query: query}, &list)
			if err != nil {
				return err
			}
			return o.show(a, func() { o.connections(list.Rows, len(query) > 0) })
		})
	for _, flag := range [][2]string{
		{"tenant", "directory id of a tenant, or part of its name or domain"},
		{"lifecycle", "enabled or disabled"},
		{"consent", "unknown, required, granted, failed or revoked"},
		{"verification", "unknown, pending, healthy, degraded, blocked or error"},
	} {
		axes[flag[0]] = cmd.Flags().StringArray(flag[0], nil, flag[1])
	}
	return cmd
}

func (o *operator) connections(rows []view.ConnectionRow, filtered bool) {
	if len(rows) == 0 {
		if filtered {
			fmt.Fprintln(o.out, "No connection matches.")
			return
		}
		fmt.Fprintln(o.out, `There is no connection yet: add one with "tenantpilot connections create".`)
		return
	}
	o.table(func(w io.Writer) {
		fmt.Fprintln(w, "ID\tTENANT\tNAME\tTYPE\tDEFAULT\tLIFECYCLE\tCONSENT\tVERIFICATION\tLAST CHECKED\tON HOLD")
		for _, r := range rows {
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s", r.ID, view.String(r.TenantLabel), r.DisplayName, r.ConnectionType, yesNo(r.IsDefault))
			for _, b := range r.State.Axes().Badges() {
				fmt.Fprintf(w, "\t%s", b.Word)
			}
			fmt.Fprintf(w, "\t%s\t%s\n", lastChecked(r.State), r.Held)
		}
	})
	noun := "connections"
	if len(rows) == 1 {
		noun = "connection"
	}
	fmt.Fprintf(o.out, "%d %s. \"tenantpilot connections show ID\" says more about one.\n", len(rows), noun)
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func lastChecked(s view.CanonicalConnectionState) string {
	return cmp.Or(view.String(s.Diagnostics.LastCheckedAt), "never")
}

func connectionsShow() *cobra.Command {
	var o operator
	return o.verb("show CONNECTION", "Show one provider connection",
		"The settings tag that it prints names the settings that you have seen; \"connections edit --if-match\" takes it.",
		func(ctx context.Context, args []string) error {
			id, err := number("connection", args[0])
			if err != nil {
				return err
			}
			var c view.ConnectionDetail
			a, err := o.ask(ctx, client.Request{Path: connectionPath(id)}, &c)
			if err != nil {
				return err
			}
			return o.show(a, func() { o.connection(c, a) })
		})
}

// connection prints one connection.
func (o *operator) connection(c view.ConnectionDetail, a client.Answer) {
	d := c.State.Diagnostics
	o.table(func(w io.Writer) {
		fmt.Fprintf(w, "Connection\t%d\t%s\n", c.ID, c.DisplayName)
		fmt.Fprintf(w, "Type\t%s\t%s\n", c.ConnectionType, map[string]string{
			"platform_app": "signs in as our multi-tenant app", "customer_app": "signs in as an app registration of the customer's own",
		}[view.String(c.EffectiveAppSource)])
		fmt.Fprintf(w, "App id\t%s\n", cmp.Or(view.String(c.EffectiveAppID), "none"))
		fmt.Fprintf(w, "Default\t%s\n", yesNo(c.IsDefault))
		for _, b := range c.State.Axes().Badges() {
			fmt.Fprintf(w, "%s\t%s", b.Axis, b.Word)
			if b.Axis == "Consent" && d.ConsentErrorMessage != nil {
				fmt.Fprintf(w, "\t%s", *d.ConsentErrorMessage)
			}
			if b.Axis == "Verification" && d.LastErrorMessage != nil {
				fmt.Fprintf(w, "\t%s", *d.LastErrorMessage)
			}
			fmt.Fprintln(w)
		}
		for _, h := range c.Holds {
			fmt.Fprintf(w, "On hold\t%s\t%s\n", map[string]string{"tenant": "with its tenant, ", "connection": ""}[h.Of]+until(h.Until), h.Reason)
		}
		fmt.Fprintf(w, "Credential\t%s\n", credentialWords(c.Credential))
		fmt.Fprintf(w, "Last checked\t%s\n", lastChecked(c.State))
		if tag := a.Header.Get("ETag"); tag != "" {
			fmt.Fprintf(w, "Settings tag\t%s\n", strings.Trim(tag, `"`))
		}
		fmt.Fprintf(w, "Page\t%s\n", o.console.URL(connectionPath(c.ID)))
	})
	if d.MigrationReviewRequired {
		fmt.Fprintf(o.out, "It was imported and has to be reviewed: tenantpilot connections review %d\n", c.ID)
	}
}

func until(end *time.Time) string {
	if end == nil {
		return "until it is released"
	}
	return "until " + narrate.Instant(*end)
}

func credentialWords(c *view.ConnectionCredential) string {
	switch {
	case c == nil:
		return "none"
	case c.ExpiresAt == nil:
		return view.CredentialKind(c.Kind)
	}
	return view.CredentialKind(c.Kind) + ", good " + until(c.ExpiresAt)
}

// connectionSettings are those of a connection: identifiers only.
type connectionSettings struct {
	Tenant         string `json:"tenant,omitempty"` // of a new connection only
	DisplayName    string `json:"displayName"`
	ConnectionType string `json:"connectionType"`
	AppID          string `json:"appId"`
}

func connectionsCreate() *cobra.Command {
	var o operator
	var s connectionSettings
	cmd := o.verb("create", "Add a provider connection to a tenant",
		"Identifiers only: the credential of a dedicated connection comes afterwards, with \"connections rotate\". The first connection of a\n"+
			"tenant becomes its default.",
		func(ctx context.Context, _ []string) error {
			if _, err := uuid.Parse(s.Tenant); err != nil {
				return usage(fmt.Errorf("--tenant %q is no directory id (a GUID)", s.Tenant))
			}
			if s.DisplayName == "" {
				return usage(errors.New("name the connection: --name"))
			}
			var c view.ConnectionDetail
			a, err := o.ask(ctx, client.Request{Method: http.MethodPost, Path: view.ConnectionsHref, Body: s}, &c)
			if err != nil {
				return err
			}
			return o.show(a, func() {
				o.connection(c, a)
				fmt.Fprintf(o.out, "Created. Next: tenantpilot %s %d\n", nextAfterCreation(c), c.ID)
			})
		})
	f := cmd.Flags()
	f.StringVar(&s.Tenant, "tenant", "", "directory id of the tenant (a GUID)")
	f.StringVar(&s.DisplayName, "name", "", "what people call the connection")
	f.StringVar(&s.ConnectionType, "type", "platform", "platform: our multi-tenant app; dedicated: an app registration of the customer's own")
	f.StringVar(&s.AppID, "app-id", "", "application (client) id, for a dedicated connection")
	return cmd
}

func nextAfterCreation(c view.ConnectionDetail) string {
	if c.ConnectionType == "dedicated" {
		return "connections rotate"
	}
	return "consent link"
}

func connectionsEdit() *cobra.Command {
	var o operator
	var s connectionSettings
	var seen string
	var cmd *cobra.Command
	cmd = o.verb("edit CONNECTION", "Change a connection's name, type or app id",
		"What is not given stays. Another type or app id is another app registration: the credential has to be set anew, and consent and\n"+
			"verification become unknown. With --if-match nothing is saved when somebody has changed the settings since \"connections show\"\n"+
			"printed that tag.",
		func(ctx context.Context, args []string) error {
			id, err := number("connection", args[0])
			if err != nil {
				return err
			}
			given := cmd.Flags().Changed
			if !given("name") && !given("type") && !given("app-id") {
				return usage(errors.New("nothing to change: give --name, --type or --app-id"))
			}
			var c view.ConnectionDetail
			a, err := o.ask(ctx, client.Request{Path: connectionPath(id, "edit")}, &c)
			if err != nil {
				return err
			}
			wanted := connectionSettings{DisplayName: c.DisplayName, ConnectionType: c.ConnectionType, AppID: view.String(c.EffectiveAppID)}
			for flag, value := range map[string][2]*string{
				"name": {&wanted.DisplayName, &s.DisplayName}, "app-id": {&wanted.AppID, &s.AppID},
				"type": {&wanted.ConnectionType, &s.ConnectionType},
			} {
				if given(flag) {
					*value[0] = *value[1]
				}
			}
			before := c
			tag := a.Header.Get("ETag") // of what was just read, so that nobody's change in between is overwritten
			if seen != "" {
				tag = `"` + strings.Trim(seen, `"`) + `"`
			}
			a, err = o.ask(ctx, client.Request{Method: http.MethodPut, Path: connectionPath(id), Body: wanted, IfMatch: tag}, &c)
			if err != nil {
				return err
			}
			return o.show(a, func() {
				o.connection(c, a)
				fmt.Fprintln(o.out, "Saved.")
				if c.ConnectionType != before.ConnectionType || view.String(c.EffectiveAppID) != view.String(before.EffectiveAppID) {
					fmt.Fprintf(o.out, "It is another app registration: its consent and verification are unknown now, and a credential of the one before is gone.\n"+
						"Next: tenantpilot %s %d\n", nextAfterCreation(c), c.ID)
				}
			})
		})
	f := cmd.Flags()
	f.StringVar(&s.DisplayName, "name", "", "what people call the connection")
	f.StringVar(&s.ConnectionType, "type", "", "platform or dedicated")
	f.StringVar(&s.AppID, "app-id", "", "application (client) id")
	f.StringVar(&seen, "if-match", "", "settings tag that you have seen (default: that of this moment)")
	return cmd
}

func connectionsRotate() *cobra.Command {
	var o operator
	var kind, file, expires string
	cmd := o.verb("rotate CONNECTION", "Set a new credential",
		"The credential is read from --secret-file, or from standard input; never from an argument, which others on the machine could see.\n"+
			"The console seals it and shows it to nobody; the verification becomes unknown.\n\n"+
			"  tenantpilot connections rotate 12 --expires 2027-01-31 < secret.txt",
		func(ctx context.Context, args []string) error {
			id, err := number("connection", args[0])
			if err != nil {
				return err
			}
			var secret string
			switch kind {
			case "federated", "platform":
			case "secret", "certificate":
				if secret, err = readSecret(file, os.Stdin); err != nil {
					return usage(err)
				}
				if secret == "" {
					return usage(errors.New("the credential is empty: give it in --secret-file or on standard input"))
				}
			default:
				return usage(fmt.Errorf("--kind %q is none of secret, certificate, federated and platform", kind))
			}
			body := map[string]string{"kind": kind, "secret": secret, "expiresAt": expires}
			var c view.ConnectionDetail
			a, err := o.ask(ctx, client.Request{Method: http.MethodPost, Path: connectionPath(id, "credential"), Body: body}, &c)
			if err != nil {
				return err
			}
			return o.show(a, func() {
				fmt.Fprintf(o.out, "The credential of %s is set. Verify that it works: tenantpilot verify %d --wait\n", c.DisplayName, c.ID)
			})
		})
	f := cmd.Flags()
	f.StringVar(&kind, "kind", "secret", "secret, certificate (PEM with its private key), federated (the workers' token file) or platform (the platform's own)")
	f.StringVar(&file, "secret-file", "", "file with the credential (default: standard input)")
	f.StringVar(&expires, "expires", "", "when it expires, as 2027-01-31; a certificate says it by itself")
	return cmd
}

// readSecret reads a credential from a file or what is piped in. It does not wait at a terminal, which would show what is typed.
func readSecret(file string, in *os.File) (string, error) {
	const most = 32 << 10 // what a console takes
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("read credential: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	} else if info, err := in.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return "", errors.New("pipe the credential in, or name its file with --secret-file: typed at a terminal it would be seen")
	}
	b, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return "", fmt.Errorf("read credential: %w", err)
	}
	if len(b) > most {
		return "", fmt.Errorf("the credential has more than %d bytes", most)
	}
	return strings.TrimSpace(string(b)), nil
}

// connectionVerb is one of the changes that a console makes at .../changes/{change}.
type connectionVerb struct {
	change string
	short  string
	long   string
	reason bool // required
	until  bool // can be given
	done   string
}

var connectionVerbs = []connectionVerb{
	{
		change: "enable", short: "Let operations start on a connection again",
		done: "%s is enabled: operations may start on it unless something else keeps them. Consent and verification are as they were.",
	},
	{
		change: "disable", short: "Let nothing start on a connection", long: "What is under way goes on.", reason: true,
		done: "%s is disabled: nothing starts on it until it is enabled again.",
	},
	{
		change: "hold", short: "Let nothing start on a connection for a while, checks included",
		long: "What is under way goes on. Needs the right to hold.", reason: true, until: true,
		done: "%s is on hold: nothing starts on it until the hold ends or is released.",
	},
	{
		change: "release", short: "End a connection's hold", long: "Needs the right to hold.", reason: true,
		done: "The hold of %s is released: operations may start on it unless something else keeps them.",
	},
	{
		change: "default", short: "Make a connection its tenant's default",
		done: "%s is the default: operations that name no connection use it.",
	},
	{
		change: "review", short: "Complete the review of an imported connection", long: "You confirm that its type and app id are the tenant's.",
		done: "The review of %s is complete: operations may start on it unless something else keeps them.",
	},
}

func (v connectionVerb) command() *cobra.Command {
	var o operator
	var reason, until string
	long := strings.TrimSpace(v.long + " What is so already stays so.")
	cmd := o.verb(v.change+" CONNECTION", v.short, long, func(ctx context.Context, args []string) error {
		id, err := number("connection", args[0])
		if err != nil {
			return err
		}
		body := map[string]string{}
		if v.reason && strings.TrimSpace(reason) == "" {
			return usage(errors.New("say why, for everybody who meets it: --reason"))
		}
		if reason != "" {
			body["reason"] = reason
		}
		if until != "" {
			if _, err := time.Parse(time.RFC3339, until); err != nil {
				return usage(fmt.Errorf("--until %q is no time such as 2026-11-21T14:00:00Z", until))
			}
			body["until"] = until
		}
		var c view.ConnectionDetail
		path := connectionPath(id, "changes", v.change)
		a, err := o.ask(ctx, client.Request{Method: http.MethodPost, Path: path, Body: body}, &c)
		if err != nil {
			return err
		}
		return o.show(a, func() { fmt.Fprintf(o.out, v.done+"\n", c.DisplayName) })
	})
	if v.reason {
		cmd.Flags().StringVar(&reason, "reason", "", "why; shown to everybody who meets it")
	}
	if v.until {
		cmd.Flags().StringVar(&until, "until", "", "when the hold ends by itself, as 2026-11-21T14:00:00Z (default: when it is released)")
	}
	return cmd
}
