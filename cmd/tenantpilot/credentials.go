package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tenantpilot/cmd/tenantpilot/internal/secrets"
)

// checkCredentials finds out whether the keyset opens every credential that is in use, says so in the log if not, and in readyz from then on.
// The process goes on: what it can open works, and new credentials are set in the console.
func (a *app) checkCredentials(ctx context.Context) {
	err := secrets.Check(ctx, a.pool, a.secrets)
	var lost *secrets.ErrUnopenable
	switch {
	case errors.As(err, &lost):
		text := unopenableText(lost, a.secrets != nil)
		a.unopenable = notice(text)
		a.log.ErrorContext(ctx, text)
	case err != nil:
		a.log.WarnContext(ctx, "credentials were not checked", "err", err)
	}
}

// unopenableText says how many credentials cannot be opened, whose they are, and what to do.
func unopenableText(lost *secrets.ErrUnopenable, keyset bool) string {
	why := "the keyset (TENANTPILOT_KEYSET_FILE) has no key for them"
	if !keyset {
		why = "this process has no keyset (TENANTPILOT_KEYSET_FILE)"
	}
	const named = 10
	names := make([]string, 0, named)
	for _, number := range lost.Connections[:min(named, len(lost.Connections))] {
		names = append(names, strconv.FormatInt(number, 10))
	}
	if more := len(lost.Connections) - named; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("%d stored credentials cannot be opened: %s. They are of the connections %s. Give it the keyset that sealed them, "+
		"from its copy; if that is lost, set new credentials on these connections", lost.Credentials, why, strings.Join(names, ", "))
}
