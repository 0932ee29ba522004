package domain

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// console is one tenant with its connections and runs as the product holds them: states that are evolved decision by decision next to
// the log that they come from. Its methods are the random steps of the state machine.
type console struct {
	now         time.Time
	tenant      Tenant
	connections []ProviderConnection // number n at index n-1
	runs        map[uuid.UUID]Run
	attempts    map[uuid.UUID]Attempt // what each run was accepted for
	log         map[uuid.UUID][]Event // by stream, as read back from the stored bytes
	lastID      int                   // ids are counted, so that a failing history can be repeated
	token       int64                 // newest fencing token handed out
	lastAttempt uuid.UUID
	seen        map[string]int // what the histories came by, over all of them
}

func newConsole(t *rapid.T, seen map[string]int) *console {
	c := &console{
		now: now, runs: map[uuid.UUID]Run{}, attempts: map[uuid.UUID]Attempt{}, log: map[uuid.UUID][]Event{}, seen: seen,
	}
	registered := sampleTenant()
	c.append(t, registered.ID, TenantRegistered{
		Tenant: registered.ID, Number: 1, Workspace: registered.Workspace, ExternalID: registered.ExternalID, Name: "Contoso",
	})
	for n := range 2 {
		c.connections = append(c.connections, ProviderConnection{})
		c.append(t, ConnectionStream(int64(n+1)), ProviderConnectionCreated{
			Connection: ConnectionStream(int64(n + 1)), Number: int64(n + 1), Workspace: registered.Workspace, Tenant: registered.ID,
			Provider: "microsoft", DisplayName: "x", ConnectionType: "platform", MigrationReviewRequired: rapid.Bool().Draw(t, "imported"),
		})
		if rapid.IntRange(0, 3).Draw(t, "ready") > 0 {
			c.open(t, n)
		}
	}
	return c
}

func (c *console) newID() uuid.UUID {
	c.lastID++
	return uuid.NewSHA1(streamSpace, []byte{byte(c.lastID >> 8), byte(c.lastID)})
}

// append stores events and evolves the state they belong to.
func (c *console) append(t *rapid.T, stream uuid.UUID, events ...Event) {
	for _, e := range events {
		b, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := Decode(e.EventName(), b)
		if err != nil {
			t.Fatal(err)
		}
		c.log[stream] = append(c.log[stream], stored)
		switch n := c.connectionAt(stream); {
		case n >= 0:
			c.connections[n] = c.connections[n].Evolve(e)
		case stream == TenantStream(sampleID("workspace"), sampleID("directory")):
			c.tenant = c.tenant.Evolve(e)
		default:
			if r := c.runs[stream].Evolve(e); r.Exists() {
				c.runs[stream] = r
			}
		}
	}
}

func (c *console) connectionAt(stream uuid.UUID) int {
	for n := range c.connections {
		if ConnectionStream(int64(n+1)) == stream {
			return n
		}
	}
	return -1
}

func (c *console) situation(n int) Situation {
	return Situation{
		Tenant: c.tenant, Connection: c.connections[n], ConnectionVersion: len(c.log[c.connections[n].ID]),
	}
}

// active lists the runs that have not ended, in a fixed order.
func (c *console) active() []Run {
	var active []Run
	for _, id := range slices.SortedFunc(maps.Keys(c.runs), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }) {
		if c.runs[id].Active() {
			active = append(active, c.runs[id])
		}
	}
	return active
}

func (c *console) anyConnection(t *rapid.T) int {
	return rapid.IntRange(0, len(c.connections)-1).Draw(t, "connection")
}

// anyRun draws an active run; where there is none the step is not possible and rapid takes another.
func (c *console) anyRun(t *rapid.T) Run {
	active := c.active()
	if len(active) == 0 {
		t.Skip("no run is active")
	}
	return rapid.SampledFrom(active).Draw(t, "run")
}

func (c *console) anyAttempt(t *rapid.T) Attempt {
	strict := entry(rapid.SampledFrom([]OperationType{OpRestoreExecute, OpBackupScheduled}).Draw(t, "strict operation"))
	o := rapid.OneOf(rapid.SampledFrom(catalogue), rapid.SampledFrom(Catalogue()), rapid.Just(strict)).Draw(t, "operation")
	inputs := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(o.Inputs)) {
		inputs[k] = rapid.SampledFrom([]string{"1", "2"}).Draw(t, k)
	}
	id := c.newID()
	if c.lastAttempt != uuid.Nil && rapid.IntRange(0, 3).Draw(t, "repeat") == 0 {
		id = c.lastAttempt
	}
	c.lastAttempt = id
	return Attempt{
		ID: id, At: c.now, Operation: o, Inputs: inputs, Surface: "web", Trigger: TriggerOperator, Run: c.newID(), RunNumber: int64(c.lastID),
		Actor: person(rapid.SampledFrom([]string{"ada", "grace"}).Draw(t, "actor")), Reconsent: rapid.Bool().Draw(t, "reconsent"),
	}
}

// Start is an attempt on a named connection or on the default.
func (c *console) Start(t *rapid.T) {
	n := rapid.IntRange(-1, len(c.connections)-1).Draw(t, "connection or default")
	if n < 0 {
		n = int(c.tenant.DefaultConnection) - 1
	}
	c.start(t, n, c.anyAttempt(t))
}

// Again is an attempt at the work of some earlier run, ended or not, perhaps by somebody else.
func (c *console) Again(t *rapid.T) {
	if len(c.runs) == 0 {
		t.Skip("nothing ran yet")
	}
	byNumber := slices.SortedFunc(maps.Values(c.runs), func(a, b Run) int { return cmp.Compare(a.Number, b.Number) })
	earlier := rapid.SampledFrom(byNumber).Draw(t, "earlier")
	a := c.anyAttempt(t)
	a.Operation, a.Inputs = entry(earlier.Operation), c.attempts[earlier.ID].Inputs
	c.start(t, int(earlier.Connection)-1, a)
}

// start asks the gate dry and then in earnest; n is -1 where there is no connection.
func (c *console) start(t *rapid.T, n int, a Attempt) {
	s := Situation{Tenant: c.tenant}
	if n >= 0 {
		s = c.situation(n)
		if a.Operation.Rule == Strict {
			s.Earlier = c.runs[StrictRunStream(a.Operation.Identity(c.tenant.ID, s.Connection.ID, a.Inputs, a.ID))]
		}
	}
	before := shown(s) + shown(a)
	dry := Start(s, a)
	_ = dry.Changes(s, a) // a dry run throws them away
	d := Start(s, a)
	if !reflect.DeepEqual(dry, d) {
		t.Fatalf("asked twice, answered twice:\n%+v\n%+v", dry, d)
	}
	c.checkAnswer(t, n, s, a, d)
	changes := d.Changes(s, a)
	if after := shown(s) + shown(a); after != before {
		t.Fatalf("the decision changed what it was asked about\n from %s\n   to %s", before, after)
	}
	c.checkChanges(t, n, a, d, changes)
}

// checkAnswer compares the answer with the runs there are, which the gate does not look at.
func (c *console) checkAnswer(t *rapid.T, n int, s Situation, a Attempt, d Decision) {
	c.seen[string(d.Outcome)]++
	if (d.Outcome == IsBlocked) != (d.Reason != "") || (d.Outcome == IsBlocked) != (d.Facts.Rule <= 8) {
		t.Fatalf("answer %s with reason %q of step %d", d.Outcome, d.Reason, d.Facts.Rule)
	}
	if d.Outcome == IsBlocked {
		if s.Connection.Scope = (ScopeHolder{}); Start(s, a).Reason != d.Reason {
			t.Fatalf("the scope decides on the reason %q", d.Reason)
		}
		return
	}
	want, holder := Accepted, uuid.Nil
	for _, r := range c.runs {
		if r.Connection != int64(n+1) {
			continue
		}
		same := r.Identity == d.Identity && (r.Active() || a.Operation.Rule == Strict)
		switch {
		case same:
			want, holder = Deduped, r.ID
			if !r.Active() {
				c.seen["joined a run that ended"]++
			}
		case r.Active() && want != Deduped:
			want, holder = Busy, r.ID
		}
	}
	if d.Outcome != want || d.Holder.Run != holder {
		t.Fatalf("answer %s with %s, want %s with %s", d.Outcome, d.Holder.Run, want, holder)
	}
}

// checkChanges appends what the decision wants appended, and looks at what became of it.
func (c *console) checkChanges(t *rapid.T, n int, a Attempt, d Decision, changes []Change) {
	if d.Outcome != Accepted {
		if len(changes) != 1 || len(changes[0].Events) != 1 || changes[0].Stream != AttemptStream(c.tenant.Workspace, a.ID) {
			t.Fatalf("%s leaves %+v, want one receipt on the attempt's stream", d.Outcome, changes)
		}
		before := len(c.runs)
		c.append(t, changes[0].Stream, changes[0].Events...)
		if len(c.runs) != before {
			t.Fatalf("%s created a run", d.Outcome)
		}
		return
	}
	run := changes[0].Stream
	if len(changes) != 2 || len(c.log[run]) != 0 || changes[1].Stream != c.connections[n].ID {
		t.Fatalf("accepted leaves %+v (run stream before: %v)", changes, c.log[run])
	}
	for _, change := range changes {
		c.append(t, change.Stream, change.Events...)
	}
	c.attempts[run] = a
	r, now := c.runs[run], c.connections[n]
	if r.Status != Queued || r.Identity != d.Identity || r.ID != run || r.Connection != now.Number || r.Attempt != a.ID {
		t.Fatalf("the accepted run is %+v", r)
	}
	if now.Scope.Run != run || now.Scope.Identity != d.Identity || a.Operation.Check != (now.Verification == VerificationPending) {
		t.Fatalf("the connection of the accepted run is %+v", now)
	}
	want := ReasonCode("")
	if !a.Operation.Released {
		want = ReasonDispatchFailed // nothing in this build can run it
	}
	if got := Recheck(c.situation(n), r, c.now); got != want {
		t.Fatalf("re-check of the run just accepted: %q, want %q", got, want)
	}
}

// Work takes a run up, re-checks it as a worker does, and ends it as blocked where the state has moved.
func (c *console) Work(t *rapid.T) {
	r := c.anyRun(t)
	stale := rapid.Int64Range(0, r.Token).Draw(t, "stale token")
	if events, err := r.Begin(stale, "w"); refusalCode(err) != "run_fenced" || events != nil {
		t.Fatalf("begin with token %d after %d: %v, %v", stale, r.Token, events, err)
	}
	c.token++
	events, err := r.Begin(c.token, "w")
	if err != nil {
		t.Fatal(err)
	}
	c.append(t, r.ID, events...)
	if reason := Recheck(c.situation(int(r.Connection)-1), r, c.now); reason != "" {
		if reason != ReasonDispatchFailed {
			c.seen["blocked before execution"]++
		}
		c.finish(t, r.ID, Ending{Outcome: BlockedRun, Reason: reason})
	}
}

// Find lets a check that is running record what it found.
func (c *console) Find(t *rapid.T) {
	r := c.anyRun(t)
	if r.Operation != OpConnectionCheck || r.Status != Running {
		t.Skip("no check is running")
	}
	c.record(t, r.ID, int(r.Connection)-1)
}

func (c *console) record(t *rapid.T, run uuid.UUID, n int) {
	some := func(label string, most int) []string {
		return rapid.SliceOfN(rapid.SampledFrom(allPermissions()), 0, most).Draw(t, label)
	}
	f := Finding{
		State: rapid.SampledFrom([]VerificationState{
			VerificationHealthy, VerificationDegraded, VerificationBlocked, VerificationError, VerificationUnknown,
		}).Draw(t, "state"),
		Reason:    rapid.SampledFrom([]ReasonCode{"", ReasonProviderLicenseMissing, ReasonProviderAppDisabled}).Draw(t, "reason"),
		Consent:   rapid.SampledFrom([]ConsentState{"", ConsentIsGiven, ConsentIsGone}).Draw(t, "consent"),
		CheckedAt: c.now, Granted: append(some("granted", 4), allPermissions()[rapid.IntRange(0, 4).Draw(t, "missing"):]...),
		Refused: some("refused", 1),
	}
	c.decide(t, c.connections[n].ID)(c.connections[n].RecordVerification(run, f))
}

// decide appends the events of a decision that has to be allowed.
func (c *console) decide(t *rapid.T, stream uuid.UUID) func([]Event, error) {
	return func(events []Event, err error) {
		if err != nil {
			t.Fatal(err)
		}
		c.append(t, stream, events...)
	}
}

// End ends a run under its newest token; a worker that was overtaken cannot.
func (c *console) End(t *rapid.T) {
	r := c.anyRun(t)
	if _, err := r.End(r.Token-1, Ending{Outcome: Failed}); refusalCode(err) != "run_fenced" {
		t.Fatalf("end with an older token: %v", err)
	}
	c.finish(t, r.ID, Ending{Outcome: rapid.SampledFrom([]RunOutcome{Succeeded, Failed}).Draw(t, "outcome")})
}

// finish ends a run and gives its scope back, as one append.
func (c *console) finish(t *rapid.T, run uuid.UUID, e Ending) {
	c.decide(t, run)(c.runs[run].End(c.runs[run].Token, e))
	c.release(t, run)
}

func (c *console) release(t *rapid.T, run uuid.UUID) {
	n := int(c.runs[run].Connection) - 1
	before := c.connections[n]
	c.append(t, before.ID, before.Release(run)...)
	after := c.connections[n]
	if after.Scope.Held() || after.Verification == VerificationPending {
		t.Fatalf("after the end of its run the connection is %+v", after)
	}
	if before.Verification == VerificationPending {
		c.seen["check without a result"]++
		if after.Verification != before.VerifiedBefore || after.VerificationReason != before.VerifiedBeforeReason ||
			!slices.Equal(after.Granted, before.Granted) || !slices.Equal(after.Refused, before.Refused) {
			t.Fatalf("a check without a result leaves\n%+v\nafter\n%+v", after, before)
		}
	}
}

// Cancel asks a run to stop; a queued one ends with it.
func (c *console) Cancel(t *rapid.T) {
	r := c.anyRun(t)
	events, ended, err := r.RequestCancel(person("ada"))
	c.decide(t, r.ID)(events, err)
	if ended != !c.runs[r.ID].Active() || ended && r.Status != Queued {
		t.Fatalf("cancel of a %s run says ended %v, and the run is %+v", r.Status, ended, c.runs[r.ID])
	}
	if ended {
		c.release(t, r.ID)
	}
}

// Clock lets time pass, so that holds and credentials expire.
func (c *console) Clock(t *rapid.T) {
	c.now = c.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "minutes")) * time.Minute)
}

func (c *console) anyInstant(t *rapid.T, label string) time.Time {
	return rapid.SampledFrom([]time.Time{{}, c.now, c.now.Add(time.Hour)}).Draw(t, label)
}

// Hold puts tenant or connection on hold, or releases them.
func (c *console) Hold(t *rapid.T) {
	n, until := c.anyConnection(t), c.anyInstant(t, "until")
	switch rapid.IntRange(0, 5).Draw(t, "what") {
	case 0:
		c.decide(t, c.tenant.ID)(c.tenant.PutOnHold("Freeze", until))
	case 1:
		c.append(t, c.connections[n].ID, ConnectionHeld{Hold{"Ceremony", until}})
	default:
		c.decide(t, c.tenant.ID)(c.tenant.Release("over"))
		c.append(t, c.connections[n].ID, ConnectionReleased{})
	}
}

// Lifecycle enables mostly, and disables.
func (c *console) Lifecycle(t *rapid.T) {
	n := c.anyConnection(t)
	c.decide(t, c.connections[n].ID)(c.connections[n].SetEnabled(rapid.IntRange(0, 2).Draw(t, "enabled") > 0, "Maintenance"))
}

// Consent writes the consent axis.
func (c *console) Consent(t *rapid.T) {
	n := c.anyConnection(t)
	to := rapid.SampledFrom([]ConsentState{ConsentIsGiven, ConsentIsGiven, ConsentRequired, ConsentIsFailed, ConsentIsGone}).Draw(t, "to")
	c.decide(t, c.connections[n].ID)(c.connections[n].RecordConsent(to, ReasonProviderConsentDenied))
}

// Credential puts another credential into use, which makes what was verified worthless.
func (c *console) Credential(t *rapid.T) {
	n := c.anyConnection(t)
	c.decide(t, c.connections[n].ID)(c.connections[n].RotateCredential(Credential{"secret", c.newID().String(), c.anyInstant(t, "expiry")}))
	if now := c.connections[n]; now.Verification != VerificationUnknown || len(now.Granted) > 0 {
		t.Fatalf("after the rotation: %+v", now)
	}
}

// Learn records a result that no check of ours found, and sets the default.
func (c *console) Learn(t *rapid.T) {
	n := c.anyConnection(t)
	if c.connections[n].Verification != VerificationPending {
		c.record(t, uuid.Nil, n)
	}
	c.decide(t, c.tenant.ID)(c.tenant.ChooseDefault(c.connections[n]))
}

// Ready does all that opens the gate on a connection, so that the histories do not end at closed doors.
func (c *console) Ready(t *rapid.T) { c.open(t, c.anyConnection(t)) }

func (c *console) open(t *rapid.T, n int) {
	id := c.connections[n].ID
	c.decide(t, c.tenant.ID)(c.tenant.Release("over"))
	c.append(t, id, ConnectionReleased{}, MigrationReviewCompleted{})
	c.decide(t, id)(c.connections[n].SetEnabled(true, ""))
	c.decide(t, id)(c.connections[n].RotateCredential(Credential{Kind: "secret", Fingerprint: c.newID().String()}))
	c.decide(t, id)(c.connections[n].RecordVerification(uuid.Nil, Finding{
		State: VerificationHealthy, Consent: ConsentIsGiven, CheckedAt: c.now, Granted: allPermissions(),
	}))
}

// Check holds after every step.
func (c *console) Check(t *rapid.T) {
	if folded := Fold(Tenant{}, c.log[c.tenant.ID]...); shown(folded) != shown(c.tenant) {
		t.Fatalf("the tenant from its log\n     %+v\nwant %+v", folded, c.tenant)
	}
	for id, r := range c.runs {
		if folded := Fold(Run{}, c.log[id]...); shown(folded) != shown(r) {
			t.Fatalf("the run from its log\n     %+v\nwant %+v", folded, r)
		}
	}
	holders := map[int64]uuid.UUID{}
	for _, r := range c.active() {
		if other, taken := holders[r.Connection]; taken {
			t.Fatalf("two active runs on connection %d: %s and %s", r.Connection, other, r.ID)
		}
		holders[r.Connection] = r.ID
		c.checkActive(t, r)
	}
	for _, connection := range c.connections {
		if folded := Fold(ProviderConnection{}, c.log[connection.ID]...); shown(folded) != shown(connection) {
			t.Fatalf("the connection from its log\n     %+v\nwant %+v", folded, connection)
		}
		if connection.Scope.Run != holders[connection.Number] {
			t.Fatalf("scope held by %s while %s is active", connection.Scope.Run, holders[connection.Number])
		}
		if connection.Verification == VerificationPending && connection.Scope.Operation != OpConnectionCheck {
			t.Fatalf("verification is pending without a check: %+v", connection)
		}
		checkAlternation(t, c.log[connection.ID])
	}
}

// checkActive compares, for a run that is active, the three ways to ask the gate: the re-check of the run, a fresh start of the same
// attempt with the scope free, and a second start of the same work.
func (c *console) checkActive(t *rapid.T, r Run) {
	s, a := c.situation(int(r.Connection)-1), c.attempts[r.ID]
	a.At = c.now
	again := Start(s, a)
	if again.Outcome != IsBlocked && (again.Outcome != Deduped || again.Holder != s.Connection.Scope || again.Holder.Run != r.ID) {
		t.Fatalf("the same work again: %s with %+v, want to join %s", again.Outcome, again.Holder, r.ID)
	}
	free := s
	free.Connection.Scope = ScopeHolder{}
	fresh := Start(free, a)
	if fresh.Reason != again.Reason {
		t.Fatalf("fresh start: %q, start while active: %q", fresh.Reason, again.Reason)
	}
	want := fresh.Reason
	if !a.Operation.Released {
		want = ReasonDispatchFailed
	}
	if got := Recheck(s, r, c.now); got != want {
		t.Fatalf("re-check %q, fresh start with the scope free %q", got, want)
	}
	s.Earlier = r // what the log knows about a strict identity by now
	if got := Recheck(s, r, c.now); got != want {
		t.Fatalf("re-check with the run known as the earlier one %q, want %q", got, want)
	}
}

func checkAlternation(t *rapid.T, events []Event) {
	held := uuid.Nil
	for i, e := range events {
		switch e := e.(type) {
		case ScopeAcquired:
			if held != uuid.Nil {
				t.Fatalf("event %d: %s takes the scope while %s holds it", i, e.Run, held)
			}
			held = e.Run
		case ScopeReleased:
			if held != e.Run || held == uuid.Nil {
				t.Fatalf("event %d: %s releases the scope while %s holds it", i, e.Run, held)
			}
			held = uuid.Nil
		}
	}
}

// TestTheGateHoldsItsPromises runs random histories of one tenant. It also counts what they came by, because a history that never
// gets past the first step proves nothing.
func TestTheGateHoldsItsPromises(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	history := func(t *rapid.T) {
		c := newConsole(t, seen)
		t.Repeat(map[string]func(*rapid.T){
			"start": c.Start, "start again": c.Start, "same work": c.Again, "work": c.Work, "work again": c.Work, "find": c.Find,
			"end": c.End, "cancel": c.Cancel, "clock": c.Clock, "hold": c.Hold, "lifecycle": c.Lifecycle, "consent": c.Consent,
			"credential": c.Credential, "learn": c.Learn, "ready": c.Ready, "ready again": c.Ready, "": c.Check,
		})
	}
	for range 4 { // rapid runs 100 histories at a time, in about a fifth of a second
		rapid.Check(t, history)
	}
	for _, what := range []string{
		string(Accepted), string(Deduped), string(Busy), string(IsBlocked), "joined a run that ended", "blocked before execution",
		"check without a result",
	} {
		if seen[what] == 0 {
			t.Errorf("no history came by: %s (seen %v)", what, seen)
		}
	}
	t.Logf("histories came by %v", seen)
}
