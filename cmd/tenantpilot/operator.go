package main

import (
	"context"
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

	"github.com/spf13/cobra"

	"tenantpilot/cmd/tenantpilot/internal/client"
)

// operatorHelp ends the help of every verb that talks to a console.
const operatorHelp = `

The console is --server or TENANTPILOT_SERVER, the token is TENANTPILOT_TOKEN or the file that --token-file or TENANTPILOT_TOKEN_FILE
names; it is never an argument. With neither it is the demo in --data-dir, as its owner. You may do what the token's person may do in
the console. --json prints the console's answer as it came. What the console refuses is said on stderr.

Exit codes: 0 done (a start: accepted or joined), 1 refused or failed, 2 usage, 3 blocked, 4 scope busy, 5 the run did not succeed.`

// exitNotSucceeded is the exit code of the operator's verbs for a run that was waited for.
const exitNotSucceeded = 5

// operator is what all verbs that talk to a console share.
type operator struct {
	server, tokenFile, dataDir string
	asJSON                     bool

	console    *client.Console
	out, notes io.Writer
}

// operatorGroup is a command that has verbs and does nothing itself.
func operatorGroup(name, short string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage(fmt.Errorf("%s has no verb %q; see tenantpilot %s --help", name, args[0], name))
		}
		return cmd.Help()
	}}
	cmd.Long = short + "." + operatorHelp
	cmd.AddCommand(verbs...)
	return cmd
}

// verb makes a command that talks to a console. Its arguments are given by number: want is their names, in order.
func (o *operator) verb(use, short, long string, do func(ctx context.Context, args []string) error) *cobra.Command {
	want := strings.Fields(use)[1:]
	cmd := &cobra.Command{
		Use: use, Short: short, Long: strings.TrimSpace(short+".\n\n"+long) + operatorHelp,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != len(want) {
				return usage(fmt.Errorf("write: %s", cmd.UseLine()))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.out, o.notes = plainWriter{cmd.OutOrStdout()}, plainWriter{cmd.ErrOrStderr()}
			return o.explain(cmd.Context(), do(cmd.Context(), args))
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.server, "server", "", "address of the console (default: $TENANTPILOT_SERVER)")
	f.StringVar(&o.tokenFile, "token-file", "", "file with the API token (default: $TENANTPILOT_TOKEN, or the file $TENANTPILOT_TOKEN_FILE)")
	f.BoolVar(&o.asJSON, "json", false, "print the console's answer as JSON")
	dataDirFlag(cmd, &o.dataDir)
	return cmd
}

// connect finds the console and the token. A verb calls it when its arguments have been checked.
func (o *operator) connect() error {
	server, token, err := o.given()
	if err != nil {
		return usage(err)
	}
	if server == "" || token == "" {
		demo, err := readDemoFile(filepath.Join(o.dataDir, demoFileName))
		switch {
		case err != nil && server == "":
			return usage(errors.New("which console? Give --server or TENANTPILOT_SERVER, and TENANTPILOT_TOKEN or --token-file"))
		case server != "" && (err != nil || server != demo.BaseURL): // the demo's token is for the demo only
			return usage(fmt.Errorf("set TENANTPILOT_TOKEN or --token-file for the console at %s", server))
		}
		if server == "" {
			server = demo.BaseURL
		}
		if token == "" {
			token = demo.tokenOf("owner")
		}
	}
	if o.console, err = client.New(server, token); err != nil {
		return usage(err)
	}
	if o.console.InTheClear() {
		fmt.Fprintf(o.notes, "tenantpilot: the token travels unencrypted to %s\n", server)
	}
	return nil
}

// given is what flags and environment say; TENANTPILOT_URL is what `tenantpilot start` calls the address.
func (o *operator) given() (server, token string, err error) {
	for _, server = range []string{o.server, os.Getenv("TENANTPILOT_SERVER"), os.Getenv("TENANTPILOT_URL")} {
		if server != "" {
			break
		}
	}
	server = strings.TrimSuffix(server, "/")
	file := o.tokenFile
	if file == "" {
		if token = os.Getenv("TENANTPILOT_TOKEN"); token != "" {
			return server, token, nil
		}
		file = os.Getenv("TENANTPILOT_TOKEN_FILE")
	}
	if file == "" {
		return server, "", nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return server, "", fmt.Errorf("read token: %w", err)
	}
	if token = strings.TrimSpace(string(b)); token == "" {
		return server, "", fmt.Errorf("read token: %s is empty", file)
	}
	return server, token, nil
}

// ask asks the console once, after connecting, and decodes the answer.
func (o *operator) ask(ctx context.Context, r client.Request, into any) (client.Answer, error) {
	if o.console == nil {
		if err := o.connect(); err != nil {
			return client.Answer{}, err
		}
	}
	a, err := o.console.Do(ctx, r)
	if err != nil {
		return a, err
	}
	return a, a.Into(into)
}

// show prints the answer as it came, or else in words.
func (o *operator) show(a client.Answer, words func()) error {
	if !o.asJSON {
		words()
		return nil
	}
	return o.document(a)
}

// document prints the answer as it came: one JSON document.
func (o *operator) document(a client.Answer) error {
	body := strings.TrimRight(string(a.Body), "\n") + "\n"
	if _, err := io.WriteString(o.out.(plainWriter).Writer, body); err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	return nil
}

// explain gives an error its exit code, and says what can be done where the console does not know it.
func (o *operator) explain(ctx context.Context, err error) error {
	var p *client.Problem
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return errors.New("interrupted")
	case !errors.As(err, &p):
		return err
	}
	switch {
	case p.Code == "": // not a console's words
	case p.Status == http.StatusUnauthorized:
		return &advised{err, "Set TENANTPILOT_TOKEN, or --token-file, to a token of this console."}
	case p.Status == http.StatusPreconditionFailed:
		return &advised{err, "Nothing was saved. Look with \"connections show\" what is there now, and give the settings tag that it prints."}
	case p.Status == http.StatusBadRequest, p.Status == http.StatusUnprocessableEntity:
		return usage(err)
	}
	return err
}

// advised is an error with what can be done about it.
type advised struct {
	error
	advice string
}

func (a *advised) Error() string { return a.error.Error() + "\n  " + a.advice }

func (a *advised) Unwrap() error { return a.error }

// table prints aligned columns.
func (o *operator) table(rows func(w io.Writer)) {
	w := tabwriter.NewWriter(o.out, 0, 4, 2, ' ', 0)
	rows(w)
	_ = w.Flush()
}

// number reads the number of a thing.
func number(what, text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, usage(fmt.Errorf("%q is no number of a %s", text, what))
	}
	return n, nil
}

func connectionPath(number int64, more ...string) string {
	path := "/admin/provider-connections/" + strconv.FormatInt(number, 10)
	for _, m := range more {
		path += "/" + url.PathEscape(m)
	}
	return path
}
