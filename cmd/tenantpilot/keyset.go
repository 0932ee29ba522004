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

Credentials that were sealed with a keyset cannot be read without it: keep a copy apart from the database's.`,
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

// demoKeyset reads the demo's keyset, or draws one on the first start.
func demoKeyset(dataDir string) (string, error) {
	path := filepath.Join(dataDir, demoKeysetName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if b, err = secrets.NewKeyset(); err != nil {
			return "", err
		}
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("read the demo's keyset: %w", err)
	}
	return string(b), nil
}
