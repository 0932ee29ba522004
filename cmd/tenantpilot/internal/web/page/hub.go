package page

import (
	"strings"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

func runsCaption(oldest bool) string {
	if oldest {
		return "Operation runs, oldest first"
	}
	return "Operation runs, newest first"
}

func sortOrder(oldest bool) string {
	if oldest {
		return "ascending"
	}
	return "descending"
}

func columnLabel(key string) string {
	c, _ := view.ColumnOf(key)
	return c.Label
}

// columnClass says how a column is aligned and, by its own name, where a narrow screen puts it.
func columnClass(key string) string {
	if key == "progress" {
		return "progress-cell"
	}
	classes := []string{"run-" + key}
	c, _ := view.ColumnOf(key)
	switch {
	case c.End:
		classes = append(classes, "end")
	case key == "tenant" || key == "connection" || key == "initiator":
		classes = append(classes, "clip")
	}
	return strings.Join(classes, " ")
}

func matchingText(b view.Bulk) string {
	if b.More {
		return "Select the newest " + plural(b.Matching, "run", "runs")
	}
	return "Select all " + plural(b.Matching, "matching run", "matching runs")
}

func saveAsVerb(v *view.SavedViews) string {
	if v.Open.Owner != "" {
		return "Duplicate"
	}
	return "Save as"
}

func saveAsLabel(v *view.SavedViews) string {
	if v.Open != nil && v.Open.Owner != "" {
		return "Duplicate as a view of yours"
	}
	return "Save this list as a new view"
}
