package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/projections"
)

func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", Short: "Issue, list, rotate and revoke API tokens", Args: noArgs,
		Long: `Issue, list, rotate and revoke API tokens, at the server. People make their own in the console, under settings.

A token never does more than its owner may at that moment. Its secret is printed once; only a hash is stored. Issuing, rotating and
revoking are events of the workspace. The database is TENANTPILOT_DATABASE_URL (the application's role), or else the running demo's.`,
	}
	cmd.AddCommand(tokenIssueCommand(), tokenListCommand(), tokenRotateCommand(), tokenRevokeCommand())
	return cmd
}

// tokenDesk is what the token commands work with.
type tokenDesk struct {
	auth *auth.Service
	log  *commands.Handler
	read projections.Reader
}

func withTokens(ctx context.Context, dataDir string, do func(tokenDesk) error) error {
	return withPool(ctx, dataDir, func(pool *pgxpool.Pool) error {
		store := eventstore.Open(pool, eventstore.Config{})
		defer store.Close()
		err := do(tokenDesk{auth.New(pool, auth.Config{}), commands.New(store, nil), projections.NewReader(pool)})
		if refusal, ok := domain.AsRefusal(err); ok {
			if len(refusal.Fields) > 0 {
				return usage(errors.New(refusal.Fields[0].Message))
			}
			return &exitCode{exitNotFound, errors.New(refusal.Text)}
		}
		return err
	})
}

// owner finds a person and the workspace that is meant: the one named, or their only one.
func (d tokenDesk) owner(ctx context.Context, email, workspace string) (uuid.UUID, uuid.UUID, error) {
	person, err := d.auth.FindPerson(ctx, email)
	if errors.Is(err, auth.ErrNoPerson) {
		return person, uuid.Nil, &exitCode{exitNotFound, err}
	}
	if err != nil {
		return person, uuid.Nil, err
	}
	workspaces, err := d.auth.WorkspacesOf(ctx, person)
	if err != nil {
		return person, uuid.Nil, err
	}
	for _, w := range workspaces {
		if workspace == "" && len(workspaces) == 1 || workspace == w.String() {
			return person, w, nil
		}
	}
	if workspace == "" && len(workspaces) > 1 {
		return person, uuid.Nil, usage(fmt.Errorf("this person is in %d workspaces: name one with --workspace", len(workspaces)))
	}
	return person, uuid.Nil, &exitCode{exitNotFound, errors.New("this person is no member of the workspace")}
}

func tokenIssueCommand() *cobra.Command {
	var dataDir, name, workspace string
	var scopes, tenants []string
	var lasts time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use: "issue EMAIL", Short: "Issue a token to a member", Args: onePerson,
		Example: "  tenantpilot token issue ada@msp.example --name ci --scope directory.sync --scope provider.verify > token.env",
		RunE: func(cmd *cobra.Command, args []string) error {
			return withTokens(cmd.Context(), dataDir, func(d tokenDesk) error {
				person, space, err := d.owner(cmd.Context(), args[0], workspace)
				if err != nil {
					return err
				}
				secret, prefix := auth.DrawToken()
				n := domain.TokenIssued{
					Token: uuid.Must(uuid.NewV7()), Workspace: space, Owner: person, Name: name, Prefix: prefix, Expires: time.Now().Add(lasts).UTC().Truncate(time.Second),
				}
				for _, s := range scopes {
					n.Scopes = append(n.Scopes, domain.Capability(s))
				}
				for _, t := range tenants {
					external, err := uuid.Parse(t)
					if err != nil {
						return usage(fmt.Errorf("--tenant %s is no directory id", t))
					}
					n.Tenants = append(n.Tenants, domain.TenantStream(space, external))
				}
				if err := d.log.IssueToken(cmd.Context(), commands.IssueToken{Actor: domain.SystemActor(space), Issued: n}); err != nil {
					return err
				}
				if err := d.auth.KeepToken(cmd.Context(), n, secret); err != nil {
					return err
				}
				if err := d.log.MustBeMember(cmd.Context(), space, person); err != nil {
					return errors.Join(err, d.auth.RevokeToken(cmd.Context(), n.Token))
				}
				return printSecret(cmd, n.Token, secret, n.Expires, asJSON)
			})
		},
	}
	dataDirFlag(cmd, &dataDir)
	cmd.Flags().StringVar(&name, "name", "", "what the token is for")
	cmd.Flags().StringVar(&workspace, "workspace", "", "id of the workspace, for members of several")
	cmd.Flags().StringArrayVar(&scopes, "scope", nil, "a capability that the token has, such as directory.sync; several times; without it, all of its owner's")
	cmd.Flags().StringArrayVar(&tenants, "tenant", nil, "directory id of a tenant that the token sees; several times; without it, all that its owner sees")
	cmd.Flags().DurationVar(&lasts, "lasts", domain.TokenTime, "how long the token opens anything, a year at most")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	_ = cmd.MarkFlagRequired("name")
	return cmd
}

// printSecret prints a secret, this once, as a line that a shell or a service file reads.
func printSecret(cmd *cobra.Command, token uuid.UUID, secret string, expires time.Time, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"token": token, "secret": secret, "expires": expires})
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Token %s, good until %s. The secret is printed this once:\n", token, expires.Format(time.DateTime+" UTC"))
	fmt.Fprintf(cmd.OutOrStdout(), "TENANTPILOT_TOKEN=%s\n", secret)
	return nil
}

func tokenListCommand() *cobra.Command {
	var dataDir, workspace string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list EMAIL", Short: "List a member's tokens", Args: onePerson,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withTokens(cmd.Context(), dataDir, func(d tokenDesk) error {
				person, space, err := d.owner(cmd.Context(), args[0], workspace)
				if err != nil {
					return err
				}
				tokens, err := d.read.Tokens(cmd.Context(), domain.SystemActor(space), person)
				if err != nil {
					return err
				}
				if asJSON {
					if tokens == nil {
						tokens = []projections.Token{}
					}
					return json.NewEncoder(cmd.OutOrStdout()).Encode(tokens)
				}
				out := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(out, "TOKEN\tNAME\tSECRET\tSTATE\tENDS\tLAST USED")
				for _, t := range tokens {
					for _, s := range t.Secrets {
						state := "active"
						if !s.Revoked.IsZero() {
							state = "revoked"
						} else if !s.Opens(time.Now()) {
							state = "expired"
						}
						fmt.Fprintf(out, "%s\t%s\t%s…\t%s\t%s\t%s\n", t.ID, t.Name, s.Prefix, state, dateOr(s.Expires, "never"), dateOr(s.LastUsed, "never"))
					}
				}
				return out.Flush()
			})
		},
	}
	dataDirFlag(cmd, &dataDir)
	cmd.Flags().StringVar(&workspace, "workspace", "", "id of the workspace, for members of several")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func dateOr(t time.Time, none string) string {
	if t.IsZero() {
		return none
	}
	return t.UTC().Format(time.DateTime + " UTC")
}

func tokenRotateCommand() *cobra.Command {
	var dataDir string
	var overlap, lasts time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use: "rotate TOKEN", Short: "Give a token another secret; the one in use goes on for a while", Args: oneToken,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withTokens(cmd.Context(), dataDir, func(d tokenDesk) error {
				kept, err := d.token(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				now := time.Now().UTC()
				r := domain.TokenRotated{Overlap: now.Add(max(overlap, time.Second)), Expires: now.Add(lasts).Truncate(time.Second)}
				var secret string
				secret, r.Prefix = auth.DrawToken()
				if err := d.log.RotateToken(cmd.Context(), commands.RotateToken{Actor: domain.SystemActor(kept.Workspace), Token: kept, Rotated: r}); err != nil {
					return err
				}
				if err := d.auth.RotateToken(cmd.Context(), kept.ID, r, secret); err != nil {
					return err
				}
				return printSecret(cmd, kept.ID, secret, r.Expires, asJSON)
			})
		},
	}
	dataDirFlag(cmd, &dataDir)
	cmd.Flags().DurationVar(&overlap, "overlap", domain.TokenOverlap, "how long the secret in use goes on, a week at most")
	cmd.Flags().DurationVar(&lasts, "lasts", domain.TokenTime, "how long the new secret opens anything, a year at most")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func tokenRevokeCommand() *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use: "revoke TOKEN", Short: "Revoke a token with all of its secrets, at once", Args: oneToken,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withTokens(cmd.Context(), dataDir, func(d tokenDesk) error {
				kept, err := d.token(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if err := d.auth.RevokeToken(cmd.Context(), kept.ID); err != nil {
					return err
				}
				if err := d.log.RevokeToken(cmd.Context(), commands.RevokeToken{Actor: domain.SystemActor(kept.Workspace), Token: kept}); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "Token %s opens nothing any more.\n", kept.ID)
				return nil
			})
		},
	}
	dataDirFlag(cmd, &dataDir)
	return cmd
}

func (d tokenDesk) token(ctx context.Context, id string) (domain.Token, error) {
	token, err := uuid.Parse(id)
	if err != nil {
		return domain.Token{}, usage(fmt.Errorf("%s is no token's id; `tenantpilot token list` shows them", id))
	}
	workspace, err := d.auth.TokenWorkspace(ctx, token)
	if err != nil {
		return domain.Token{}, err
	}
	return d.read.TokenOf(ctx, domain.SystemActor(workspace), token)
}

func oneToken(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage(fmt.Errorf("%s takes one argument: the token's id", cmd.CommandPath()))
	}
	return nil
}
