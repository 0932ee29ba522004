package page

import "tenantpilot/cmd/tenantpilot/internal/web/view"

type shortcut struct {
	keys []string
	does string
}

// shortcutList names the shortcuts that do something on this page.
func shortcutList(shell view.Shell) []shortcut {
	list := []shortcut{
		{[]string{"/"}, "Filter the list"},
		{[]string{"j"}, "Next row"},
		{[]string{"k"}, "Previous row"},
		{[]string{"Enter"}, "Open the row"},
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
