package domain

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// -update writes the golden files that are missing. It never changes one that is there: the log of every installation holds such
// bytes, a hash of them is in the log's tree, and they are read for ever. Where an event has to say something else, it gets another
// name; a golden file is changed by hand only, as long as no release has written the event.
var update = flag.Bool("update", false, "write the golden files of events that have none; existing files are never changed")

const goldenDir = "testdata/events"

func goldenFile(name string) string { return filepath.Join(goldenDir, name+".json") }

// samples is every stored event filled with lifelike values, no field left out.
func samples() []Event {
	id := func(n int) uuid.UUID { return uuid.MustParse("0191f3a0-7c00-7000-8000-0000000000" + strconv.Itoa(n)) }
	const identity = "8109e3febb06e03171a714bed8b66e86"
	ada, grace := ActorRef{Kind: ActorPerson, ID: id(11)}, ActorRef{Kind: ActorPerson, ID: id(12)}
	hold := Hold{Reason: "Change freeze until the audit is over", Until: now.Add(48 * time.Hour)}
	about := AttemptFacts{
		Attempt: id(21), Operation: OpGroupsSync, Identity: identity, Tenant: id(31), Connection: 7,
		Inputs: map[string]string{"selectionKey": DefaultSelectionKey}, Surface: "web", Trigger: TriggerOperator, Initiator: ada,
		Facts: Facts{
			Rule: 8, Enabled: true, Consent: ConsentIsGiven, Verification: VerificationDegraded, ConnectionVersion: 12,
			CredentialExpires: now.AddDate(0, 6, 0), HoldReason: hold.Reason, HoldUntil: hold.Until,
			Permissions: []string{"GroupMember.Read.All"},
		},
	}
	holder := ScopeHolder{
		Run: id(41), RunNumber: 1041, Operation: OpGroupsSync, Identity: identity, Initiator: grace, Since: now.Add(-3 * time.Minute),
	}
	scope := Scope{
		Tenants: []uuid.UUID{id(31)}, Groups: []string{"Europe"}, ExceptTenants: []uuid.UUID{id(34)}, ExceptGroups: []string{"VIP"},
	}
	return []Event{
		WorkspaceCreated{Workspace: id(10), Name: "Nørdwind <MSP> & Co"},
		MemberAdded{Person: id(11), Role: RoleOperator, Tenants: []uuid.UUID{id(31), id(32)}},
		MemberRoleChanged{Person: id(11), Role: RoleManager, Tenants: []uuid.UUID{id(31)}},
		MemberRemoved{Person: id(11)},
		WorkspaceRenamed{Name: "Nørdwind & Sons"},
		SessionsEnded{Person: id(11), Sessions: 2},
		EvidenceExported{
			Kind: "tenant", Tenant: id(31), Run: id(41), From: now.AddDate(0, -1, 0), To: now, First: 1812, Last: 4711, Events: 37, HeadSize: 5120,
			Digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		},
		TenantRegistered{Tenant: id(31), Number: 4, Workspace: id(10), ExternalID: id(33), Name: "Contoso", Domain: "contoso.example"},
		TenantRenamed{Name: "Contoso Europe"},
		BreakGlassSet{Person: id(11)},
		BreakGlassRemoved{Person: id(11)},
		BreakGlassUsed{Person: id(11)},
		SignInLinkDrawn{Person: id(11), Until: now.Add(time.Hour)},
		TenantHeld{hold},
		TenantReleased{Reason: "The change freeze is over"},
		DefaultConnectionChosen{Connection: 7},
		ProviderConnectionCreated{
			Connection: id(34), Number: 7, Workspace: id(10), Tenant: id(31), Provider: "microsoft", DisplayName: "Contoso production",
			ConnectionType: "dedicated", AppID: "5f0c2f0e-8d6e-4f0b-9a55-1d2f6b3f7a10", MigrationReviewRequired: true,
		},
		ConnectionChanged{DisplayName: "Contoso dedicated", ConnectionType: "dedicated", AppID: "0d0a4a4e-3a0c-4b0f-8a53-5b1de2d9f3c4"},
		ConnectionEnabled{},
		ConnectionDisabled{Reason: "The customer is leaving"},
		MigrationReviewCompleted{},
		ConnectionHeld{hold},
		ConnectionReleased{"The key ceremony is over"},
		CredentialRotated{Credential{Kind: "certificate", Fingerprint: "9f2c41d07ab8", ExpiresAt: now.AddDate(1, 0, 0)}},
		CredentialExpiring{
			Connection: 7, Tenant: id(31), Days: 14,
			Credential: Credential{Kind: "certificate", Fingerprint: "9f2c41d07ab8", ExpiresAt: now.AddDate(0, 0, 13)},
		},
		ConsentRequested{Reason: ReasonProviderConsentMissing},
		ConsentGranted{Evidence: EvidenceCheck, Run: id(41)},
		ConsentFailed{Reason: ReasonProviderConsentDenied},
		ConsentAnswerIgnored{Reason: ReasonConsentStateInvalid, Directory: id(34).String()},
		ConsentRevoked{Reason: ReasonProviderConsentRevoked},
		VerificationStarted{Run: id(41)},
		VerificationRecorded{
			Run: id(41), State: VerificationDegraded, Reason: ReasonProviderLicenseMissing, CheckedAt: now,
			Granted: []string{"Application.Read.All", "Directory.Read.All"}, Refused: []string{"Policy.Read.All"},
		},
		ScopeAcquired{holder},
		ScopeReleased{Run: id(41)},
		RunAccepted{AttemptFacts: about, Run: id(42), Number: 1042, Reconsent: true},
		RunDeduped{AttemptFacts: about, Holder: holder},
		ScopeBusy{AttemptFacts: about, Holder: holder},
		StartBlocked{AttemptFacts: about, Reason: ReasonProviderPermissionMissing},
		RunStarted{Token: 90071, Try: 1, Worker: "worker-a/7"},
		RunProgressed{Token: 90071, Progress: Progress{
			Step: "Reading groups", Done: 400, Total: 812, WaitingUntil: now.Add(30 * time.Second), WaitingFor: ReasonProviderRateLimited,
		}},
		RunItemsRecorded{Token: 90071, Items: []Item{{
			Key: "groups", Name: "Directory groups", Type: "group", Intent: "read", Result: ItemUnknown, Count: 812,
			Content: "sha256:6b86b273ff34fce19d6b804eff5a3f57", Partial: true, Reason: ReasonProviderUnreachable,
			RequestID: "b1f7a0d2-2c1f-4f0e-8a3b-7f1d1c9a2e55",
		}}},
		RunCancelRequested{By: grace},
		RunAwaitingApproval{Token: 90071, Until: now.Add(72 * time.Hour)},
		RunRecovered{Token: 90072, Try: 2, Worker: "worker-b/3"},
		RunCompleted{
			Token: 90072, Counts: Counts{Confirmed: 810, Refused: 1, Unknown: 1},
			Ending: Ending{
				Outcome: PartiallySucceeded, Reason: ReasonProviderUnreachable, Summary: "810 of 812 groups were read",
				Diagnostics: map[string]string{"requestId": "b1f7a0d2", "httpStatus": "504"},
			},
		},
		StartReserved{Reservation{
			ID: id(61), Operation: OpGroupsSync, Identity: identity, Tenant: id(31), Connection: 7,
			Inputs: map[string]string{"selectionKey": DefaultSelectionKey}, Initiator: ada, Surface: "web", Trigger: TriggerOperator,
			Reconsent: true, Holder: 1001, Until: now.Add(ReservationTime), Session: id(71),
		}},
		ReservationEnded{
			Reservation: id(61), End: ReservationAdmitted, Attempt: id(62), Outcome: IsBlocked, Reason: ReasonTenantOnHold, RunNumber: 1002,
		},
		MemberScoped{Person: id(11), Scope: scope},
		MemberInvited{Person: id(13), Role: "night-shift", Scope: scope, Until: now.Add(7 * 24 * time.Hour)},
		InvitationAccepted{Person: id(13), Role: "night-shift", Scope: scope},
		InvitationWithdrawn{Person: id(14)},
		RoleDefined{Role: "night-shift", Capabilities: []Capability{CapDirectorySync, CapView}},
		RoleRemoved{Role: "day-shift"},
		TenantGrouped{Groups: []string{"Europe", "Gold"}},
		TenantInspected{},
		PersonDescribed{Person: id(11), Sealed: "bm9uY2Ugb2YgdHdlbHZlLCBhbmQgdGhlIGNpcGhlcnRleHQ="},
		PersonErased{Person: id(11)},
		TokenIssued{
			Token: id(81), Workspace: id(10), Owner: id(11), Name: "CI", Prefix: "tp_Yq3k", Scopes: []Capability{CapDirectorySync, CapProviderVerify},
			Tenants: []uuid.UUID{id(31)}, Expires: now.Add(TokenTime),
		},
		TokenRotated{Prefix: "tp_8sKw", Overlap: now.Add(TokenOverlap), Expires: now.Add(TokenTime)},
		TokenRevoked{By: ada},
		OnboardingStarted{Session: id(71), Number: 3, Workspace: id(10), ExternalID: id(33), Owner: ada},
		TenantIdentified{Tenant: id(31), Managed: true},
		ConnectionChosen{Connection: 7, Created: true},
		VerificationRequested{Attempt: id(21), Connection: 7, Outcome: IsBlocked, Reason: ReasonProviderConsentMissing, RunNumber: 1042},
		BootstrapSelected{Connection: 7, Operations: []BootstrapItem{{OpGroupsSync, id(61)}, {OpRoleDefinitionsSync, id(63)}}},
		BootstrapOperationAdmitted{
			Operation: OpGroupsSync, Reservation: id(61), Outcome: IsBlocked, Reason: ReasonTenantOnHold, RunNumber: 1002,
		},
		BootstrapStopped{Reservations: []uuid.UUID{id(63)}},
		OnboardingTakenOver{From: ada, By: grace},
		OnboardingCompleted{Connection: 7, Verification: VerificationDegraded, Accepted: "Groups are all we need"},
		OnboardingAbandoned{Reason: "The customer left"},
		AttemptReplayed{Attempt: id(21), Replay: id(22), Preview: id(71), By: grace, With: id(23)},
	}
}

func TestEverySampleIsFilledToTheLastField(t *testing.T) {
	t.Parallel()
	for _, e := range samples() {
		for _, path := range emptyLeaves(reflect.ValueOf(e), e.EventName()) {
			if slices.ContainsFunc(slices.Collect(maps.Keys(later)), func(suffix string) bool { return strings.HasSuffix(path, suffix) }) {
				continue
			}
			t.Errorf("%s is zero in the sample: fill it in and look at what the new field means for stored events", path)
		}
	}
}

// emptyLeaves lists the fields below v that say nothing.
func emptyLeaves(v reflect.Value, path string) []string {
	var empty []string
	switch _, isTime := v.Interface().(time.Time); {
	case v.Kind() == reflect.Struct && !isTime:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				return append(empty, path+"."+f.Name+" (not exported, so not stored)")
			}
			empty = append(empty, emptyLeaves(v.Field(i), path+"."+f.Name)...)
		}
		return empty
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			empty = append(empty, emptyLeaves(v.Index(i), path+"["+strconv.Itoa(i)+"]")...)
		}
	case v.Kind() == reflect.Map:
		for _, k := range v.MapKeys() {
			empty = append(empty, emptyLeaves(v.MapIndex(k), path+"["+k.String()+"]")...)
		}
	}
	if v.IsZero() || (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0 {
		empty = append(empty, path)
	}
	return empty
}

// later are the members that came to an event later, by where they are: an event, the member's stored form, and before which other it stands. They
// are optional, so that events without them are read and written as they always were, which the golden files show.
var later = map[string]struct{ event, member, before string }{
	".Facts.HoldOf":           {"StartBlocked", `"holdOf":"connection"`, `"holdReason":`},
	"EvidenceExported.Number": {"EvidenceExported", `"runNumber":1042`, `"tenant":`},
}

func TestMembersThatCameLaterAreStored(t *testing.T) {
	t.Parallel()
	for path, l := range later {
		stored, err := os.ReadFile(goldenFile(l.event))
		if err != nil {
			t.Fatal(err)
		}
		stored = bytes.Replace(stored, []byte(l.before), []byte(l.member+","+l.before), 1)
		got, err := Decode(l.event, stored)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Encode(got); err != nil || !bytes.Equal(again, stored) {
			t.Errorf("%s: the stored form changed, %v\n  now %s\nwant %s", path, err, again, stored)
		}
		if empty := emptyLeaves(reflect.ValueOf(got), l.event); len(empty) > 0 {
			t.Errorf("%s: %v is not read", path, empty)
		}
	}
}

func TestEmptyLeavesFindsThem(t *testing.T) {
	t.Parallel()
	got := emptyLeaves(reflect.ValueOf(MemberAdded{Person: sampleID("x"), Tenants: []uuid.UUID{{}}}), "MemberAdded")
	if want := []string{"MemberAdded.Role", "MemberAdded.Tenants[0]"}; !slices.Equal(sorted(got), want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestEveryEventIsRegisteredAndSampled reads the event types from the source: each has its own name as literal, is registered
// under it, and has one sample.
func TestEveryEventIsRegisteredAndSampled(t *testing.T) {
	t.Parallel()
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	for _, file := range sources {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || fn.Name.Name != "EventName" {
				continue
			}
			lit, ok := fn.Body.List[0].(*ast.ReturnStmt).Results[0].(*ast.BasicLit)
			typ := fn.Recv.List[0].Type.(*ast.Ident).Name
			name, err := strconv.Unquote(lit.Value)
			if base, version, _ := strings.Cut(name, ".v"); !ok || err != nil || !namesShape(typ, base, version) {
				t.Errorf("%s: the stored name of %s is %s", file, typ, lit.Value)
			}
			declared = append(declared, name)
		}
	}
	slices.Sort(declared)
	var sampled []string
	for _, e := range samples() {
		sampled = append(sampled, e.EventName())
	}
	for name := range retiredSamples() {
		sampled = append(sampled, name)
	}
	slices.Sort(sampled)
	if !slices.Equal(EventNames(), declared) {
		t.Errorf("registered %v\ndeclared %v", EventNames(), declared)
	}
	if !slices.Equal(sampled, declared) {
		t.Errorf("sampled  %v\ndeclared %v", sampled, declared)
	}
}

// namesShape says whether a Go type stands for a stored name: the present shape has the name's base, a retired one that and its version.
func namesShape(typ, base, version string) bool {
	if typ == base {
		return true
	}
	if version == "" {
		version = "1"
	}
	return typ == strings.ToLower(base[:1])+base[1:]+"V"+version
}

// retiredSamples are the stored shapes that are no longer written, by name: what each sample reads as.
func retiredSamples() map[string]Event {
	return map[string]Event{"ConsentGranted": ConsentGranted{Evidence: EvidenceUnknown}, "ConnectionReleased": ConnectionReleased{}, "TenantReleased": TenantReleased{}}
}

// TestRetiredEventsAreReadInThePresentShape: the corpus of names that were ever stored decodes, upcasts and evolves.
func TestRetiredEventsAreReadInThePresentShape(t *testing.T) {
	t.Parallel()
	for name, want := range retiredSamples() {
		stored, err := os.ReadFile(goldenFile(name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(name, stored)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s reads as %+v, %v; want %+v", name, got, err, want)
		}
		if want.EventName() == name {
			t.Errorf("%s is retired and still written", name)
		}
		if _, ok := got.(retired); ok {
			t.Errorf("%s is read in a shape that is retired itself", name)
		}
	}
	for name, zero := range zeros {
		if _, old := zero.(retired); old != (retiredSamples()[name] != nil) {
			t.Errorf("%s: retired is %v, and it is not listed so", name, old)
		}
	}
	old, err := Decode("ConsentGranted", []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	if c := newConnection().Evolve(old); c.Consent != ConsentIsGiven {
		t.Errorf("an old grant folds to %s", c.Consent)
	}
}

// TestEvolveVersion: what each stored event makes of a state, and what a retired shape reads as, is what it was when evolveVersion was last
// changed, so that no kept state outlives a change of how states are folded. -update writes it anew, and adds what is new without ado; to
// what was there it must not happen unless evolveVersion grows.
func TestEvolveVersion(t *testing.T) {
	t.Parallel()
	is := map[string]json.RawMessage{}
	u := statesInUse()
	after(t, is, Workspace{}, u.workspace)
	after(t, is, Tenant{}, u.tenant)
	after(t, is, ProviderConnection{}, u.connection)
	after(t, is, Run{}, u.run)
	after(t, is, Reservations{}, u.reservations)
	after(t, is, Person{}, Person{})
	after(t, is, OnboardingSession{}, OnboardingSession{})
	after(t, is, Token{}, Token{})
	after(t, is, ExpiryWatch{}, ExpiryWatch{})
	after(t, is, RefusedAttempt{}, RefusedAttempt{})
	for _, s := range corpus(t) {
		if s.name != s.event.EventName() {
			is[s.name+" reads as "+s.event.EventName()] = jsonOf(t, s.event)
		}
	}
	is["evolveVersion"] = jsonOf(t, evolveVersion)

	const file = "testdata/evolve.json"
	var was map[string]json.RawMessage
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &was)
	}
	if err != nil && !(*update && errors.Is(err, fs.ErrNotExist)) {
		t.Fatal(err)
	}
	var changed, added []string
	for _, key := range slices.Sorted(maps.Keys(was)) {
		if !bytes.Equal(was[key], is[key]) {
			changed = append(changed, fmt.Sprintf("%s\n  was %s\n   is %s", key, was[key], is[key]))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(is)) {
		if was[key] == nil {
			added = append(added, key)
		}
	}
	grown := was == nil || !bytes.Equal(was["evolveVersion"], is["evolveVersion"])
	switch {
	case len(changed) > 0 && !grown:
		t.Errorf("kept states would be taken for what they are no longer: raise evolveVersion, and run with -update\n%s", strings.Join(changed, "\n"))
	case len(changed)+len(added) > 0 && !*update:
		t.Errorf("%s is out of date: run with -update\n%s\n%s", file, strings.Join(changed, "\n"), strings.Join(added, "\n"))
	case *update:
		var lines []string
		for _, key := range slices.Sorted(maps.Keys(is)) {
			lines = append(lines, fmt.Sprintf("  %q: %s", key, is[key]))
		}
		if err := os.WriteFile(file, []byte("{\n"+strings.Join(lines, ",\n")+"\n}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// after writes down what each event of the corpus makes of a state: of an empty one, of one in use, and of the one that the events before it
// have made. States that stay as they are are left out.
func after[S State[S]](t *testing.T, is map[string]json.RawMessage, empty, inUse S) {
	t.Helper()
	before := empty
	for _, e := range corpus(t) {
		for from, s := range map[string]S{"nothing": empty, "a state in use": inUse, "those before": before} {
			if next := s.Evolve(e.event); !bytes.Equal(jsonOf(t, next), jsonOf(t, s)) {
				is[strings.TrimPrefix(fmt.Sprintf("%T after %s on %s", s, e.name, from), "domain.")] = jsonOf(t, next)
			}
		}
		if e.name == e.event.EventName() {
			before = before.Evolve(e.event)
		}
	}
}

// storedEvent is an event and the name under which it is stored.
type storedEvent struct {
	name  string
	event Event
}

// corpus is every stored event as it is read from its golden file, in the order of the samples; what is retired comes before what it became.
func corpus(t *testing.T) []storedEvent {
	t.Helper()
	read := func(name string) storedEvent {
		b, err := os.ReadFile(goldenFile(name))
		if err != nil {
			t.Fatal(err)
		}
		e, err := Decode(name, b)
		if err != nil {
			t.Fatal(err)
		}
		return storedEvent{name, e}
	}
	var all []storedEvent
	for _, e := range samples() {
		for _, old := range EventNames() {
			if old != e.EventName() && PresentName(old) == e.EventName() {
				all = append(all, read(old))
			}
		}
		all = append(all, read(e.EventName()))
	}
	return all
}

func jsonOf(t *testing.T, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGoldenEvents(t *testing.T) {
	t.Parallel()
	for _, e := range samples() {
		t.Run(e.EventName(), func(t *testing.T) {
			t.Parallel()
			got, err := Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				writeIfMissing(t, goldenFile(e.EventName()), got)
			}
			stored, err := os.ReadFile(goldenFile(e.EventName()))
			if err != nil {
				t.Fatalf("%v\nan event that is stored needs a golden file: go test ./domain -run TestGoldenEvents -update", err)
			}
			if !bytes.Equal(got, stored) {
				t.Errorf("the stored form changed\n  now %s\nfile %s", got, stored)
			}
			back, err := Decode(e.EventName(), stored)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back, e) {
				t.Errorf("the file reads as\n     %+v\nwant %+v", back, e)
			}
		})
	}
}

func writeIfMissing(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if os.IsExist(err) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestUpdateNeverChangesAGoldenFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events", "X.json")
	writeIfMissing(t, path, []byte("first"))
	writeIfMissing(t, path, []byte("second"))
	if got, err := os.ReadFile(path); err != nil || string(got) != "first" {
		t.Errorf("the file says %q, %v; want first", got, err)
	}
}

func TestNoGoldenFileIsStale(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(os.DirFS(goldenDir), "*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name, isJSON := strings.CutSuffix(f, ".json"); !isJSON || !slices.Contains(EventNames(), name) {
			t.Errorf("%s belongs to no event: a released name stays registered for ever", f)
		}
	}
	if len(files) == 0 {
		t.Error("no golden files: the directory is not read as expected")
	}
}

// withoutState are the events that leave every aggregate as it was, with the reason.
var withoutState = map[string]string{
	"VerificationRequested":      "for the session's log: what the check finds out is the connection's",
	"BootstrapOperationAdmitted": "for the session's log: the reservation that ended says what waits",
	"BootstrapStopped":           "for the session's log: the reservations that ended say what waits",
	"SessionsEnded":              "trace of what a person did to their own sessions, which are not in the log",

	"RunProgressed":        "for the run page only: no decision depends on how far a run has come",
	"BreakGlassSet":        "trace of who may come in without the identity provider: accounts are not events",
	"BreakGlassRemoved":    "as BreakGlassSet",
	"SignInLinkDrawn":      "as BreakGlassSet",
	"BreakGlassUsed":       "trace of who came in: nothing is decided by it",
	"TenantInspected":      "trace of who looked from outside: nothing is decided by it",
	"ConsentAnswerIgnored": "trace of an answer that was not listened to: consent stands as it stood",
	"EvidenceExported":     "trace of what left the system: nothing is decided by it",
	"RunRecovered":         "says why the run is begun again; the RunStarted that follows in the same append moves the state",
}

// inUse are states in which an event finds something to change.
type inUse struct {
	workspace    Workspace
	tenant       Tenant
	connection   ProviderConnection
	run          Run
	reservations Reservations
}

func statesInUse() inUse {
	held := Hold{Reason: "Key ceremony"}
	u := inUse{
		workspace: Fold(Workspace{}, WorkspaceCreated{Workspace: sampleID("w"), Name: "x"},
			MemberAdded{Person: samples()[3].(MemberRemoved).Person, Role: RoleReadonly}),
		tenant:     Fold(sampleTenant(), TenantHeld{held}, DefaultConnectionChosen{Connection: 1}),
		connection: Fold(readyConnection(), ConnectionHeld{held}, ScopeAcquired{ScopeHolder{Run: sampleID("x")}}),
		run:        Fold(Run{}, acceptedRun(), RunStarted{Token: 1, Try: 1, Worker: "w"}),
	}
	u.connection.MigrationReviewRequired = true
	for _, e := range samples() {
		switch e := e.(type) {
		case ReservationEnded:
			u.reservations = u.reservations.Evolve(StartReserved{Reservation{ID: e.Reservation}})
		case InvitationWithdrawn:
			u.workspace = u.workspace.Evolve(MemberInvited{Person: e.Person})
		case RoleRemoved:
			u.workspace = u.workspace.Evolve(RoleDefined{Role: e.Role})
		}
	}
	return u
}

// TestEveryEventMovesOneAggregateOrIsListed folds each sample into each aggregate, empty and in use.
func TestEveryEventMovesOneAggregateOrIsListed(t *testing.T) {
	t.Parallel()
	u := statesInUse()
	for _, e := range samples() {
		var moved []string
		for name, ok := range map[string]bool{
			"Workspace": moves(Workspace{}, e) || moves(u.workspace, e), "Tenant": moves(Tenant{}, e) || moves(u.tenant, e),
			"ProviderConnection": moves(ProviderConnection{}, e) || moves(u.connection, e), "Run": moves(Run{}, e) || moves(u.run, e),
			"Person":       moves(Person{}, e),
			"ExpiryWatch":  moves(ExpiryWatch{}, e),
			"Reservations": moves(Reservations{}, e) || moves(u.reservations, e), "OnboardingSession": moves(OnboardingSession{}, e), "Token": moves(Token{}, e),
			"RefusedAttempt": moves(RefusedAttempt{}, e),
		} {
			if ok {
				moved = append(moved, name)
			}
		}
		reason, listed := withoutState[e.EventName()]
		switch {
		case listed && len(moved) > 0:
			t.Errorf("%s is listed as without state (%s) but moves %v", e.EventName(), reason, moved)
		case !listed && len(moved) != 1:
			t.Errorf("%s moves %v, want one aggregate, or an entry in withoutState with the reason", e.EventName(), moved)
		}
	}
	for name := range withoutState {
		if !slices.Contains(EventNames(), name) {
			t.Errorf("withoutState lists %s, which is no event", name)
		}
	}
}

func moves[S State[S]](s S, e Event) bool { return shown(s.Evolve(e)) != shown(s) }

func TestDecodeDoesNotGuess(t *testing.T) {
	t.Parallel()
	for _, e := range samples() {
		b, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		unknown := append(slices.Clone(b[:len(b)-1]), `,"neverHeardOf":1}`...)
		if string(b) == "{}" {
			unknown = []byte(`{"neverHeardOf":1}`)
		}
		for what, payload := range map[string][]byte{
			"an unknown field": unknown, "bytes after the end": append(slices.Clone(b), `{}`...), "a loose end": append(slices.Clone(b), '}'),
			"a cut": b[:len(b)-1], "nothing": nil, "a list": []byte(`[]`),
		} {
			if got, err := Decode(e.EventName(), payload); err == nil {
				t.Errorf("%s with %s was read as %+v", e.EventName(), what, got)
			} else if !strings.Contains(err.Error(), e.EventName()) {
				t.Errorf("%s with %s: the error does not name the event: %v", e.EventName(), what, err)
			}
		}
	}
	for _, name := range []string{"", "runAccepted", "RunForgotten", "RunAccepted "} {
		if got, err := Decode(name, []byte(`{}`)); err == nil {
			t.Errorf("the name %q was read as %+v", name, got)
		}
	}
}

// keysOf lists every member name in a JSON value.
func keysOf(v any) []string {
	var keys []string
	switch v := v.(type) {
	case map[string]any:
		for k, member := range v {
			keys = append(append(keys, k), keysOf(member)...)
		}
	case []any:
		for _, element := range v {
			keys = append(keys, keysOf(element)...)
		}
	}
	return keys
}

// TestEventsUseTheWordsOfTheDomain: the state of a connection has three named axes, so no event has a "status" that could be any of
// them; member names are lower camel case.
func TestEventsUseTheWordsOfTheDomain(t *testing.T) {
	t.Parallel()
	forbidden := regexp.MustCompile(`(?i)^(status|health_?status|health|is_?active|secret|password|client_?secret)$`)
	camel := regexp.MustCompile(`^[a-z][a-zA-Z]*$`)
	for _, e := range samples() {
		b, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		var tree any
		if err := json.Unmarshal(b, &tree); err != nil {
			t.Fatal(err)
		}
		for _, k := range keysOf(tree) {
			if forbidden.MatchString(k) || !camel.MatchString(k) {
				t.Errorf("%s has a member %q", e.EventName(), k)
			}
		}
	}
}

func TestCanonicalBytes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		in   any
		want string
	}{
		{"keys are sorted at every depth", map[string]any{"b": map[string]int{"z": 1, "a": 2}, "a": nil}, `{"a":null,"b":{"a":2,"z":1}}`},
		{"fields of a struct are sorted as keys", Counts{1, 2, 3}, `{"confirmed":1,"refused":2,"unknown":3}`},
		{"nothing is escaped for HTML", map[string]string{"<k>": "a<b>&c"}, `{"<k>":"a<b>&c"}`},
		{"line separators are not escaped, as RFC 8785 wants it", "a\u2028b\u2029c", "\"a\u2028b\u2029c\""},
		{"an escape that is only quoted stays", `\u2028 \\u2029`, `"\\u2028 \\\\u2029"`},
		{"control characters are", "\x00\b\t\n\f\r\x1f", `"\u0000\b\t\n\f\r\u001f"`},
		{"other characters stand for themselves", "ü€😀\x7f", "\"ü€😀\x7f\""},
		{"large integers keep their digits", map[string]any{"n": int64(1)<<62 + 1}, `{"n":4611686018427387905}`},
		{"lists keep their order", []string{"b", "a"}, `["b","a"]`},
	} {
		got, err := Canonical(c.in)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v; want %s", c.name, got, err, c.want)
		}
	}
	if got, err := Canonical(func() {}); err == nil {
		t.Errorf("a function was encoded as %s", got)
	}
}

// anyJSON draws JSON values as events are made of: strings, integers, booleans, lists and maps.
func anyJSON(depth int) *rapid.Generator[any] {
	leaves := []*rapid.Generator[any]{rapid.String().AsAny(), rapid.Int64().AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil)}
	if depth > 0 {
		leaves = append(leaves, rapid.MapOfN(rapid.String(), anyJSON(depth-1), 0, 5).AsAny(), rapid.SliceOfN(anyJSON(depth-1), 0, 4).AsAny())
	}
	return rapid.OneOf(leaves...)
}

func TestCanonicalIsCanonical(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.MapOfN(rapid.String(), anyJSON(2), 0, 8).Draw(t, "value")
		once, err := Canonical(in)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := Canonical(json.RawMessage(once))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(once, twice) {
			t.Fatalf("not idempotent:\n%s\n%s", once, twice)
		}
		byCodeUnit := func(a, b string) int { return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b))) } // RFC 8785, 3.2.3
		if got, want := topLevelKeys(t, once), slices.SortedFunc(maps.Keys(in), byCodeUnit); !slices.Equal(got, want) {
			t.Fatalf("keys %q, want %q", got, want)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, once); err != nil || !bytes.Equal(compact.Bytes(), once) {
			t.Fatalf("%s has space in it, or is no JSON: %v", once, err)
		}
	})
}

func topLevelKeys(t *rapid.T, object []byte) []string {
	dec := json.NewDecoder(bytes.NewReader(object))
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		var skipped json.RawMessage
		if err := dec.Decode(&skipped); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k.(string))
	}
	return keys
}
