package view

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/projections"
)

// ConnectionsHref is the list of provider connections.
const ConnectionsHref = "/admin/provider-connections"

// ConnectionHref is the page of a provider connection.
func ConnectionHref(number int64) string {
	return ConnectionsHref + "/" + strconv.FormatInt(number, 10)
}

// StartCheckHref is where a connection's check is started.
func StartCheckHref(number int64) string {
	return ConnectionHref(number) + "/actions/" + string(domain.OpConnectionCheck) + "/start"
}

// Number is a number as it stands in addresses.
func Number(n int64) string { return strconv.FormatInt(n, 10) }

// ChecksShown is how many of the last checks a list shows.
const ChecksShown = 14

// ConnectionsFacts is what the list of connections is made of.
type ConnectionsFacts struct {
	Query       url.Values
	Connections []projections.Connection
	Tenants     map[uuid.UUID]projections.Tenant
	Checks      map[int64][]domain.VerificationState // newest first
	MayManage   bool
	Now         time.Time
}

// axisKeys are the filter's names of the axes, in the one order in which they are always shown.
var axisKeys = []string{"lifecycle", "consent", "verification"}

// axisValues are the values of each axis, in the order of the bars.
var axisValues = map[string][]string{
	"lifecycle":    {"enabled", "disabled"},
	"consent":      {"granted", "required", "failed", "revoked", "unknown"},
	"verification": {"healthy", "degraded", "pending", "unknown", "blocked", "error"},
}

// connectionFilter says whether a connection passes one parameter of the filter. Unknown keys and values pass nothing on and are shown.
var connectionFilter = map[string]func(c projections.Connection, t projections.Tenant, value string, now time.Time) bool{
	"lifecycle": func(c projections.Connection, _ projections.Tenant, v string, _ time.Time) bool {
		return lifecycle(c) == v
	},
	"consent": func(c projections.Connection, _ projections.Tenant, v string, _ time.Time) bool {
		return string(c.Consent) == v
	},
	"verification": func(c projections.Connection, _ projections.Tenant, v string, _ time.Time) bool {
		return string(c.Verification) == v
	},
	"tenant": func(_ projections.Connection, t projections.Tenant, v string, _ time.Time) bool {
		return strings.EqualFold(t.ExternalID.String(), v) || strings.Contains(strings.ToLower(t.Name+" "+t.Domain), strings.ToLower(v))
	},
	"expiring": func(c projections.Connection, _ projections.Tenant, _ string, now time.Time) bool {
		e := ExpiryOf(c)
		return e != nil && e.Near(now)
	},
	"review": func(c projections.Connection, _ projections.Tenant, _ string, _ time.Time) bool {
		return c.MigrationReviewRequired
	},
	"hold": func(c projections.Connection, t projections.Tenant, _ string, now time.Time) bool {
		return heldBy(c, t, now) != ""
	},
	"q": func(c projections.Connection, t projections.Tenant, v string, _ time.Time) bool {
		return strings.Contains(strings.ToLower(c.DisplayName+" "+t.Name+" "+t.Domain), strings.ToLower(v))
	},
}

// knownFilter says whether the filter has such a parameter with such a value.
func knownFilter(key, value string) bool {
	value = strings.TrimPrefix(value, "-")
	if values, isAxis := axisValues[key]; isAxis {
		return slices.Contains(values, value)
	}
	switch key {
	case "expiring", "review", "hold":
		return value == "true"
	}
	_, known := connectionFilter[key]
	return known && value != ""
}

// UnknownFilters are the parameters that the list does not have, for programs: they are told, not shown another list than they asked for.
func (f ConnectionsFacts) UnknownFilters() []FieldError {
	var unknown []FieldError
	for _, key := range sortedKeys(f.Query) {
		for _, v := range f.Query[key] {
			if key != "format" && !knownFilter(key, v) {
				unknown = append(unknown, FieldError{Pointer: "/" + key, Code: "unknown_parameter", Message: "There is no filter " + key + " with this value."})
			}
		}
	}
	return unknown
}

// matches applies the filter: repeated parameters are any of, a leading "-" is not, different parameters are all of.
func (f ConnectionsFacts) matches(c projections.Connection) bool {
	for key, values := range f.Query {
		passes, known := connectionFilter[key]
		if !known {
			continue
		}
		wanted, any := false, false
		for _, v := range values {
			if !knownFilter(key, v) {
				continue
			}
			if not, negated := strings.CutPrefix(v, "-"); negated && key != "q" {
				if passes(c, f.Tenants[c.Tenant], not, f.Now) {
					return false
				}
				continue
			}
			wanted, any = true, any || passes(c, f.Tenants[c.Tenant], v, f.Now)
		}
		if wanted && !any {
			return false
		}
	}
	return true
}

// href is the list with a parameter set, or removed where value is empty.
func (f ConnectionsFacts) href(key, value string) string {
	q := url.Values{}
	for k, v := range f.Query {
		if k != key {
			q[k] = v
		}
	}
	if value != "" {
		q.Set(key, value)
	}
	if len(q) == 0 {
		return ConnectionsHref
	}
	return ConnectionsHref + "?" + q.Encode()
}

// PresentConnections is the list of provider connections.
func PresentConnections(f ConnectionsFacts) ConnectionList {
	l := ConnectionList{Now: f.Now, Action: ConnectionsHref, Query: f.Query.Get("q"), Bars: f.bars()}
	if f.MayManage {
		l.New = &Button{Label: "New connection", Icon: "plug", Href: ConnectionsHref + "/new", Variant: "primary"}
	}
	for _, key := range sortedKeys(f.Query) {
		if key == "q" || key == "format" {
			continue
		}
		for _, v := range f.Query[key] {
			value, negated := strings.CutPrefix(v, "-")
			l.Chips = append(l.Chips, Chip{Key: key, Value: value, Negated: negated, Known: knownFilter(key, v), RemoveHref: f.href(key, "")})
			l.Keep = append(l.Keep, Field{key, v})
		}
	}
	if len(l.Chips) > 0 || l.Query != "" {
		l.ClearHref = ConnectionsHref
	}
	for _, q := range [][2]string{{"expiring", "Expiring in 30 days"}, {"review", "Review required"}, {"hold", "On hold"}} {
		n, current := 0, f.Query.Get(q[0]) == "true"
		for _, c := range f.Connections {
			if connectionFilter[q[0]](c, f.Tenants[c.Tenant], "true", f.Now) {
				n++
			}
		}
		value := "true"
		if current {
			value = ""
		}
		l.Quick = append(l.Quick, Choice{Label: q[1], Href: f.href(q[0], value), Current: current, Count: &n})
	}
	for _, c := range f.Connections {
		if f.matches(c) {
			l.Rows = append(l.Rows, PresentConnectionLine(c, f.Tenants[c.Tenant], f.Checks[c.Number], f.Now))
		}
	}
	slices.SortStableFunc(l.Rows, func(a, b ConnectionRow) int {
		return strings.Compare(strings.ToLower(String(a.TenantLabel)), strings.ToLower(String(b.TenantLabel)))
	})
	l.Empty = f.empty(len(l.Rows))
	return l
}

func (f ConnectionsFacts) empty(shown int) *Empty {
	switch {
	case shown > 0:
		return nil
	case len(f.Connections) > 0:
		return &Empty{
			Icon: "funnel-x", Title: "No connections match this filter", Text: fmt.Sprintf("%d without it.", len(f.Connections)),
			Actions: []Button{{Label: "Clear filters", Href: ConnectionsHref}},
		}
	}
	e := &Empty{Icon: "plug", Title: "No provider connections yet", Text: "A connection says how a customer's directory is reached. Operations start through one."}
	if f.MayManage {
		e.Actions = []Button{{Label: "Connect a tenant", Href: NewOnboardingHref(""), Variant: "primary"}}
	} else {
		e.Text += " A manager of the workspace can create one."
	}
	return e
}

func (f ConnectionsFacts) bars() []AxisBar {
	bars := make([]AxisBar, 0, len(axisKeys))
	for i, key := range axisKeys {
		bar := AxisBar{Total: len(f.Connections)}
		for _, value := range axisValues[key] {
			badge := Axes{Lifecycle: value, Consent: value, Verification: value}.Badges()[i]
			segment := AxisSegment{Badge: badge, Href: f.href(key, value), Current: f.Query.Get(key) == value}
			if segment.Current {
				segment.Href = f.href(key, "")
			}
			for _, c := range f.Connections {
				if connectionFilter[key](c, projections.Tenant{}, value, f.Now) {
					segment.Count++
				}
			}
			bar.Axis = badge.Axis
			if segment.Count > 0 || segment.Current {
				bar.Segments = append(bar.Segments, segment)
			}
		}
		bars = append(bars, bar)
	}
	return bars
}

// PresentConnectionLine is a connection as a line of a list: the contract's row with what the page adds.
func PresentConnectionLine(c projections.Connection, t projections.Tenant, checks []domain.VerificationState, now time.Time) ConnectionRow {
	row := PresentConnection(c, t)
	row.Tenant = Link{t.Name, TenantHref(t.ExternalID.String())}
	row.Credential = credentialBadge(c, now)
	for _, state := range slices.Backward(checks[:min(len(checks), ChecksShown)]) {
		row.Checks = append(row.Checks, Axes{Verification: string(state)}.Badges()[2])
	}
	row.Held = heldBy(c, t, now)
	return row
}

// heldBy is the reason of the hold because of which nothing starts on a connection: its tenant's, or its own. None is empty.
func heldBy(c projections.Connection, t projections.Tenant, now time.Time) string {
	for _, h := range []domain.Hold{t.State().Hold, c.State().Hold} {
		if h.Active(now) {
			return h.Reason
		}
	}
	return ""
}

func credentialBadge(c projections.Connection, now time.Time) Badge {
	switch {
	case c.CredentialKind == "":
		return Badge{Icon: "circle-dashed", Word: "None", Tone: Stop}
	case c.CredentialExpiresAt == nil && c.CredentialKind == domain.CredentialPlatform:
		return Badge{Icon: "key-round", Word: "Platform's", Tone: Neutral}
	case c.CredentialExpiresAt == nil:
		return Badge{Icon: "key-round", Word: "No expiry", Tone: Neutral}
	case !c.CredentialExpiresAt.After(now):
		return Badge{Icon: "circle-x", Word: "Expired", Tone: Negative}
	}
	e := ExpiryOf(c)
	b := Badge{Icon: "key-round", Word: e.Short(now), Tone: e.Tone(now)}
	if e.Near(now) {
		b.Icon = "triangle-alert"
	}
	return b
}

// CredentialLine says what is known about a connection's credential without showing it: "secret set 2026-10-02 by Kim, expires in 61 d".
func CredentialLine(c projections.Connection, history []projections.TimelineEvent, now time.Time) string {
	if c.CredentialKind == "" {
		return ""
	}
	text := credentialKinds[c.CredentialKind]
	if text == "" {
		text = c.CredentialKind
	}
	for _, e := range history {
		if e.Name == (domain.CredentialRotated{}).EventName() {
			text += " set " + e.At.UTC().Format(time.DateOnly) + " by " + nameOrSystem(e.Actor)
			break
		}
	}
	switch {
	case c.CredentialExpiresAt == nil && (c.CredentialKind == domain.CredentialFederated || c.CredentialKind == domain.CredentialPlatform):
		return text // what ends is not the connection's
	case c.CredentialExpiresAt == nil:
		return text + ", expiry not known"
	case !c.CredentialExpiresAt.After(now):
		return text + ", expired " + c.CredentialExpiresAt.UTC().Format(time.DateOnly)
	}
	return text + ", expires in " + ExpiryOf(c).Short(now)
}

// PresentCredentialForm is the form of a connection's credential: what is known about it, and nothing of it. Its expiry is not
// filled in: sent along, it would become the next credential's.
func PresentCredentialForm(c projections.Connection, history []projections.TimelineEvent, now time.Time) CredentialForm {
	f := CredentialForm{
		Now: now, Name: c.DisplayName, Action: ConnectionHref(c.Number) + "/credential", Cancel: ConnectionHref(c.Number),
		Stored: CredentialLine(c, history, now),
		Kinds: []OptionChoice{
			{Value: "secret", Label: "Client secret"}, {Value: "certificate", Label: "Certificate"}, {Value: "federated", Label: "Federated credential"},
		},
	}
	if c.ConnectionType == "platform" {
		f.Kinds = append(f.Kinds, OptionChoice{Value: "platform", Label: "The platform's own"})
	}
	return f
}

var credentialKinds = map[string]string{
	"secret": "client secret", "certificate": "certificate", "federated": "federated credential", "platform": "the platform's own credential",
}

// CredentialKind is a kind of credential in words.
func CredentialKind(kind string) string { return credentialKinds[kind] }

func nameOrSystem(name string) string {
	if name == "" {
		return "TenantPilot"
	}
	return name
}

// PresentConnectionDetail is a connection as the contract's detail model.
func PresentConnectionDetail(c projections.Connection, t projections.Tenant, now time.Time) ConnectionDetail {
	row := PresentConnection(c, t)
	d := ConnectionDetail{
		ID: row.ID, DisplayName: row.DisplayName, Provider: row.Provider, ConnectionType: row.ConnectionType, IsDefault: row.IsDefault,
		EffectiveAppID: Text(c.AppID), State: row.State,
	}
	if t.State().Hold.Active(now) {
		d.Holds = append(d.Holds, ConnectionHold{"tenant", t.HoldReason, t.HoldUntil})
	}
	if c.State().Hold.Active(now) {
		d.Holds = append(d.Holds, ConnectionHold{"connection", c.HoldReason, c.HoldUntil})
	}
	if c.CredentialKind != "" {
		d.Credential = &ConnectionCredential{c.CredentialKind, c.CredentialExpiresAt}
	}
	if c.AppID != "" {
		d.EffectiveAppSource = Text(map[string]string{"platform": "platform_app", "dedicated": "customer_app"}[c.ConnectionType])
	}
	return d
}

// ConnectionFacts is what a connection's page is made of.
type ConnectionFacts struct {
	Connection projections.Connection
	Tenant     projections.Tenant
	History    []projections.TimelineEvent // newest first
	Runs       []projections.RunLine
	Readiness  []Readiness
	Exercises  []projections.Exercise // what its permissions were used for
	Unchecked  *UncheckedFacts        // of consent that was given and not checked
	Done       string                 // what was just done here, a key of banners
	AttemptID  string                 // of the check that a press would start
	Now        time.Time

	MayManage, MayHold, MayVerify bool
}

// PresentConnectionPage is a connection's page.
func PresentConnectionPage(f ConnectionFacts) ConnectionPage {
	c := f.Connection
	row := PresentConnection(c, f.Tenant)
	p := ConnectionPage{
		Now: f.Now, ID: c.Number, Name: c.DisplayName, Kind: c.Provider + ", " + c.ConnectionType,
		Tenant: Link{f.Tenant.Name, TenantHref(f.Tenant.ExternalID.String())}, Axes: row.State.Axes(), Readiness: f.Readiness,
		RunsHref: "/admin/operations?connection=" + strconv.FormatInt(c.Number, 10) + "&range=7d",
	}
	if row.IsDefault {
		p.Kind += ", the tenant's default"
	}
	p.Banner, p.Notices = f.banner(), f.notices()
	if f.Unchecked != nil {
		p.Unchecked = f.Unchecked.present(f.startCheck(""))
		p.Unchecked.Text = consentUnchecked + " " + p.Unchecked.Text
	}
	p.Buttons = f.buttons(row.IsDefault)
	if f.checking() {
		p.ActiveCheck = &Link{"run " + strconv.FormatInt(*c.ScopeRunNumber, 10), RunHref(*c.ScopeRunNumber)}
	}
	p.Facts = f.facts(row)
	changes := axisChanges(c, f.History)
	p.Cards = f.cards(changes)
	p.Strips = strips(c, changes, f.Now)
	p.History = changes[:min(len(changes), 50)]
	p.Permissions = ConnectionTruth(c, f.Exercises, f.Now)
	p.Permissions.ID = "connection-permissions"
	p.Diagnostics = diagnostics(row.State.Diagnostics, at(c.LastCheckedAt))
	for _, l := range f.Runs {
		p.Runs = append(p.Runs, PresentRunRow(l, f.Now))
	}
	return p
}

func (f ConnectionFacts) checking() bool {
	return f.Connection.ScopeRunNumber != nil && f.Connection.ScopeOperation == domain.OpConnectionCheck
}

// startCheck is the button that starts the check. Where consent is in question, pressing it says that it has been given since.
func (f ConnectionFacts) startCheck(variant string) *Button {
	if !f.MayVerify {
		return nil
	}
	b := &Button{
		Label: "Start verification", Icon: "play", Href: StartCheckHref(f.Connection.Number), Post: true, Variant: variant, Key: "v",
		Fields: []Field{{"attempt_id", f.AttemptID}, {"sourceSurface", "console.connection"}},
	}
	switch f.Connection.Consent {
	case domain.ConsentRequired, domain.ConsentIsGone, domain.ConsentIsFailed:
		b.Label, b.Fields = "I have consented, check", append(b.Fields, Field{"reconsent", "true"})
	}
	return b
}

func (f ConnectionFacts) buttons(isDefault bool) []Button {
	c, here := f.Connection, ConnectionHref(f.Connection.Number)
	var list []Button
	if f.checking() {
		list = append(list, Button{Label: "Refresh", Icon: "refresh-cw", Href: here})
	} else if b := f.startCheck("primary"); b != nil {
		list = append(list, *b)
	}
	change := func(label, icon, name string) {
		list = append(list, Button{Label: label, Icon: icon, Href: here + "/changes/" + name, Dialog: true})
	}
	if f.MayManage {
		list = append(list, Button{Label: "Edit", Icon: "settings", Href: here + "/edit"},
			Button{Label: "Rotate credential", Icon: "key-round", Href: here + "/credential"})
		if c.MigrationReviewRequired {
			change("Complete review", "list-checks", "review")
		}
		if !isDefault {
			change("Make default", "star", "default")
		}
	}
	if f.MayHold {
		if c.State().Hold.Active(f.Now) {
			change("Release hold", "play", "release")
		} else {
			change("Hold", "pause", "hold")
		}
	}
	if f.MayManage {
		if c.Enabled {
			change("Disable", "power-off", "disable")
		} else {
			change("Enable", "power", "enable")
		}
	}
	return list
}

func (f ConnectionFacts) notices() []Notice {
	var list []Notice
	c := f.Connection
	if c.State().Hold.Active(f.Now) {
		list = append(list, Notice{Icon: "circle-pause", Tone: Stop, Text: "On hold: " + c.HoldReason, Until: at(c.HoldUntil)})
	}
	if f.Tenant.State().Hold.Active(f.Now) {
		list = append(list, Notice{Icon: "circle-pause", Tone: Stop, Text: "The tenant is on hold: " + f.Tenant.HoldReason, Until: at(f.Tenant.HoldUntil)})
	}
	if c.MigrationReviewRequired {
		list = append(list, Notice{Icon: "triangle-alert", Tone: Warning, Text: "This connection was imported. Nothing starts on it until somebody has reviewed its settings."})
	}
	if c.ScopeRunNumber != nil && !f.checking() {
		list = append(list, Notice{
			Icon: "contrast", Tone: Active,
			Text: domain.OperationByType(c.ScopeOperation).Label + " is using the connection (run " + strconv.FormatInt(*c.ScopeRunNumber, 10) + ").",
		})
	}
	return list
}

// banners are what is said once after something was done, by the word in the address.
var banners = map[string]struct {
	text  string
	tone  Tone
	check bool // offers Check now
}{
	"created":    {"The connection was created. Set its credential and get the customer's consent, then check it.", Positive, false},
	"saved":      {"Saved. Consent and verification are as they were.", Positive, false},
	"app":        {"Saved. It is another app now: the credential has to be set anew, and consent and verification were reset to unknown.", Warning, false},
	"credential": {"The credential was saved and will not be shown again. The verification was reset to unknown.", Warning, true},
	"enable":     {"The connection is enabled. Consent and verification are as they were.", Positive, true},
	"disable":    {"The connection is disabled. Nothing starts on it until it is enabled again.", Stop, false},
	"default":    {"Operations of this tenant use this connection when none is named.", Positive, false},
	"hold":       {"The connection is on hold. Nothing starts on it until the hold ends.", Stop, false},
	"release":    {"The hold was released.", Positive, false},
	"review":     {"The review is completed. Operations may start unless something else keeps them.", Positive, false},
}

// SaidAfter says whether there is a banner for a word of the address.
func SaidAfter(done string) bool { _, ok := banners[done]; return ok }

func (f ConnectionFacts) banner() *Banner {
	said, ok := banners[f.Done]
	if !ok {
		return nil
	}
	b := &Banner{Text: said.text, Tone: said.tone, Icon: "circle-check"}
	if said.tone != Positive {
		b.Icon = "info"
	}
	if check := f.startCheck("outline"); said.check && check != nil && !f.checking() {
		check.Label, check.Key = "Check now", ""
		b.Buttons = []Button{*check}
	}
	if f.MayManage && f.Connection.CredentialKind == "" {
		b.Buttons = append(b.Buttons, Button{Label: "Set credential", Icon: "key-round", Href: ConnectionHref(f.Connection.Number) + "/credential"})
	}
	return b
}

func (f ConnectionFacts) facts(row ConnectionRow) []Fact {
	c := f.Connection
	list := []Fact{{Label: "Tenant", Text: f.Tenant.Name, Href: TenantHref(f.Tenant.ExternalID.String())}, {Label: "Type", Text: row.ConnectionType}}
	if c.AppID != "" {
		source := map[string]string{"platform": "our multi-tenant app", "dedicated": "the customer's app"}[c.ConnectionType]
		list = append(list, Fact{Label: "App id", Text: c.AppID, Mono: true}, Fact{Label: "App", Text: source})
	}
	credential := credentialBadge(c, f.Now)
	line := CredentialLine(c, f.History, f.Now)
	if line == "" {
		line = "none set"
	}
	list = append(list, Fact{Label: "Credential", Text: line})
	if credential.Tone == Negative || credential.Tone == Warning {
		list[len(list)-1].Badge = &credential
	}
	if row.Scope != nil {
		return append(list, Fact{Label: "Scope", Text: "held by " + row.Scope.Label, Href: row.Scope.Href})
	}
	return append(list, Fact{Label: "Scope", Text: "free"})
}

func diagnostics(d ProviderDiagnostics, checked time.Time) []Fact {
	list := []Fact{{Label: "Last checked", Time: checked}}
	if checked.IsZero() {
		list[0].Text = "never"
	}
	if d.LastErrorReasonCode != nil {
		list = append(list, Fact{Label: "Last error", Text: *d.LastErrorReasonCode, Mono: true}, Fact{Label: "Means", Text: String(d.LastErrorMessage)})
	}
	if d.ConsentErrorCode != nil {
		list = append(list, Fact{Label: "Consent error", Text: *d.ConsentErrorCode, Mono: true}, Fact{Label: "Means", Text: String(d.ConsentErrorMessage)})
	}
	return list
}

// meanings says what a value of an axis means for whoever wants to start something, by "axis value".
var meanings = map[string]string{
	"Lifecycle enabled":     "People allow operations on it.",
	"Lifecycle disabled":    "Switched off by a person: nothing starts on it.",
	"Consent unknown":       "Nobody has asked the customer yet, as far as we know.",
	"Consent required":      "The customer's administrator has to consent to the app.",
	"Consent granted":       "The customer's administrator has consented to the app.",
	"Consent failed":        "Asking for consent ended with an error.",
	"Consent revoked":       "Consent was given once and is gone.",
	"Verification unknown":  "Not checked since it, its app or its credential changed.",
	"Verification pending":  "A check is under way.",
	"Verification healthy":  "The last check could do all it tried.",
	"Verification degraded": "The last check worked with some permissions missing. Operations that do not need them may start.",
	"Verification blocked":  "The last check was refused: nothing starts until that is put right.",
	"Verification error":    "The last check could not be carried out.",
}

func (f ConnectionFacts) cards(changes []AxisChange) []AxisCard {
	c := f.Connection
	values := []string{lifecycle(c), string(c.Consent), string(c.Verification)}
	cards := make([]AxisCard, 0, len(values))
	for i, b := range axes(c.Enabled, c.Consent, c.Verification).Badges() {
		card := AxisCard{Badge: b, Meaning: meanings[b.Axis+" "+values[i]], Next: f.next(i)}
		for _, change := range changes {
			if change.Badge.Axis == b.Axis {
				card.Since, card.Event, card.By = change.At, change.Event, change.By
				break
			}
		}
		cards = append(cards, card)
	}
	return cards
}

// next is what to do about an axis, for those who may; nil when it is as it should be.
func (f ConnectionFacts) next(axis int) *Link {
	c, here := f.Connection, ConnectionHref(f.Connection.Number)
	switch axis {
	case 0:
		if !c.Enabled && f.MayManage {
			return &Link{"Enable the connection", here + "/changes/enable"}
		}
	case 1:
		if c.Consent != domain.ConsentIsGiven {
			return &Link{Label: "Ask the customer's administrator to consent, then check"}
		}
	case 2:
		switch {
		case f.checking():
			return &Link{"Follow the check", RunHref(*c.ScopeRunNumber)}
		case c.CredentialKind == "" && f.MayManage:
			return &Link{"Set the credential first", here + "/credential"}
		case c.Verification == domain.VerificationHealthy:
			return nil
		case c.LastErrorReason != "":
			return &Link{Label: domain.ReasonFor(c.LastErrorReason).Short}
		case f.MayVerify:
			return &Link{Label: "Start a verification"}
		}
	}
	return nil
}

func lifecycle(c projections.Connection) string {
	if c.Enabled {
		return "enabled"
	}
	return "disabled"
}

// axisChanges turns the events of a connection's stream into lines, the newest first. What a change of the app reset is a line per axis.
// Where the history does not reach back to the creation, the axes that it says nothing about are taken to be what they are now.
func axisChanges(c projections.Connection, history []projections.TimelineEvent) []AxisChange {
	var list []AxisChange
	state := domain.ProviderConnection{}
	if n := len(history); n > 0 && history[n-1].Name != (domain.ProviderConnectionCreated{}).EventName() {
		state = c.State()
	}
	for _, e := range slices.Backward(history) {
		data, err := domain.Decode(e.Name, e.Payload)
		if err != nil {
			list = append(list, AxisChange{At: e.At, Badge: Badge{Icon: "circle-dashed", Word: e.Name, Tone: Neutral}, Event: e.Name, By: nameOrSystem(e.Actor)})
			continue
		}
		before := state
		state = state.Evolve(data)
		list = append(list, linesOf(before, state, data, e)...)
	}
	slices.Reverse(list)
	return list
}

func linesOf(before, after domain.ProviderConnection, data domain.Event, e projections.TimelineEvent) []AxisChange {
	line := AxisChange{At: e.At, Event: e.Name, By: nameOrSystem(e.Actor), Text: changeText(data)}
	three := axes(after.Enabled, after.Consent, after.Verification).Badges()
	moved := [3]bool{after.Enabled != before.Enabled, after.Consent != before.Consent, after.Verification != before.Verification}
	switch data.(type) {
	case domain.ProviderConnectionCreated:
		moved = [3]bool{true, true, true}
	case domain.VerificationRecorded, domain.CredentialRotated:
		moved[2] = true // said again is said anew
	}
	var lines []AxisChange
	for i := len(three) - 1; i >= 0; i-- {
		if moved[i] {
			of := line
			of.Badge = three[i]
			lines = append(lines, of)
		}
	}
	if len(lines) == 0 {
		line.Badge = Badge{Icon: "history", Word: changeWord(data), Tone: Neutral}
		lines = append(lines, line)
	}
	return lines
}

func changeWord(data domain.Event) string {
	switch data.(type) {
	case domain.ConnectionHeld:
		return "Held"
	case domain.ConnectionReleased:
		return "Released"
	case domain.ConnectionChanged:
		return "Changed"
	case domain.MigrationReviewCompleted:
		return "Reviewed"
	case domain.ConsentAnswerIgnored:
		return "Consent answer ignored"
	}
	return "Recorded"
}

func changeText(data domain.Event) string {
	reason := func(r domain.ReasonCode) string {
		if r == "" {
			return ""
		}
		return domain.ReasonFor(r).Short
	}
	switch d := data.(type) {
	case domain.ProviderConnectionCreated:
		return "Created as " + d.DisplayName
	case domain.ConnectionChanged:
		return "Settings changed: " + d.DisplayName + ", " + d.ConnectionType
	case domain.ConnectionDisabled:
		return d.Reason
	case domain.ConnectionHeld:
		return d.Hold.Reason
	case domain.CredentialRotated:
		if d.Credential.Kind == domain.CredentialPlatform {
			return "The platform's own credential is in use"
		}
		return "Another " + credentialKinds[d.Credential.Kind] + " is in use"
	case domain.ConsentRequested:
		return reason(d.Reason)
	case domain.ConsentFailed:
		return reason(d.Reason)
	case domain.ConsentRevoked:
		return reason(d.Reason)
	case domain.ConsentAnswerIgnored:
		return reason(d.Reason)
	case domain.VerificationStarted:
		return "A check was admitted"
	case domain.VerificationRecorded:
		return reason(d.Reason)
	case domain.MigrationReviewCompleted:
		return "Migration review completed"
	}
	return ""
}

// stripSpan is how far back the strips look.
const stripSpan = 90 * 24 * time.Hour

// strips show each axis over time, as far back as the history that was read goes.
func strips(c projections.Connection, changes []AxisChange, now time.Time) []AxisStrip {
	if len(changes) == 0 {
		return nil
	}
	from := now.Add(-stripSpan)
	if first := changes[len(changes)-1].At; first.After(from) {
		from = first
	}
	var list []AxisStrip
	for _, b := range axes(c.Enabled, c.Consent, c.Verification).Badges() {
		strip := AxisStrip{Axis: b.Axis, From: from, To: now}
		until := now
		for _, change := range changes {
			if change.Badge.Axis != b.Axis {
				continue
			}
			start := change.At
			if start.Before(from) {
				start = from
			}
			if start.Before(until) {
				strip.Pieces = append(strip.Pieces, StripPiece{start, until, change.Badge})
			}
			if until = change.At; !until.After(from) {
				break
			}
		}
		slices.Reverse(strip.Pieces)
		list = append(list, strip)
	}
	return list
}

// PresentConflict shows what somebody else saved beside what was entered.
func PresentConflict(mine domain.ConnectionChanged, c projections.Connection, history []projections.TimelineEvent) Conflict {
	conflict := Conflict{TheirsHref: ConnectionHref(c.Number) + "/edit", By: "Somebody", Fields: []ConflictField{
		{"Display name", mine.DisplayName, c.DisplayName}, {"Connection type", mine.ConnectionType, c.ConnectionType}, {"App id", mine.AppID, c.AppID},
	}}
	for _, e := range history {
		var changed domain.ConnectionChanged
		if e.Name == changed.EventName() && json.Unmarshal(e.Payload, &changed) == nil {
			conflict.By, conflict.At = nameOrSystem(e.Actor), e.At
			break
		}
	}
	return conflict
}

// PresentSystemTenant is a tenant as the platform sees it: counts that rest on verification and permission truth and on nothing else.
func PresentSystemTenant(t projections.PlatformTenant, connections []projections.Connection) SystemTenantRow {
	row := SystemTenantRow{
		TenantID: t.Number, TenantLabel: t.Name, WorkspaceLabel: t.WorkspaceName, ProviderConnectionsCount: len(connections),
		Href: "/system/directory/tenants/" + strconv.FormatInt(t.Number, 10), SystemHealth: "not_connected", Why: "No provider connection",
	}
	if len(connections) == 0 {
		return row
	}
	missing := map[string]bool{}
	var why []string
	for _, c := range connections {
		state := c.State()
		for _, p := range state.MissingPermissions() {
			missing[p] = true
		}
		said := "verification " + string(c.Verification)
		switch state.Severity() {
		case domain.SeverityCritical:
			row.CriticalProviderCount++
		case domain.SeverityWarning:
			row.WarningProviderCount++
		default:
			continue
		}
		if n := len(state.RefusedPermissions()); n > 0 {
			said += ", " + count(n, "permission", "permissions") + " refused"
		}
		why = append(why, said)
	}
	row.MissingPermissionCount = len(missing)
	row.SystemHealth, row.Why = string(domain.SeverityNone), "Every connection is verified with all permissions"
	switch {
	case row.CriticalProviderCount > 0:
		row.SystemHealth = string(domain.SeverityCritical)
	case row.WarningProviderCount > 0:
		row.SystemHealth = string(domain.SeverityWarning)
	}
	slices.Sort(why)
	if len(missing) > 0 {
		why = append(why, count(len(missing), "permission", "permissions")+" missing")
	}
	if len(why) > 0 {
		row.Why = strings.Join(slices.Compact(why), "; ")
		row.Why = strings.ToUpper(row.Why[:1]) + row.Why[1:]
	}
	return row
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// HealthBadge words a tenant's system health.
func HealthBadge(health string) Badge {
	return vocabulary{
		"critical":      {Icon: "octagon-alert", Word: "Critical", Tone: Negative},
		"warning":       {Icon: "triangle-alert", Word: "Warning", Tone: Warning},
		"healthy":       {Icon: "circle-check", Word: "Healthy", Tone: Positive},
		"not_connected": {Icon: "circle-dashed", Word: "Not connected", Tone: Neutral},
	}.of(health)
}

// PresentSystemDirectory sorts the tenants by the worst and counts them by health.
func PresentSystemDirectory(rows []SystemTenantRow, now time.Time) SystemDirectory {
	order := []string{"critical", "warning", "not_connected", "healthy"}
	slices.SortStableFunc(rows, func(a, b SystemTenantRow) int {
		return slices.Index(order, a.SystemHealth) - slices.Index(order, b.SystemHealth)
	})
	d := SystemDirectory{Now: now, Rows: rows}
	for _, health := range order {
		segment := AxisSegment{Badge: HealthBadge(health)}
		for _, r := range rows {
			if r.SystemHealth == health {
				segment.Count++
			}
		}
		if segment.Count > 0 {
			d.Bars = append(d.Bars, segment)
		}
	}
	return d
}

// PresentSystemConnection is a connection as the platform sees it: the row that the workspace sees, without ways into the workspace.
func PresentSystemConnection(c projections.Connection, t projections.PlatformTenant, now time.Time) ConnectionRow {
	row := PresentConnectionLine(c, projections.Tenant{Name: t.Name, DefaultConnection: t.Default}, nil, now)
	row.Href, row.Scope, row.Tenant, row.Held = "", nil, Link{}, ""
	return row
}
