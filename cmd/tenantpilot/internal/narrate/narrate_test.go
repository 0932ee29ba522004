package narrate_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/domain"
)

// golden reads an event as it is stored, each field filled.
func golden(t *testing.T, name string) domain.Event {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "domain", "testdata", "events", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := domain.Decode(name, []byte(strings.TrimSpace(string(b))))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEveryEventIsASentence(t *testing.T) {
	seen := map[string]string{}
	for _, name := range domain.EventNames() {
		text := narrate.Sentence(golden(t, name), "")
		if strings.HasPrefix(text, name) {
			t.Errorf("%s has no sentence: add one where its stream is told", name)
		}
		if !strings.HasSuffix(text, ".") || strings.Contains(text, "..") || text[0] < 'A' || text[0] > 'Z' || strings.Contains(text, "\n") {
			t.Errorf("%s is no sentence: %q", name, text)
		}
		if other, taken := seen[text]; taken {
			t.Errorf("%s and %s are told alike: %q", name, other, text)
		}
		seen[text] = name
	}
}

func TestAPersonIsCalledByName(t *testing.T) {
	for name, want := range map[string]string{"Rosa Reader": "Ended the membership of Rosa Reader.", "": "Ended the membership of person "} {
		if text := narrate.Sentence(golden(t, "MemberRemoved"), name); !strings.HasPrefix(text, want) {
			t.Errorf("with the name %q it is told as %q", name, text)
		}
	}
}

func TestEvidenceIsToldWithWhatItIsOf(t *testing.T) {
	run := uuid.MustParse("0191f3a0-7c00-7000-8000-000000000041")
	for want, e := range map[string]domain.EvidenceExported{
		"Took evidence of run 1042 out: 8 events between positions 402 and 409.":     {Kind: "run", Run: run, Number: 1042, Events: 8, First: 402, Last: 409},
		"Took evidence of run 0191f3a0 out: 8 events between positions 402 and 409.": {Kind: "run", Run: run, Events: 8, First: 402, Last: 409},
	} {
		if text := narrate.Sentence(e, ""); text != want {
			t.Errorf("told as %q, want %q", text, want)
		}
	}
	if text := narrate.Sentence(golden(t, "EvidenceExported"), ""); !strings.HasPrefix(text, "Took evidence of the tenant 0191f3a0 (2026-10-07 14:03:00 UTC up to 2026-11-07 ") {
		t.Errorf("a tenant's is told as %q", text)
	}
}

func TestExplainNamesTheRuleAndTheFacts(t *testing.T) {
	at := time.Date(2026, 11, 18, 9, 14, 7, 0, time.UTC)
	for name, want := range map[string][]string{
		"RunAccepted":  {"Kim asked at 2026-11-18 09:14:07 UTC", "on Contoso over connection 7 (Main)", "all steps passed", "run 1042 was opened", "version 12"},
		"RunDeduped":   {"run 1041 does the same work"},
		"ScopeBusy":    {"run 1041 (directory groups sync) held", "since 20"},
		"StartBlocked": {"Step 8 of 11 decided: it asks that the operation's permissions are granted", "Steps 1 to 7 had passed.", "provider_permission_missing", "Missing or refused: GroupMember.Read.All."},
	} {
		r, err := narrate.ReceiptOf(golden(t, name), at)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(narrate.Explain(r, narrate.Names{Initiator: "Kim", Tenant: "Contoso", Connection: "Main"}), "\n")
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%s lacks %q:\n%s", name, part, text)
			}
		}
	}
	if _, err := narrate.ReceiptOf(domain.ConnectionEnabled{}, at); err == nil {
		t.Error("an event that is no receipt was taken for one")
	}
	typed := narrate.Receipt{AttemptFacts: domain.AttemptFacts{Tenant: uuid.New(), Surface: "cli", Trigger: domain.TriggerAPI}, Outcome: domain.Accepted, At: at}
	if text := narrate.Explain(typed, narrate.Names{})[0]; !strings.HasSuffix(text, ", from the command line, by a program.") {
		t.Error(text)
	}
	bare := narrate.Receipt{AttemptFacts: domain.AttemptFacts{Tenant: uuid.New(), Facts: domain.Facts{Rule: 1}}, Outcome: domain.IsBlocked, Reason: domain.ReasonProviderConnectionMissing, At: at}
	if text := strings.Join(narrate.Explain(bare, narrate.Names{}), " "); !strings.Contains(text, "no connection to go over") || strings.Contains(text, "version 0") {
		t.Error(text)
	}
}

// TestTheGateHasTheseRules: the words stand in the order of the gate's own steps.
func TestTheGateHasTheseRules(t *testing.T) {
	if narrate.Rules != 11 || narrate.Rule(0) != "" || narrate.Rule(12) != "" {
		t.Fatalf("%d rules", narrate.Rules)
	}
	tenant := domain.Tenant{ID: uuid.New()}
	ready := domain.ProviderConnection{
		ID: uuid.New(), Tenant: tenant.ID, Number: 1, Enabled: true, Consent: domain.ConsentIsGiven, Verification: domain.VerificationHealthy,
		Credential: domain.Credential{Kind: "secret", Fingerprint: "f"}, Granted: domain.OperationByType(domain.OpGroupsSync).Permissions,
	}
	attempt := domain.Attempt{ID: uuid.New(), At: time.Now(), Operation: domain.OperationByType(domain.OpGroupsSync), Run: uuid.New()}
	for rule, change := range map[int]func(*domain.Situation){
		1: func(s *domain.Situation) { s.Connection = domain.ProviderConnection{} },
		2: func(s *domain.Situation) { s.Tenant.Hold = domain.Hold{Reason: "freeze"} },
		3: func(s *domain.Situation) { s.Connection.MigrationReviewRequired = true },
		4: func(s *domain.Situation) { s.Connection.Enabled = false },
		5: func(s *domain.Situation) { s.Connection.Credential = domain.Credential{} },
		6: func(s *domain.Situation) { s.Connection.Consent = domain.ConsentRequired },
		7: func(s *domain.Situation) { s.Connection.Verification = domain.VerificationBlocked },
		8: func(s *domain.Situation) { s.Connection.Granted = nil },
		10: func(s *domain.Situation) {
			s.Connection.Scope = domain.ScopeHolder{Run: uuid.New(), Identity: "other"}
		},
		11: func(*domain.Situation) {},
	} {
		s := domain.Situation{Tenant: tenant, Connection: ready}
		change(&s)
		if d := domain.Start(s, attempt); d.Facts.Rule != rule {
			t.Errorf("rule %d (%s): the gate decided by %d", rule, narrate.Rule(rule), d.Facts.Rule)
		}
	}
}
