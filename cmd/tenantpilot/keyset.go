package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"tenantpilot/cmd/tenantpilot/internal/secrets"
)

func keysetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "keyset", Short: "Draw a key that seals the credentials of connections", Args: noArgs,
		Long: `Draw a fresh keyset and print it. Keep it in a file that only the program can read, and name the file to serve and work:

  umask 077; tenantpilot keyset > keyset.json
  TENANTPILOT_KEYSET_FILE=keyset.json tenantpilot serve

Credentials that were sealed with a keyset cannot be read without it: keep a copy apart from the database's. "tenantpilot keys rotate" gives
a keyset that is in use a new key.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			drawn, err := secrets.NewKeyset()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(drawn)
			return err
		},
	}
}

// demoKeysetName is the demo's keyset in its data directory, mode 0600.
const demoKeysetName = "keyset.json"

// demoKeyset is where the demo's keyset is; the first start draws it.
func demoKeyset(dataDir string) (string, error) {
	path := filepath.Join(dataDir, demoKeysetName)
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		drawn, err := secrets.NewKeyset()
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(path, drawn, 0o600); err != nil {
			return "", fmt.Errorf("write the demo's keyset: %w", err)
		}
		return path, nil
	}
	if err != nil {
		return "", fmt.Errorf("read the demo's keyset: %w", err)
	}
	return path, nil
}
