package view

import "time"

// Notifications are the viewer's own: runs they started, and what those wait for.
type Notifications struct {
	Now   time.Time
	Tabs  []Choice
	Items []Notification
	Newer string
	Older string
	// MarkAllHref is posted to mark everything read; empty when nothing is unread.
	MarkAllHref string
	Empty       *Empty
}

// Notification is one entry, the newest state of its run only.
type Notification struct {
	ID     int64
	Href   string
	Title  string
	Text   string
	Badge  Badge
	Tenant string
	At     time.Time
	Unread bool
	// ReadHref is posted to mark it read.
	ReadHref string
}
