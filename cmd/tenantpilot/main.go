// Command tenantpilot runs the console, its workers and its tools. Each file is one subcommand; app.go wires the parts together.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes, the same for every subcommand; for the operator's verbs (operator.go) 5 is a run that did not succeed.
const (
	exitOK       = 0
	exitError    = 1
	exitUsage    = 2
	exitBlocked  = 3
	exitBusy     = 4
	exitNotFound = 5 // or forbidden
)

func main() { os.Exit(run()) }

// run is main without the exit, so that deferred calls happen and script tests can call it.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() { // a second signal ends the process at once
		<-ctx.Done()
		again := make(chan os.Signal, 1)
		signal.Notify(again, os.Interrupt, syscall.SIGTERM)
		<-again
		os.Exit(exitError)
	}()
	err := newRoot().ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var coded *exitCode
	if errors.As(err, &coded) {
		if coded.err != nil {
			fmt.Fprintln(plainWriter{os.Stderr}, "tenantpilot:", coded.err)
		}
		return coded.code
	}
	fmt.Fprintln(plainWriter{os.Stderr}, "tenantpilot:", err)
	return exitError
}

// exitCode carries a subcommand's exit code; a nil err means that everything to say has been said.
type exitCode struct {
	code int
	err  error
}

func (e *exitCode) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitCode) Unwrap() error { return e.err }

func usage(err error) error { return &exitCode{exitUsage, err} }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "tenantpilot",
		Short: "Run provider-backed operations on customers' tenants, one gate, every answer recorded",
		Long: `TenantPilot starts Microsoft Graph operations on the tenants that a managed-service provider looks after.
Every attempt passes one gate, every answer is an event, and the log can be replayed.

Try it:  tenantpilot demo`,
		SilenceErrors: true, SilenceUsage: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	root.AddCommand(demoCommand(), serveCommand(), workCommand(), migrateCommand(), startCommand(), benchCommand(), versionCommand(),
		auditCommand(), rebuildCommand(), projectionsCommand(), keysCommand(), drillCommand(), keysetCommand(),
		breakGlassCommand(), accountsCommand(), connectionsCommand(), consentCommand(), verifyCommand(), onboardCommand(), tokenCommand(),
		workspaceCommand(), peopleCommand())
	return root
}

// noArgs refuses positional arguments as a usage error.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args[0]))
	}
	return nil
}

// newLog writes to stderr: text for a person at a terminal, JSON otherwise.
func newLog(level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		return slog.New(slog.NewTextHandler(os.Stderr, options))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, options))
}
