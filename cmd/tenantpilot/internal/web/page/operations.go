package page

import "tenantpilot/cmd/tenantpilot/internal/web/view"

// filterHint shows the grammar while there is room for it.
func filterHint(list view.OperationsList) string {
	if len(list.Chips) > 0 {
		return "Add a filter"
	}
	return "status:failed tenant:contoso -reason:throttled"
}
