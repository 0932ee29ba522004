package page

import "tenantpilot/cmd/tenantpilot/internal/web/view"

// paces are how often a page with a stream changes; the keys are app.js's.
var paces = []struct{ key, label string }{{"live", "Live"}, {"5", "Every 5 s"}, {"30", "Every 30 s"}, {"manual", "By hand"}}

type shortcut struct {
	keys []string
	does string
}

// shortcutList names the shortcuts that do something on this page.
func shortcutList(shell view.Shell) []shortcut {
	list := []shortcut{
		{[]string{"/"}, "Filter the list"},
		{[]string{"j", "↓"}, "Next row"},
		{[]string{"k", "↑"}, "Previous row"},
		{[]string{"Enter"}, "Open the row"},
		{[]string{"o", "Space"}, "Peek at the row"},
		{[]string{"Esc"}, "Close the peek"},
		{[]string{"x"}, "Select the row"},
		{[]string{"X"}, "Select up to the row"},
		{[]string{"["}, "Previous item of the list"},
		{[]string{"]"}, "Next item of the list"},
		{[]string{"n"}, "Next problem of a run"},
		{[]string{"e"}, "Open all events of a run"},
		{[]string{"c"}, "Copy the row's or page's id"},
	}
	if shell.StartHref != "" {
		list = append(list, shortcut{[]string{"s"}, "Start an operation"})
	}
	if shell.LiveHref != "" {
		list = append(list, shortcut{[]string{"r"}, "Pause or resume updates"})
	}
	list = append(list,
		shortcut{[]string{"t"}, "Change the theme"},
		shortcut{[]string{"u"}, "Change how times are shown"},
		shortcut{[]string{"?"}, "Show this help"},
	)
	for _, group := range shell.Nav {
		for _, item := range group.Items {
			if item.Key != "" {
				list = append(list, shortcut{[]string{"g", item.Key}, "Go to " + item.Label})
			}
		}
	}
	return list
}
