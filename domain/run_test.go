package domain

import (
	"testing"
	"time"
)

func acceptedRun() RunAccepted {
	s, a := readySituation(), attemptOf(OpGroupsSync)
	return Start(s, a).Changes(s, a)[0].Events[0].(RunAccepted)
}

func TestRunBegin(t *testing.T) {
	t.Parallel()
	begin := func(token int64) func(Run) ([]Event, error) {
		return func(r Run) ([]Event, error) { return r.Begin(token, "w2") }
	}
	accepted, started := acceptedRun(), RunStarted{Token: 5, Try: 1, Worker: "w1"}
	runScenarios(t, []scenario[Run]{
		{
			name: "a queued run is begun for the first time", given: []Event{accepted}, when: begin(5),
			then: []Event{RunStarted{Token: 5, Try: 1, Worker: "w2"}},
		},
		{
			name: "taking up what another worker had begun is a recovery", given: []Event{accepted, started}, when: begin(6),
			then: []Event{RunRecovered{Token: 6, Try: 2, Worker: "w2"}, RunStarted{Token: 6, Try: 2, Worker: "w2"}},
		},
		{name: "an equal token does not begin", given: []Event{accepted, started}, when: begin(5), refused: "run_fenced"},
		{name: "an older token does not begin", given: []Event{accepted, started}, when: begin(4), refused: "run_fenced"},
		{name: "no token does not begin", given: []Event{accepted}, when: begin(0), refused: "run_fenced"},
		{
			name:  "a run that was asked to stop may still be recovered, to stop it",
			given: []Event{accepted, started, RunCancelRequested{By: person("ada")}}, when: begin(6),
			then: []Event{RunRecovered{Token: 6, Try: 2, Worker: "w2"}, RunStarted{Token: 6, Try: 2, Worker: "w2"}},
		},
		{name: "what was never accepted does not begin", when: begin(5), refused: "run_ended"},
	})
}

func TestRunWritesAreFenced(t *testing.T) {
	t.Parallel()
	item := Item{Key: "groups", Name: "Directory groups", Type: "group", Intent: "read", Result: ItemConfirmed, Count: 812, Content: "ab12"}
	progress := Progress{Step: "Reading groups", Done: 400, Total: 812}
	writes := map[string]func(token int64) func(Run) ([]Event, error){
		"report": func(token int64) func(Run) ([]Event, error) {
			return func(r Run) ([]Event, error) { return r.Report(token, progress) }
		},
		"record": func(token int64) func(Run) ([]Event, error) {
			return func(r Run) ([]Event, error) { return r.Record(token, []Item{item}) }
		},
		"end": func(token int64) func(Run) ([]Event, error) {
			return func(r Run) ([]Event, error) { return r.End(token, Ending{Outcome: Succeeded, Summary: "812 groups"}) }
		},
	}
	then := map[string]Event{
		"report": RunProgressed{Token: 6, Progress: progress},
		"record": RunItemsRecorded{Token: 6, Items: []Item{item}},
		"end":    RunCompleted{Token: 6, Ending: Ending{Outcome: Succeeded, Summary: "812 groups"}},
	}
	running := []Event{acceptedRun(), RunStarted{Token: 5, Try: 1, Worker: "w1"}, RunStarted{Token: 6, Try: 2, Worker: "w2"}}
	over := append(running, RunCompleted{Token: 6, Ending: Ending{Outcome: Succeeded}})
	for name, write := range writes {
		runScenarios(t, []scenario[Run]{
			{name: name + " by the holder of the newest token", given: running, when: write(6), then: []Event{then[name]}},
			{name: name + " by a worker that was overtaken is refused", given: running, when: write(5), refused: "run_fenced"},
			{name: name + " with a token from nowhere is refused", given: running, when: write(7), refused: "run_fenced"},
			{name: name + " without a token is refused", given: running, when: write(0), refused: "run_fenced"},
			{name: name + " after the end is refused", given: over, when: write(6), refused: "run_ended"},
			{name: name + " on what was never accepted is refused", when: write(0), refused: "run_ended"},
		})
	}
	queued := []Event{acceptedRun()}
	runScenarios(t, []scenario[Run]{
		{name: "nobody reports on a run that nobody began", given: queued, when: writes["report"](0), refused: "run_fenced"},
		{name: "nobody records items of a run that nobody began", given: queued, when: writes["record"](0), refused: "run_fenced"},
		{
			name: "a run that could not be dispatched ends without a token", given: queued,
			when: func(r Run) ([]Event, error) { return r.End(0, Ending{Outcome: Failed, Reason: ReasonDispatchFailed}) },
			then: []Event{RunCompleted{Ending: Ending{Outcome: Failed, Reason: ReasonDispatchFailed}}},
		},
	})
}

func TestRunEndSumsItsItemsUp(t *testing.T) {
	t.Parallel()
	items := func(results ...ItemResult) RunItemsRecorded {
		e := RunItemsRecorded{Token: 5}
		for _, r := range results {
			e.Items = append(e.Items, Item{Key: "k", Result: r})
		}
		return e
	}
	end := func(token int64) func(Run) ([]Event, error) {
		return func(r Run) ([]Event, error) { return r.End(token, Ending{Outcome: PartiallySucceeded}) }
	}
	begun := []Event{
		acceptedRun(),
		RunStarted{Token: 5, Try: 1, Worker: "w1"},
		items(ItemConfirmed, ItemRefused), items(ItemConfirmed, ItemUnknown, ItemConfirmed),
	}
	runScenarios(t, []scenario[Run]{
		{
			name: "the end counts items by result", given: begun, when: end(5),
			then: []Event{RunCompleted{Token: 5, Ending: Ending{Outcome: PartiallySucceeded}, Counts: Counts{Confirmed: 3, Refused: 1, Unknown: 1}}},
		},
		{
			name: "a run that is begun again counts afresh", given: append(begun, RunStarted{Token: 6, Try: 2, Worker: "w2"}, items(ItemConfirmed)),
			when: end(6),
			then: []Event{RunCompleted{Token: 6, Ending: Ending{Outcome: PartiallySucceeded}, Counts: Counts{Confirmed: 1}}},
		},
	})
}

func TestRunCancel(t *testing.T) {
	t.Parallel()
	by := person("grace")
	cancel := func(wantEnded bool) func(Run) ([]Event, error) {
		return func(r Run) ([]Event, error) {
			events, ended, err := r.RequestCancel(by)
			if ended != wantEnded {
				t.Errorf("ended %v, want %v", ended, wantEnded)
			}
			return events, err
		}
	}
	accepted, started := acceptedRun(), RunStarted{Token: 5, Try: 1, Worker: "w1"}
	runScenarios(t, []scenario[Run]{
		{
			name: "a queued run ends at once", given: []Event{accepted}, when: cancel(true),
			then: []Event{RunCancelRequested{By: by}, RunCompleted{Ending: Ending{Outcome: Cancelled, Reason: ReasonCancelledByOperator}}},
		},
		{
			name: "a running run is asked to stop", given: []Event{accepted, started}, when: cancel(false),
			then: []Event{RunCancelRequested{By: by}},
		},
		{
			name:  "a run that waits for approval is asked to stop",
			given: []Event{accepted, started, RunAwaitingApproval{Token: 5, Until: now}}, when: cancel(false),
			then: []Event{RunCancelRequested{By: by}},
		},
		{name: "asking twice changes nothing", given: []Event{accepted, started, RunCancelRequested{By: by}}, when: cancel(false)},
		{
			name: "a run that ended is not cancelled", given: []Event{accepted, started, RunCompleted{Token: 5, Ending: Ending{Outcome: Succeeded}}},
			when: cancel(false), refused: "run_ended",
		},
		{name: "what was never accepted is not cancelled", when: cancel(false), refused: "run_ended"},
	})
}

func TestAnEndedRunRefusesToBegin(t *testing.T) {
	t.Parallel()
	for _, outcome := range []RunOutcome{Succeeded, PartiallySucceeded, Failed, BlockedRun, Cancelled} {
		runScenarios(t, []scenario[Run]{{
			name:  string(outcome),
			given: []Event{acceptedRun(), RunStarted{Token: 5, Try: 1, Worker: "w1"}, RunCompleted{Token: 5, Ending: Ending{Outcome: outcome}}},
			when:  func(r Run) ([]Event, error) { return r.Begin(6, "w2") }, refused: "run_ended",
		}})
	}
}

func TestRunFolds(t *testing.T) {
	t.Parallel()
	accepted, started := acceptedRun(), RunStarted{Token: 5, Try: 1, Worker: "w1"}
	for _, c := range []struct {
		name    string
		events  []Event
		status  ExecutionStatus
		outcome RunOutcome
		active  bool
	}{
		{name: "nothing"},
		{name: "accepted", events: []Event{accepted}, status: Queued, active: true},
		{name: "begun", events: []Event{accepted, started}, status: Running, active: true},
		{
			name: "waiting", events: []Event{accepted, started, RunAwaitingApproval{Token: 5, Until: now.Add(time.Hour)}},
			status: WaitingApproval, active: true,
		},
		{
			name: "taken up after waiting", status: Running, active: true,
			events: []Event{accepted, started, RunAwaitingApproval{Token: 5, Until: now}, RunStarted{Token: 6, Try: 2, Worker: "w1"}},
		},
		{
			name: "asked to stop", events: []Event{accepted, started, RunCancelRequested{By: person("ada")}}, status: Running, active: true,
		},
		{
			name: "ended", events: []Event{accepted, started, RunCompleted{Token: 5, Ending: Ending{Outcome: BlockedRun}}},
			status: Completed, outcome: BlockedRun,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := Fold(Run{}, c.events...)
			if r.Status != c.status || r.Outcome != c.outcome || r.Active() != c.active || r.Exists() != (len(c.events) > 0) {
				t.Errorf("got %s, outcome %q, active %v, exists %v", r.Status, r.Outcome, r.Active(), r.Exists())
			}
		})
	}
}

func TestRunRemembersWhatWasAccepted(t *testing.T) {
	t.Parallel()
	s, a := readySituation(), attemptOf(OpGroupsSync)
	d := Start(s, a)
	want := Run{
		ID: a.Run, Number: 1042, Attempt: a.ID, Operation: OpGroupsSync, Identity: d.Identity, Tenant: s.Tenant.ID, Connection: 7,
		Inputs: a.Inputs, Initiator: a.Actor, Trigger: TriggerOperator, Status: Queued,
	}
	if got := Fold(Run{}, d.Changes(s, a)[0].Events...); shown(got) != shown(want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}
