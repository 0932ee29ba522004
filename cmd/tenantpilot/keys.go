package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tenantpilot/cmd/internal/evidence"
)

// The demo's log key lies in its data directory: the signer key for its owner only, the verifier key for everybody.
const (
	logKeyName      = "log.key"
	logVerifierName = "log.pub"
)

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", Short: "Make, show and rotate keys: that of the log, and those of credentials", Args: noArgs,
		Long: `Two kinds of key. The keyset seals the credentials of connections; "tenantpilot keyset" draws one, and rotate, list, disable, enable and
destroy keep it. The log key signs the heads of the event log. Its secret half is a file that only serve and work read; its public half, the
verifier key, is for everybody who checks evidence. Give it to auditors by another way than the evidence.`,
	}
	cmd.AddCommand(keysLogCommand(), keysNewLogCommand(), keysRotateCommand(), keysListCommand(), keysDisableCommand(), keysEnableCommand(),
		keysDestroyCommand())
	return cmd
}

func keysLogCommand() *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use: "log", Short: "Print the log's verifier key", Args: noArgs,
		Long: `Print the verifier key, which is public: of TENANTPILOT_LOG_VERIFIER, of TENANTPILOT_LOG_KEY, or of the demo.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig()
			if err != nil {
				return err
			}
			verifier, err := verifierText(cfg, dataDir, "")
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), verifier)
			}
			return err
		},
	}
	dataDirFlag(cmd, &dataDir)
	return cmd
}

func keysNewLogCommand() *cobra.Command {
	var name, out string
	cmd := &cobra.Command{
		Use: "new-log", Short: "Draw a log key into a new file", Args: noArgs,
		Long: `Draw a key for a log, write it to a new file that only you can read, and print the verifier key. A log has one key for its life: the
name in it says which log a head is of.`,
		Example: "  tenantpilot keys new-log --name log.msp.example --out log.key",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name == "" || out == "" || strings.ContainsAny(name, "+ \t\n") {
				return usage(errors.New("give the log a --name without blanks and plus signs, such as log.msp.example, and a file with --out"))
			}
			key, err := newLogKey(name, out)
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), key.Verifier())
			}
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the log's name")
	cmd.Flags().StringVar(&out, "out", "", "file to write the secret key to; it must not exist")
	return cmd
}

// newLogKey draws a key and writes it to a file that must not exist.
func newLogKey(name, path string) (*evidence.Key, error) {
	secret, err := evidence.GenerateKey(name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write log key: %w", err)
	}
	_, err = f.WriteString(secret + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("write log key: %w", err)
	}
	return evidence.ParseKey(secret)
}

// logKey is the configured key, else the demo's if no database is configured; nil when there is none.
func logKey(cfg config, dataDir string) (*evidence.Key, error) {
	if cfg.LogKey != "" {
		return evidence.ParseKey(cfg.LogKey)
	}
	if cfg.DatabaseURL != "" {
		return nil, nil
	}
	secret, err := os.ReadFile(filepath.Join(dataDir, logKeyName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read log key: %w", err)
	}
	return evidence.ParseKey(string(secret))
}

// logKey is the demo's, drawn on the first start.
func (d *demo) logKey() (*evidence.Key, error) {
	path := filepath.Join(d.dataDir, logKeyName)
	secret, err := os.ReadFile(path)
	var key *evidence.Key
	switch {
	case err == nil:
		key, err = evidence.ParseKey(string(secret))
	case errors.Is(err, fs.ErrNotExist):
		key, err = newLogKey("demo.tenantpilot.example/"+strings.ToLower(rand.Text()[:8]), path)
	}
	if err != nil {
		return nil, fmt.Errorf("log key of the demo: %w", err)
	}
	if err := os.WriteFile(filepath.Join(d.dataDir, logVerifierName), []byte(key.Verifier()+"\n"), 0o644); err != nil { //nolint:gosec // public
		return nil, fmt.Errorf("write verifier key: %w", err)
	}
	return key, nil
}

// verifierText is the verifier key: the given one, the configured one, that of the configured log key, or the demo's.
func verifierText(cfg config, dataDir, given string) (string, error) {
	switch {
	case given != "":
		return given, nil
	case cfg.LogVerifier != "":
		return cfg.LogVerifier, nil
	case cfg.LogKey != "":
		key, err := evidence.ParseKey(cfg.LogKey)
		if err != nil {
			return "", err
		}
		return key.Verifier(), nil
	}
	if cfg.DatabaseURL == "" {
		if text, err := os.ReadFile(filepath.Join(dataDir, logVerifierName)); err == nil {
			return strings.TrimSpace(string(text)), nil
		}
	}
	return "", usage(errors.New("which key has signed the log? Give its verifier key with --verifier or TENANTPILOT_LOG_VERIFIER"))
}
