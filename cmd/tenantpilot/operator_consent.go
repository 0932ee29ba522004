package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"tenantpilot/cmd/tenantpilot/internal/client"
	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/domain"
)

func consentCommand() *cobra.Command {
	return operatorGroup("consent", "Ask customers for admin consent, and find out whether they gave it",
		consentLinkVerb(), consentStatusVerb(), consentRecheckVerb())
}

func consentLinkVerb() *cobra.Command {
	var o operator
	return o.verb("link CONNECTION", "Make a link for an administrator of the customer",
		"The link is shown once and can be opened for 15 minutes. The administrator who accepts is thanked and sent away: their browser is\n"+
			"not yours, so what it says is not believed. \"consent recheck\" finds out.",
		func(ctx context.Context, args []string) error {
			id, err := number("connection", args[0])
			if err != nil {
				return err
			}
			var c view.ConsentDetail
			a, err := o.ask(ctx, client.Request{Method: http.MethodPost, Path: view.ConsentHref(id) + "/request", Body: struct{}{}}, &c)
			if err != nil {
				return err
			}
			if c.Link == nil {
				return fmt.Errorf("the console made no link for connection %d", id)
			}
			return o.show(a, func() {
				fmt.Fprintf(o.out, "Send this link to a Global Administrator of %s. It can be opened until %s:\n\n  %s\n\n",
					c.TenantLabel, narrate.Instant(c.Link.ExpiresAt), c.Link.URL)
				fmt.Fprintln(o.out, "It asks for:")
				o.permissions(c)
				fmt.Fprintf(o.out, "\nWhen they have accepted: tenantpilot consent recheck %d --wait\n", id)
			})
		})
}

func consentStatusVerb() *cobra.Command {
	var o operator
	const short = "Say where a connection stands with the customer's consent"
	return o.verb("status CONNECTION", short, "", func(ctx context.Context, args []string) error {
		id, err := number("connection", args[0])
		if err != nil {
			return err
		}
		c, a, err := o.consent(ctx, id)
		if err != nil {
			return err
		}
		return o.show(a, func() {
			fmt.Fprintf(o.out, "%s: %s\n", c.TenantLabel, c.OperatorMessage)
			if c.ShortReason != nil {
				fmt.Fprintln(o.out, *c.ShortReason)
			}
			if r := c.Request; r != nil {
				fmt.Fprintf(o.out, "%s made a link at %s. %s\n", r.RequestedBy, narrate.Instant(r.RequestedAt), linkState(*r, id))
			}
			if c.Check != nil {
				fmt.Fprintf(o.out, "A check is under way: %s\n", o.console.URL(c.Check.URL))
			}
			o.consentState(c)
		})
	})
}

func linkState(r view.ConsentRequest, connection int64) string {
	switch r.State {
	case "open":
		return "It waits for an answer until " + narrate.Instant(r.ExpiresAt) + "."
	case "answered":
		return "It was answered."
	case "elsewhere":
		return fmt.Sprintf("It was opened in another browser, which proves nothing; find out: tenantpilot consent recheck %d --wait", connection)
	}
	return "Nobody answered it in time."
}

func (o *operator) consent(ctx context.Context, connection int64) (c view.ConsentDetail, a client.Answer, err error) {
	a, err = o.ask(ctx, client.Request{Path: view.ConsentHref(connection)}, &c)
	return c, a, err
}

// consentState prints the axes of a connection and what is granted.
func (o *operator) consentState(c view.ConsentDetail) {
	o.table(func(w io.Writer) {
		for _, b := range c.State.Axes().Badges() {
			fmt.Fprintf(w, "%s\t%s\n", b.Axis, b.Word)
		}
		fmt.Fprintf(w, "Last checked\t%s\n", lastChecked(c.State))
	})
	fmt.Fprintln(o.out)
	o.permissions(c)
}

func (o *operator) permissions(c view.ConsentDetail) {
	o.table(func(w io.Writer) {
		fmt.Fprintln(w, "PERMISSION\tGRANTED\tLETS US\tNEEDED FOR")
		for _, p := range c.Permissions {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.Permission, grantWord(p.Granted), p.Description, p.NeededFor)
		}
	})
}

func grantWord(granted *bool) string {
	if granted == nil {
		return "not known"
	}
	return yesNo(*granted)
}

func consentRecheckVerb() *cobra.Command {
	var o operator
	var w waiting
	return w.checkFlags(o.verb("recheck CONNECTION", "Check whether consent was given, because you know that it was",
		"Starts provider.connection.check like \"verify\", also where consent is recorded as required, failed or revoked. With --wait, --json\n"+
			"prints the run.",
		func(ctx context.Context, args []string) error {
			id, err := number("connection", args[0])
			if err == nil {
				err = w.complete()
			}
			if err != nil {
				return err
			}
			c, _, err := o.consent(ctx, id) // says which tenant it is: the gate takes "reconsent" there
			if err != nil {
				return err
			}
			return o.start(ctx, w, client.Request{
				Method: http.MethodPost, Key: w.key,
				Path: "/admin/t/" + url.PathEscape(c.TenantExternalID) + "/provider-actions/" + string(domain.OpConnectionCheck) + "/start",
				Body: map[string]any{"providerConnectionId": id, "sourceSurface": "cli", "targetContext": map[string]any{"reconsent": true}},
			})
		}))
}
