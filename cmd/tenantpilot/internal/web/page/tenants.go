package page

import "tenantpilot/cmd/tenantpilot/internal/web/view"

// connectionKind says what kind of connection a row is.
func connectionKind(row view.ConnectionRow) string {
	kind := row.Provider + ", " + row.ConnectionType
	if row.IsDefault {
		kind += ", default"
	}
	return kind
}
