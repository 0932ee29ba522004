package view

import (
	"net/url"
	"slices"
	"time"
)

// Held is a tenant on hold: nothing starts on it.
type Held struct {
	Tenant Link
	Reason string
	Since  time.Time
	Until  time.Time // zero: until released
	// ReleaseHref is the form that lifts the hold; empty when the viewer may not.
	ReleaseHref string
}

// HoldForm holds a tenant or lifts its hold. It is a dialog, and a page of its own.
type HoldForm struct {
	Tenant Link
	// Release says that it lifts the hold.
	Release bool
	// Headline names the object, Text the consequence.
	Headline string
	Text     string
	Action   string
	Back     string
	Reason   string
	// Lengths are how long a hold may last.
	Lengths []OptionChoice
	Length  string
	Submit  string
	Error   string
}

// HoldLengths are the choices of a hold's end, by the names that the form sends.
var HoldLengths = []struct {
	Name, Label string
	Length      time.Duration
}{{"1h", "For 1 hour", time.Hour}, {"4h", "For 4 hours", 4 * time.Hour}, {"24h", "For 24 hours", 24 * time.Hour}, {"7d", "For 7 days", 7 * 24 * time.Hour}, {"", "Until it is released", 0}}

// HoldHref is the form that holds a tenant, ReleaseHref the one that lifts the hold.
func HoldHref(external string) string { return "/admin/t/" + external + "/hold" }

// ReleaseHref is the form that lifts a tenant's hold.
func ReleaseHref(external string) string { return "/admin/t/" + external + "/release" }

// HoldButton is the way to hold a tenant, or to release it.
func HoldButton(external string, held bool) Button {
	if held {
		return Button{Label: "Release", Icon: "play", Href: ReleaseHref(external), Dialog: true}
	}
	return Button{Label: "Hold tenant", Icon: "circle-pause", Href: HoldHref(external), Dialog: true}
}

// held words the tenants on hold, each once.
func (f OperationsFacts) held() []Held {
	var list []Held
	for _, h := range f.Held {
		href := TenantHref(h.External.String())
		if slices.ContainsFunc(list, func(l Held) bool { return l.Tenant.Href == href }) {
			continue // another connection of the same tenant
		}
		held := Held{Tenant: Link{h.Name, href}, Reason: h.Reason, Since: h.Since, Until: at(h.Until)}
		if f.MayHold {
			held.ReleaseHref = ReleaseHref(h.External.String()) + "?back=" + url.QueryEscape(f.Base)
		}
		list = append(list, held)
	}
	return list
}
