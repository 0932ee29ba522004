package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/commands"
	"tenantpilot/eventstore"
)

func breakGlassCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "breakglass", Short: "Give people a way in for when the identity provider is down", Args: noArgs,
		Long: `A break-glass account is a password for a person that the console knows already. "serve --break-glass" lets them sign in with it;
without the flag nobody can. Setting, removing and using one are events in each of the person's workspaces.`,
	}
	cmd.AddCommand(breakGlassSetCommand(), breakGlassRemoveCommand())
	return cmd
}

func breakGlassSetCommand() *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use: "set EMAIL", Short: "Give a person a break-glass account, or their account another password",
		Long: fmt.Sprintf(`Read a password from standard input, one line of at least %d characters, and make it the person's break-glass password.
On a terminal it is asked for twice and not shown. Only a hash is stored (argon2id).

The database is TENANTPILOT_DATABASE_URL (the application's role), or else the running demo's.`, auth.MinPassword),
		Example: "  tenantpilot breakglass set ada@msp.example < password.txt",
		Args:    onePerson,
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := readPassword(cmd)
			if err != nil {
				return err
			}
			if err := auth.CheckPassword(password); err != nil {
				return usage(err)
			}
			ctx := cmd.Context()
			set := func(service *auth.Service, log *commands.Handler, who auth.Broken, _ bool) error {
				if err := log.BreakGlassSet(ctx, commands.TellWayIn{Workspaces: who.Workspaces, Person: who.Person}); err != nil {
					return err
				}
				if err := service.SetBreakGlass(ctx, who.Person, password); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "Person %s can sign in with this password, where serve allows it (--break-glass).\n", who.Person)
				return nil
			}
			return onBreakGlass(ctx, dataDir, args[0], set)
		},
	}
	dataDirFlag(cmd, &dataDir)
	return cmd
}

func breakGlassRemoveCommand() *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use: "remove EMAIL", Short: "Take a person's break-glass account away",
		Long: `Take a person's break-glass account away. Sessions that were begun with it last until they end.

The database is TENANTPILOT_DATABASE_URL (the application's role), or else the running demo's.`,
		Args: onePerson,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			remove := func(service *auth.Service, log *commands.Handler, who auth.Broken, has bool) error {
				if !has {
					return &exitCode{exitNotFound, errors.New("this person has no break-glass account")}
				}
				if err := log.BreakGlassRemoved(ctx, commands.TellWayIn{Workspaces: who.Workspaces, Person: who.Person}); err != nil {
					return err
				}
				if _, err := service.RemoveBreakGlass(ctx, who.Person); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "The break-glass account of person %s is gone.\n", who.Person)
				return nil
			}
			return onBreakGlass(ctx, dataDir, args[0], remove)
		},
	}
	dataDirFlag(cmd, &dataDir)
	return cmd
}

func accountsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "accounts", Short: "Look after accounts of the identity provider", Args: noArgs}
	cmd.AddCommand(accountsForgetCommand())
	return cmd
}

func accountsForgetCommand() *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use: "forget EMAIL", Short: "Unbind a person from their account at the identity provider",
		Long: `After the first sign-in a person is known by their account at the identity provider, not by their address. When the account was
replaced by another with the same address, or the app registration was (Entra then gives everybody another subject), forget the old
one: the next sign-in with the verified address binds the new account.

The database is TENANTPILOT_DATABASE_URL (the application's role), or else the running demo's.`,
		Args: onePerson,
		RunE: func(cmd *cobra.Command, args []string) error {
			return withPool(cmd.Context(), dataDir, func(pool *pgxpool.Pool) error {
				service := auth.New(pool, auth.Config{})
				person, err := service.FindPerson(cmd.Context(), args[0])
				if errors.Is(err, auth.ErrNoPerson) {
					return &exitCode{exitNotFound, err}
				}
				if err != nil {
					return err
				}
				n, err := service.ForgetAccounts(cmd.Context(), person)
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "Accounts forgotten: %d.\n", n)
				}
				return err
			})
		},
	}
	dataDirFlag(cmd, &dataDir)
	return cmd
}

func onePerson(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage(fmt.Errorf("%s takes one argument: the person's e-mail address", cmd.CommandPath()))
	}
	return nil
}

// breakGlassWork is what is done about somebody's account; has says whether there is one.
type breakGlassWork func(service *auth.Service, log *commands.Handler, who auth.Broken, has bool) error

// onBreakGlass finds a person and does something about their break-glass account.
func onBreakGlass(ctx context.Context, dataDir, email string, do breakGlassWork) error {
	return withPool(ctx, dataDir, func(pool *pgxpool.Pool) error {
		service := auth.New(pool, auth.Config{})
		person, err := service.FindPerson(ctx, email)
		var who auth.Broken
		var has bool
		if err == nil {
			who, has, err = service.BreakGlassOf(ctx, person)
		}
		if errors.Is(err, auth.ErrNoPerson) {
			return &exitCode{exitNotFound, err}
		}
		if err != nil {
			return err
		}
		store := eventstore.Open(pool, eventstore.Config{})
		defer store.Close()
		return do(service, commands.New(store, nil), who, has)
	})
}

// readPassword reads one line. From a terminal it asks twice and shows nothing.
func readPassword(cmd *cobra.Command) (string, error) {
	in := bufio.NewReader(cmd.InOrStdin())
	line := func() (string, error) {
		text, err := in.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read password: %w", err)
		}
		return strings.TrimRight(text, "\r\n"), nil
	}
	if info, err := os.Stdin.Stat(); err != nil || cmd.InOrStdin() != io.Reader(os.Stdin) || info.Mode()&os.ModeCharDevice == 0 {
		return line()
	}
	echo := func(how string) error {
		stty := exec.CommandContext(context.WithoutCancel(cmd.Context()), "stty", how)
		stty.Stdin = os.Stdin
		return stty.Run()
	}
	if err := echo("-echo"); err != nil {
		return "", fmt.Errorf("the terminal would show the password: give it as a file or a pipe: %w", err)
	}
	defer func() { _ = echo("echo") }()
	var typed [2]string
	for i, ask := range []string{"Password: ", "Again: "} {
		fmt.Fprint(cmd.ErrOrStderr(), ask)
		text, err := line()
		fmt.Fprintln(cmd.ErrOrStderr())
		if err != nil {
			return "", err
		}
		typed[i] = text
	}
	if typed[0] != typed[1] {
		return "", usage(errors.New("the two passwords are not the same"))
	}
	return typed[0], nil
}
