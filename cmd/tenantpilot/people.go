package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// linkTime is how long a link that is drawn at the server can be used.
const linkTime = 24 * time.Hour

func workspaceCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "workspace", Short: "Open a workspace", Args: noArgs}
	cmd.AddCommand(workspaceCreateCommand())
	return cmd
}

func workspaceCreateCommand() *cobra.Command {
	var dataDir, owner, name string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Open a workspace with its first owner, and print the owner's sign-in link",
		Long: `Open a workspace: a service provider's own place, with its tenants and members. Its first owner is a person by e-mail address, who invites
the others in the console. The link that is printed signs them in once; with an identity provider they need none.

Nothing is there yet that would notice a name twice: two calls open two workspaces. The database is TENANTPILOT_DATABASE_URL (the
application's role), or else the running demo's. TENANTPILOT_PUBLIC_URL is where links lead.`,
		Example: `  tenantpilot workspace create "Northwind Managed Services" --owner ada@msp.example --owner-name "Ada Park"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(fmt.Errorf("%s takes one argument: the workspace's name", cmd.CommandPath()))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			who := commands.Identity{Email: strings.TrimSpace(owner), Name: strings.TrimSpace(cmp.Or(name, owner))}
			if err := checkAddress(who.Email); err != nil {
				return err
			}
			if !domain.PlainText(who.Name) {
				return usage(errors.New("--owner-name has characters that cannot be shown"))
			}
			return withPeople(cmd.Context(), dataDir, func(d peopleDesk) error {
				ctx, workspace := cmd.Context(), uuid.New()
				if _, err := domain.CreateWorkspace(domain.Workspace{}, workspace, args[0], uuid.Nil); err != nil {
					return err // before anybody is added
				}
				person, err := d.member(ctx, who)
				if err != nil {
					return err
				}
				if err := d.log.CreateWorkspace(ctx, commands.CreateWorkspace{Workspace: workspace, Name: args[0], Owner: person}); err != nil {
					return err
				}
				described := commands.DescribePerson{Actor: domain.SystemActor(workspace), Person: person, Identity: who}
				if err := d.log.DescribePerson(ctx, described); err != nil {
					return err
				}
				link, err := d.link(ctx, person, []uuid.UUID{workspace})
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"workspace": workspace, "person": person, "link": link.URL, "until": link.Until})
				}
				fmt.Fprintf(cmd.OutOrStdout(), "Workspace %s is open. Its owner is %s.\n", workspace, who.Email)
				return link.print(cmd)
			})
		},
	}
	dataDirFlag(cmd, &dataDir)
	cmd.Flags().StringVar(&owner, "owner", "", "e-mail address of the first owner")
	cmd.Flags().StringVar(&name, "owner-name", "", "the owner's name, default the address; not used for somebody who is known")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	_ = cmd.MarkFlagRequired("owner")
	return cmd
}

func peopleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "people", Short: "Let people in, at the server", Args: noArgs,
		Long: `Let people in, at the server. Members are invited in the console by those who may. Here is what only somebody at the server does.`,
	}
	cmd.AddCommand(peopleLinkCommand(), peoplePlatformCommand())
	return cmd
}

func peopleLinkCommand() *cobra.Command {
	var dataDir string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "link EMAIL", Short: "Draw a link that signs a person in once",
		Long: `Draw a link that signs a person in once, for those who have no other way in: the console knows them, but without an identity provider
it gives nobody a second link. Whoever has the link is signed in as the person. It is an event in each of their workspaces.

The database is TENANTPILOT_DATABASE_URL (the application's role), or else the running demo's. TENANTPILOT_PUBLIC_URL is where links lead.`,
		Args: onePerson,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withPeople(cmd.Context(), dataDir, func(d peopleDesk) error {
				person, err := d.auth.FindPerson(cmd.Context(), args[0])
				var workspaces []uuid.UUID
				if err == nil {
					workspaces, err = d.auth.WorkspacesOf(cmd.Context(), person)
				}
				if errors.Is(err, auth.ErrNoPerson) {
					return &exitCode{exitNotFound, err}
				}
				if err != nil {
					return err
				}
				link, err := d.link(cmd.Context(), person, workspaces)
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"person": person, "link": link.URL, "until": link.Until})
				}
				return link.print(cmd)
			})
		},
	}
	dataDirFlag(cmd, &dataDir)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func peoplePlatformCommand() *cobra.Command {
	var dataDir, name string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "platform EMAIL", Short: "Make somebody new one of the platform's people, and print their sign-in link",
		Long: `Make somebody new one of the platform's people: they see the system directory of all workspaces' connections and how the read models
stand, and nothing else. A person who is known already stays what they are.

The database is TENANTPILOT_DATABASE_URL (the application's role), or else the running demo's. TENANTPILOT_PUBLIC_URL is where links lead.`,
		Args: onePerson,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkAddress(args[0]); err != nil {
				return err
			}
			return withPeople(cmd.Context(), dataDir, func(d peopleDesk) error {
				ctx := cmd.Context()
				person, err := d.auth.CreatePerson(ctx, args[0], cmp.Or(name, args[0]), true)
				if err != nil {
					return err
				}
				platform, err := d.auth.IsPlatform(ctx, person)
				if err != nil {
					return err
				}
				if !platform {
					return &exitCode{exitError, errors.New("this address is known already, as a member's or of somebody who was invited: take another one")}
				}
				link, err := d.link(ctx, person, nil)
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"person": person, "link": link.URL, "until": link.Until})
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s is one of the platform's people.\n", strings.TrimSpace(args[0]))
				return link.print(cmd)
			})
		},
	}
	dataDirFlag(cmd, &dataDir)
	cmd.Flags().StringVar(&name, "name", "", "the person's name, default the address")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func checkAddress(text string) error {
	if _, ok := auth.ParseAddress(text); !ok {
		return usage(fmt.Errorf("%q is no e-mail address", text))
	}
	return nil
}

// peopleDesk is what the commands for people work with.
type peopleDesk struct {
	auth    *auth.Service
	log     *commands.Handler
	console string // where links lead
}

func withPeople(ctx context.Context, dataDir string, do func(peopleDesk) error) error {
	cfg, err := loadConfig()
	if err != nil {
		return err
	}
	console := cfg.PublicURL
	if f, err := readDemoFile(filepath.Join(dataDir, demoFileName)); err == nil && cfg.DatabaseURL == "" { // it is the demo's database
		console = cmp.Or(console, f.BaseURL)
	}
	console = strings.TrimSuffix(cmp.Or(console, "http://"+cfg.Listen), "/")
	return withPool(ctx, dataDir, func(pool *pgxpool.Pool) error {
		store := eventstore.Open(pool, eventstore.Config{})
		defer store.Close()
		err := do(peopleDesk{auth.New(pool, auth.Config{}), commands.New(store, nil), console})
		if refusal, ok := domain.AsRefusal(err); ok {
			if len(refusal.Fields) > 0 {
				return usage(errors.New(refusal.Fields[0].Message))
			}
			return &exitCode{exitError, errors.New(refusal.Text)}
		}
		return err
	})
}

// member finds or adds somebody who can be a member.
func (d peopleDesk) member(ctx context.Context, who commands.Identity) (uuid.UUID, error) {
	person, err := d.auth.CreatePerson(ctx, who.Email, who.Name, false)
	if err != nil {
		return person, err
	}
	platform, err := d.auth.IsPlatform(ctx, person)
	if err == nil && platform {
		err = &exitCode{exitError, errors.New("the platform's people are in no workspace: name another address")}
	}
	return person, err
}

type drawnLink struct {
	URL   string
	Until time.Time
}

// link draws a link after the logs of the person's workspaces say so.
func (d peopleDesk) link(ctx context.Context, person uuid.UUID, workspaces []uuid.UUID) (drawnLink, error) {
	until := time.Now().Add(linkTime).UTC().Truncate(time.Second)
	if err := d.log.SignInLinkDrawn(ctx, commands.TellWayIn{Workspaces: workspaces, Person: person}, until); err != nil {
		return drawnLink{}, err
	}
	path, err := d.auth.IssueSignInLink(ctx, person, linkTime)
	return drawnLink{d.console + path, until}, err
}

func (l drawnLink) print(cmd *cobra.Command) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "This link signs in once, until %s:\n", l.Until.Format(time.DateTime+" UTC"))
	_, err := fmt.Fprintln(cmd.OutOrStdout(), l.URL)
	return err
}
