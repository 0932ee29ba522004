package page

import "tenantpilot/cmd/tenantpilot/internal/web/view"

func holdVariant(f view.HoldForm) string {
	if f.Release {
		return "primary"
	}
	return "destructive"
}
