package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"tenantpilot/migrations/pgembed"
)

func serveCommand() *cobra.Command {
	var dataDir, listen, metricsListen string
	var breakGlass bool
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve the console and keep the read models", Args: noArgs,
		Long: `Serve the console and keep the read models. Runs are executed by "tenantpilot work", on this machine or another.

The database is TENANTPILOT_DATABASE_URL (the application's role), or else the running demo's. It is checked first: serve refuses one
that could lose acknowledged work or whose role could change history, and says what to do.

Read models whose tables hold another version than this program's are served as they are; with TENANTPILOT_OWNER_DATABASE_URL serve
rebuilds them while it serves, else "tenantpilot rebuild" does.

--metrics-listen is for Prometheus and probes: /metrics and /readyz?verbose are answered there to whoever asks, so keep the address to
yourself. On the console's address only people of the platform, and their tokens, get them.

People sign in with the identity provider that TENANTPILOT_OIDC_ISSUER and TENANTPILOT_OIDC_CLIENT_ID name, with sign-in links, and with
--break-glass also with the passwords that "tenantpilot breakglass" sets.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			change := func(c *config) { c.BreakGlass = c.BreakGlass || breakGlass }
			return withAppOf(cmd.Context(), dataDir, change, func(ctx context.Context, a *app, cfg config) error {
				if listen == "" {
					listen = cfg.Listen
				}
				listener, err := net.Listen("tcp", listen)
				if err != nil {
					return fmt.Errorf("listen: %w", err)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "serving http://%s\n", listener.Addr())
				inside, err := listenInside(cmd, cmp.Or(metricsListen, cfg.MetricsListen))
				if err != nil {
					return err
				}
				g, ctx := errgroup.WithContext(ctx)
				g.Go(func() error { return a.runLog(ctx) })
				g.Go(func() error { return a.serve(ctx, listener, inside) })
				g.Go(func() error { a.rebuildStale(ctx); return nil })
				return g.Wait()
			})
		},
	}
	cmd.Flags().BoolVar(&breakGlass, "break-glass", false, "let people sign in with break-glass accounts (also TENANTPILOT_BREAK_GLASS)")
	cmd.Flags().StringVar(&listen, "listen", "", "address to listen on (default TENANTPILOT_LISTEN, else 127.0.0.1:8080; port 0 picks one)")
	cmd.Flags().StringVar(&metricsListen, "metrics-listen", "", "address for /metrics and probes, such as 127.0.0.1:9090 (default TENANTPILOT_METRICS_LISTEN, else none)")
	dataDirFlag(cmd, &dataDir)
	return cmd
}

// listenInside listens where the process tells machines how it is doing, and says where; nil for no address.
func listenInside(cmd *cobra.Command, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics: %w", err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "metrics at http://%s/metrics\n", l.Addr())
	return l, nil
}

func workCommand() *cobra.Command {
	var dataDir, metricsListen string
	cmd := &cobra.Command{
		Use: "work", Short: "Execute accepted runs", Args: noArgs,
		Long: `Execute accepted runs against Microsoft Graph, and keep the read models. Start as many as you like, on as many machines.

The database is TENANTPILOT_DATABASE_URL (the application's role), or else the running demo's. TENANTPILOT_PLATFORM_SECRET is the
client secret of the platform's app, TENANTPILOT_PLATFORM_APP_ID; TENANTPILOT_FEDERATED_TOKEN_FILE has the token that federated credentials
sign in with; TENANTPILOT_LOGIN_URL and TENANTPILOT_GRAPH_URL point at a simulator.

--metrics-listen is as that of serve.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withApp(cmd.Context(), dataDir, func(ctx context.Context, a *app, _ config) error {
				inside, err := listenInside(cmd, metricsListen)
				if err != nil {
					return err
				}
				g, ctx := errgroup.WithContext(ctx)
				g.Go(func() error { return a.runLog(ctx) })
				g.Go(func() error { return a.runWorker(ctx) })
				if inside != nil {
					g.Go(func() error { return a.serve(ctx, nil, inside) })
				}
				return g.Wait()
			})
		},
	}
	cmd.Flags().StringVar(&metricsListen, "metrics-listen", "", "address for /metrics and probes, such as 127.0.0.1:9091 (default none)")
	dataDirFlag(cmd, &dataDir)
	return cmd
}

// withApp opens an app on the configured database, or the running demo's with its simulator, and closes it afterwards.
func withApp(ctx context.Context, dataDir string, do func(context.Context, *app, config) error) error {
	return withAppOf(ctx, dataDir, func(*config) {}, do)
}

// withAppOf is withApp with what the command line changes of the environment's configuration.
func withAppOf(ctx context.Context, dataDir string, change func(*config), do func(context.Context, *app, config) error) error {
	cfg, err := loadConfig()
	if err != nil {
		return err
	}
	change(&cfg)
	url, err := databaseURL(ctx, cfg, dataDir, pgembed.AppRole)
	if err != nil {
		return err
	}
	o := options{
		databaseURL: url, ownerURL: cfg.OwnerDatabaseURL, loginURL: cfg.LoginURL, graphURL: cfg.GraphURL, platformSecret: cfg.PlatformSecret, platformApp: cfg.PlatformApp, behindTLS: cfg.BehindTLS,
		tokenFile: cfg.FederatedTokenFile,
		publicURL: cfg.PublicURL, keyset: cfg.keysetSource(), breakGlass: cfg.BreakGlass, log: newLog(slog.LevelInfo),
	}
	if o.oidc, err = cfg.oidc(); err != nil {
		return usage(err)
	}
	if o.logKey, err = logKey(cfg, dataDir); err != nil {
		return err
	}
	if o.logKey == nil {
		o.log.Warn("there is no log key (TENANTPILOT_LOG_KEY_FILE): this process does not sign the log's heads")
	}
	if cfg.DatabaseURL == "" {
		o.followDemo(dataDir)
	}
	a, err := newApp(ctx, o)
	if err != nil {
		return err
	}
	defer a.Close()
	return do(ctx, a, cfg)
}
