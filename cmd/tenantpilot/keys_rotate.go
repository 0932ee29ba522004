package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"tenantpilot/cmd/tenantpilot/internal/secrets"
	"tenantpilot/migrations/pgembed"
)

// sealingKeys are the commands on the keyset that seals credentials: where it is, and where what it has sealed.
type sealingKeys struct {
	keyset, dataDir string
}

func (k *sealingKeys) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.keyset, "keyset", "", "file of the keyset (default TENANTPILOT_KEYSET_FILE, else the running demo's)")
	dataDirFlag(cmd, &k.dataDir)
}

func keysRotateCommand() *cobra.Command {
	var k sealingKeys
	var reseal bool
	cmd := &cobra.Command{
		Use: "rotate", Short: "Give the keyset of credentials a new primary key", Args: noArgs,
		Long: `Draw a new primary key into the keyset's file: it seals credentials from now on. The keys that were there go on to open what they
have sealed. Running processes that read the same file notice by themselves; give other machines the new file.

Then seal what is stored anew, in small transactions, while everything runs: "tenantpilot keys rotate --reseal". It draws no key, and may be
interrupted or killed at any point and run again. After that "tenantpilot keys disable" and "keys destroy" take older keys away.`,
		Example: `  tenantpilot keys rotate --keyset keyset.json
  tenantpilot keys rotate --keyset keyset.json --reseal
  tenantpilot keys list --keyset keyset.json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if reseal {
				return k.reseal(cmd.Context(), cmd.OutOrStdout())
			}
			return k.rotate(cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&reseal, "reseal", false, "draw no key; seal with the primary key what older keys have sealed")
	k.flags(cmd)
	return cmd
}

func keysListCommand() *cobra.Command {
	var k sealingKeys
	cmd := &cobra.Command{
		Use: "list", Short: "List the keys that seal credentials, and how many each has sealed", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return k.list(cmd.Context(), cmd.OutOrStdout()) },
	}
	k.flags(cmd)
	return cmd
}

// keyCommand is a command on one key that is named by its id.
func keyCommand(use, short, long, done string, unused bool, change func([]byte, uint32) ([]byte, error)) *cobra.Command {
	var k sealingKeys
	cmd := &cobra.Command{
		Use: use + " KEY", Short: short, Long: long,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage(errors.New("name one key by its id, as `tenantpilot keys list` shows it"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 32)
			if err != nil {
				return usage(fmt.Errorf("%q is no key's id", args[0]))
			}
			if unused {
				if err := k.unused(cmd.Context(), uint32(id)); err != nil {
					return err
				}
			}
			if err := k.change(func(old []byte) ([]byte, error) { return change(old, uint32(id)) }); err != nil {
				if errors.Is(err, secrets.ErrNoKey) {
					return &exitCode{exitNotFound, err}
				}
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "key %d %s\n", id, done)
			return nil
		},
	}
	k.flags(cmd)
	return cmd
}

func keysDisableCommand() *cobra.Command {
	return keyCommand("disable", "Let a key of the keyset no longer open anything",
		`Disable a key of the keyset of credentials: it stays in the file and opens nothing. It is refused while a stored credential is sealed
with it: seal those anew first, with "tenantpilot keys rotate --reseal".`, "is disabled; `keys enable` brings it back, `keys destroy` does away with it",
		true, secrets.Disable)
}

func keysEnableCommand() *cobra.Command {
	return keyCommand("enable", "Let a disabled key of the keyset open again", "", "opens again", false, secrets.Enable)
}

func keysDestroyCommand() *cobra.Command {
	return keyCommand("destroy", "Take a disabled key out of the keyset for good",
		`Take a disabled key out of the keyset's file for good. It is refused while a stored credential is sealed with it. Backups of the database
that were made before hold credentials that only this key opens: keep a copy of the file as long as you keep them.`, "is destroyed", true, secrets.Destroy)
}

// path is the file of the keyset.
func (k *sealingKeys) path() (string, error) {
	cfg, err := loadConfig()
	if err != nil {
		return "", err
	}
	switch {
	case k.keyset != "":
		return k.keyset, nil
	case cfg.KeysetPath != "" && cfg.Keyset == strings.TrimSpace(cfg.KeysetFile):
		return cfg.KeysetPath, nil
	case cfg.Keyset != "":
		return "", usage(errors.New("the keyset is in TENANTPILOT_KEYSET, which cannot be written: keep it in a file and name it with TENANTPILOT_KEYSET_FILE"))
	}
	path := filepath.Join(k.dataDir, demoKeysetName)
	if _, err := os.Stat(path); err != nil || cfg.DatabaseURL != "" {
		return "", usage(errors.New("which keyset? Name its file with --keyset or TENANTPILOT_KEYSET_FILE"))
	}
	return path, nil
}

// pool opens the database that holds the credentials.
func (k *sealingKeys) pool(ctx context.Context) (*pgxpool.Pool, error) {
	cfg, err := loadConfig()
	if err != nil {
		return nil, err
	}
	url, err := databaseURL(ctx, cfg, k.dataDir, pgembed.AppRole)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, errors.New("the database URL is malformed") // it may hold a password
	}
	return pool, nil
}

func (k *sealingKeys) rotate(out io.Writer) error {
	var primary uint32
	err := k.change(func(old []byte) (rotated []byte, err error) {
		rotated, primary, err = secrets.Rotate(old)
		return rotated, err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "key %d seals from now on, older keys still open\n"+
		"next: copy the file to every machine and to where you keep its copy, then run `tenantpilot keys rotate --reseal`\n", primary)
	return nil
}

func (k *sealingKeys) reseal(ctx context.Context, out io.Writer) error {
	path, err := k.path()
	if err != nil {
		return err
	}
	pool, err := k.pool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	store, err := secrets.Open(pool, secrets.File(path))
	if err != nil {
		return err
	}
	total, err := store.Reseal(ctx, func(n int) { fmt.Fprintf(out, "%d credentials sealed anew\n", n) })
	var stuck *secrets.ErrUnopenable
	switch {
	case errors.As(err, &stuck):
		return errors.New(unopenableText(stuck, true))
	case err != nil:
		return fmt.Errorf("%w; %d are sealed anew, run it again for the rest", err, total)
	}
	primary, _ := store.InUse()
	fmt.Fprintf(out, "done: every stored credential is sealed with key %d\n", primary)
	return nil
}

func (k *sealingKeys) list(ctx context.Context, out io.Writer) error {
	path, err := k.path()
	if err != nil {
		return err
	}
	text, err := secrets.File(path)()
	if err != nil {
		return err
	}
	keys, err := secrets.Keys(text)
	if err != nil {
		return err
	}
	pool, err := k.pool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	sealed, err := secrets.Sealed(ctx, pool)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tSTATE\tSEALED")
	for _, key := range keys {
		state := "opens"
		switch {
		case key.Primary:
			state = "seals"
		case !key.Enabled:
			state = "disabled"
		}
		fmt.Fprintf(w, "%d\t%s\t%d\n", key.ID, state, sealed[key.ID])
		delete(sealed, key.ID)
	}
	for id, n := range sealed {
		fmt.Fprintf(w, "%d\tnot in this keyset\t%d\n", id, n)
	}
	return w.Flush()
}

// unused refuses when something is sealed with a key.
func (k *sealingKeys) unused(ctx context.Context, id uint32) error {
	pool, err := k.pool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	sealed, err := secrets.Sealed(ctx, pool)
	if err != nil {
		return err
	}
	if n := sealed[id]; n > 0 {
		return &exitCode{exitBlocked, fmt.Errorf("%d stored credentials are sealed with key %d: run `tenantpilot keys rotate --reseal` first", n, id)}
	}
	return nil
}

// change replaces the keyset's file by one with other content, atomically: a crash leaves the old or the new one, and at worst a file beside
// it that nobody reads.
func (k *sealingKeys) change(change func([]byte) ([]byte, error)) error {
	path, err := k.path()
	if err != nil {
		return err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return fmt.Errorf("read keyset: %w", err)
	}
	old, err := secrets.File(path)()
	if err != nil {
		return err
	}
	changed, err := change(old)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read keyset: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write keyset: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone once it is renamed
	_, err = f.Write(changed)
	if err = errors.Join(err, f.Chmod(info.Mode().Perm()), sameOwner(f, info), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write keyset: %w", err)
	}
	if now, err := secrets.File(path)(); err != nil || !bytes.Equal(now, old) {
		return errors.Join(errors.New("the keyset was changed meanwhile: nothing was written, run it again"), err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write keyset: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("write keyset: %w", err)
	}
	defer func() { _ = dir.Close() }()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("write keyset: %w", err)
	}
	return nil
}
