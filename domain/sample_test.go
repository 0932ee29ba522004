package domain

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
)

// now is the instant at which the tests' attempts are made.
var now = time.Date(2026, 11, 7, 14, 3, 0, 0, time.UTC)

// sampleID is a stable id for a label.
func sampleID(label string) uuid.UUID { return uuid.NewSHA1(streamSpace, []byte("sample/"+label)) }

func person(name string) ActorRef { return ActorRef{Kind: ActorPerson, ID: sampleID("person/" + name)} }

func sampleTenant() Tenant {
	workspace, directory := sampleID("workspace"), sampleID("directory")
	return Fold(Tenant{}, TenantRegistered{
		Tenant: TenantStream(workspace, directory), Number: 4, Workspace: workspace, ExternalID: directory,
		Name: "Contoso", Domain: "contoso.example",
	}, DefaultConnectionChosen{Connection: 7})
}

// newConnection is a connection as it is after its creation.
func newConnection() ProviderConnection {
	t := sampleTenant()
	return Fold(ProviderConnection{}, ProviderConnectionCreated{
		Connection: ConnectionStream(7), Number: 7, Workspace: t.Workspace, Tenant: t.ID, Provider: "microsoft",
		DisplayName: "Contoso production", ConnectionType: "platform", AppID: "5f0c2f0e-8d6e-4f0b-9a55-1d2f6b3f7a10",
	})
}

// readyConnection is a connection on which every operation of the catalogue may start.
func readyConnection() ProviderConnection {
	return Fold(newConnection(),
		CredentialRotated{Credential{Kind: "certificate", Fingerprint: "9f2c41", ExpiresAt: now.AddDate(0, 6, 0)}},
		ConsentGranted{},
		VerificationStarted{Run: sampleID("check")},
		VerificationRecorded{Run: sampleID("check"), State: VerificationHealthy, CheckedAt: now.Add(-time.Hour), Granted: allPermissions()},
	)
}

func allPermissions() []string {
	var all []string
	for _, o := range catalogue {
		all = append(all, o.Permissions...)
	}
	return sorted(all)
}

func readySituation() Situation {
	return Situation{Tenant: sampleTenant(), Connection: readyConnection(), ConnectionVersion: 5}
}

// entry is a catalogue entry, released or not.
func entry(t OperationType) Operation {
	for _, o := range catalogue {
		if o.Type == t {
			return o
		}
	}
	panic("no catalogue entry " + string(t))
}

// attemptOf is an operator's attempt with the operation's inputs filled in.
func attemptOf(op OperationType) Attempt {
	o, inputs := entry(op), map[string]string{}
	for k, v := range o.Inputs {
		if v == "" {
			v = "31"
		}
		inputs[k] = v
	}
	return Attempt{
		ID: sampleID("attempt"), At: now, Operation: o, Inputs: inputs, Actor: person("ada"), Surface: "web", Trigger: TriggerOperator,
		Run: sampleID("run"), RunNumber: 1042,
	}
}

// holderOf is what the scope says while the run of an earlier attempt of the same work is active.
func holderOf(s Situation, a Attempt) ScopeHolder {
	return ScopeHolder{
		Run: sampleID("holder"), RunNumber: 1041, Operation: a.Operation.Type, Initiator: person("grace"), Since: now.Add(-time.Minute),
		Identity: a.Operation.Identity(s.Tenant.ID, s.Connection.ID, a.Inputs, a.ID),
	}
}

// shown prints a value so that two values that mean the same print the same: an empty list and a missing one are alike, as they
// are in the stored form.
func shown(v any) string { return fmt.Sprintf("%+v", v) }

// reread is the event as a reader of the log gets it.
func reread(t testing.TB, e Event) Event {
	t.Helper()
	b, err := Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(e.EventName(), b)
	if err != nil {
		t.Fatal(err)
	}
	return back
}

// scenario is given / when / then over plain values. Besides what it says, every scenario checks that the decision left its state
// alone and that its events survive being stored.
type scenario[S State[S]] struct {
	name    string
	given   []Event
	when    func(S) ([]Event, error)
	then    []Event
	refused string // code of the refusal; for invalid input the code of the field
}

func runScenarios[S State[S]](t *testing.T, scenarios []scenario[S]) {
	t.Helper()
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			var zero S
			state := Fold(zero, sc.given...)
			before := shown(state)
			events, err := sc.when(state)
			if got := refusalCode(err); got != sc.refused {
				t.Fatalf("refused with %q (%v), want %q", got, err, sc.refused)
			}
			if len(events) != len(sc.then) || (len(events) > 0 && !reflect.DeepEqual(events, sc.then)) {
				t.Errorf("events\n got %#v\nwant %#v", events, sc.then)
			}
			if after := shown(state); after != before {
				t.Errorf("the decision changed its state\n from %s\n   to %s", before, after)
			}
			for _, e := range events {
				if back := reread(t, e); shown(back) != shown(e) {
					t.Errorf("stored and read back\n got %+v\nwant %+v", back, e)
				}
			}
		})
	}
}

func refusalCode(err error) string {
	if err == nil {
		return ""
	}
	r, ok := AsRefusal(err)
	switch {
	case !ok:
		return "not a refusal: " + err.Error()
	case r.Kind == Invalid:
		return r.Fields[0].Pointer + " " + r.Fields[0].Code
	}
	return r.Code
}
