package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/caarlos0/env/v11"
	"github.com/spf13/cobra"

	"tenantpilot/cmd/tenantpilot/internal/secrets"
	"tenantpilot/migrations/pgembed"
)

// config is what the environment says. Every secret can also be given as a file, with the suffix _FILE.
type config struct {
	// DatabaseURL is a Postgres URL of the application's role (of the owner's, for migrate). Empty uses the running demo's server.
	DatabaseURL     string `env:"DATABASE_URL"`
	DatabaseURLFile string `env:"DATABASE_URL_FILE,file"`
	// OwnerDatabaseURL is the owner's, with which demo migrates an existing server and read models are rebuilt.
	OwnerDatabaseURL     string `env:"OWNER_DATABASE_URL"`
	OwnerDatabaseURLFile string `env:"OWNER_DATABASE_URL_FILE,file"`
	// Listen is where serve listens.
	Listen string `env:"LISTEN" envDefault:"127.0.0.1:8080"`
	// MetricsListen is where serve tells machines how it is doing: /metrics and the probes, without sign-in. Empty: nowhere.
	MetricsListen string `env:"METRICS_LISTEN"`
	// BehindTLS says that browsers reach the console over TLS: cookies are then bound to the host and never sent in the clear.
	BehindTLS bool `env:"BEHIND_TLS"`
	// PublicURL is where browsers reach the console, such as https://console.example: consent is answered there. Empty: wherever they say.
	PublicURL string `env:"PUBLIC_URL"`
	// LoginURL and GraphURL replace Microsoft's endpoints, for a simulator. Both or neither.
	LoginURL string `env:"LOGIN_URL"`
	GraphURL string `env:"GRAPH_URL"`
	// PlatformSecret is the client secret of the platform's multi-tenant app, which connections with that app sign in with.
	PlatformSecret string `env:"PLATFORM_SECRET"`
	// PlatformApp is that app's id: connections of type "platform" that name none use it.
	PlatformApp        string `env:"PLATFORM_APP_ID"`
	PlatformSecretFile string `env:"PLATFORM_SECRET_FILE,file"`
	// FederatedTokenFile is where the platform that the workers run on keeps the token of their identity: federated credentials sign in with it.
	FederatedTokenFile string `env:"FEDERATED_TOKEN_FILE"`
	// LogKey is the secret key that signs the log's heads, as `tenantpilot keys new-log` writes it. It must not be kept in the database.
	LogKey     string `env:"LOG_KEY"`
	LogKeyFile string `env:"LOG_KEY_FILE,file"`
	// LogVerifier is its public half, for commands that only check.
	LogVerifier string `env:"LOG_VERIFIER"`
	// Keyset seals the credentials of connections, as "tenantpilot keyset" draws it. Without it no credential can be set in the console.
	Keyset     string `env:"KEYSET"`
	KeysetFile string `env:"KEYSET_FILE,file"`
	// OIDCIssuer and OIDCClientID name the identity provider that people sign in with; both or neither. It sends browsers back to PublicURL.
	OIDCIssuer           string `env:"OIDC_ISSUER"`
	OIDCClientID         string `env:"OIDC_CLIENT_ID"`
	OIDCClientSecret     string `env:"OIDC_CLIENT_SECRET"`
	OIDCClientSecretFile string `env:"OIDC_CLIENT_SECRET_FILE,file"`
	// OIDCName is what people call it; empty is the issuer's host.
	OIDCName string `env:"OIDC_NAME"`
	// OIDCTrustEmail takes addresses as verified that the provider says nothing about.
	OIDCTrustEmail bool `env:"OIDC_TRUST_EMAIL"`
	// BreakGlass lets people sign in with a break-glass account.
	BreakGlass bool `env:"BREAK_GLASS"`
	// KeysetPath is where that file is: it is read again when a key was drawn into it.
	KeysetPath string `env:"KEYSET_FILE"`
}

func loadConfig() (config, error) {
	var c config
	if err := env.ParseWithOptions(&c, env.Options{Prefix: "TENANTPILOT_"}); err != nil {
		return c, fmt.Errorf("read environment: %w", err)
	}
	for _, secret := range []struct{ value, file *string }{
		{&c.DatabaseURL, &c.DatabaseURLFile},
		{&c.OwnerDatabaseURL, &c.OwnerDatabaseURLFile},
		{&c.PlatformSecret, &c.PlatformSecretFile},
		{&c.LogKey, &c.LogKeyFile},
		{&c.Keyset, &c.KeysetFile},
		{&c.OIDCClientSecret, &c.OIDCClientSecretFile},
	} {
		if *secret.value == "" {
			*secret.value = strings.TrimSpace(*secret.file)
		}
	}
	if (c.LoginURL == "") != (c.GraphURL == "") {
		return c, errors.New("set both TENANTPILOT_LOGIN_URL and TENANTPILOT_GRAPH_URL, or neither")
	}
	return c, nil
}

// dataDirFlag adds --data-dir with the default that every command shares.
func dataDirFlag(cmd *cobra.Command, into *string) {
	cmd.Flags().StringVar(into, "data-dir", defaultDataDir(), "where the demo keeps its database and demo.json")
}

func defaultDataDir() string {
	fallback, err := pgembed.DefaultDataDir()
	if err != nil {
		fallback = "tenantpilot-data" // no home directory: below the current one
	}
	if fromEnv := os.Getenv("TENANTPILOT_DATA_DIR"); fromEnv != "" {
		fallback = fromEnv
	}
	return fallback
}

// databaseURL is TENANTPILOT_DATABASE_URL, else the running demo's server for the role.
func databaseURL(_ context.Context, c config, dataDir, role string) (string, error) {
	if c.DatabaseURL != "" {
		return c.DatabaseURL, nil
	}
	handle, err := pgembed.Find(dataDir)
	if err != nil {
		return "", fmt.Errorf("no database: start `tenantpilot demo` with --data-dir %s, or set TENANTPILOT_DATABASE_URL: %w", dataDir, err)
	}
	switch role {
	case pgembed.OwnerRole:
		return handle.OwnerURL(pgembed.Database), nil
	case pgembed.AuditorRole:
		return handle.AuditorURL(pgembed.Database), nil
	}
	return handle.AppURL(pgembed.Database), nil
}

// keysetSource is the keyset's file, which may change while the process runs, or what the environment says; nil when there is none.
func (c config) keysetSource() secrets.Source {
	switch {
	case c.KeysetPath != "" && c.Keyset == strings.TrimSpace(c.KeysetFile):
		return secrets.File(c.KeysetPath)
	case c.Keyset != "":
		return secrets.Fixed([]byte(c.Keyset))
	}
	return nil
}
