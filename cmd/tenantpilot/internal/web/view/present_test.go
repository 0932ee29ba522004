package view_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

func startFacts(o domain.Outcome) view.StartFacts {
	at := time.Date(2026, 11, 21, 13, 58, 7, 0, time.UTC)
	return view.StartFacts{
		Decision: domain.Decision{Outcome: o, Holder: domain.ScopeHolder{
			Run: uuid.New(), RunNumber: 4711, Operation: domain.OpRoleDefinitionsSync, Since: at,
		}},
		Operation: domain.OperationByType(domain.OpGroupsSync), Tenant: domain.Tenant{ExternalID: uuid.New(), Name: "Contoso"},
		Connection: domain.ProviderConnection{ID: uuid.New(), Number: 12, Provider: "microsoft", DisplayName: "Contoso platform"},
		RunNumber:  4711, HolderName: "Kim", UsuallyFrom: 7 * time.Minute, UsuallyTo: 9 * time.Minute, Now: at.Add(3 * time.Minute),
	}
}

func TestStartOutcomesSayWhatTheyMust(t *testing.T) {
	t.Parallel()
	blocked := startFacts(domain.IsBlocked)
	blocked.Reason, blocked.RunNumber, blocked.Facts.Permissions = domain.ReasonProviderPermissionMissing, 0, []string{"GroupMember.Read.All"}
	late := startFacts(domain.Busy)
	late.Now = late.Now.Add(time.Hour) // longer than usual: no estimate
	for name, tc := range map[string]struct {
		facts      view.StartFacts
		says, omit []string
		first      string // action
	}{
		"accepted": {startFacts(domain.Accepted), []string{"Directory groups sync started for Contoso", "run 4711"}, []string{"Nothing was started"}, "View run"},
		"deduped": {
			startFacts(domain.Deduped),
			[]string{"joined run 4711", "started by Kim", "reading since 13:58:07 UTC: changes made after that may not be included", "usually 7-9 min"},
			nil, "View run",
		},
		"busy": {
			startFacts(domain.Busy),
			[]string{"Contoso's connection is busy", "run 4711 (role definitions sync, started by Kim)", "free at about 14:07 UTC", "usually 7-9 min"},
			nil, "View holder",
		},
		"busy for long": {late, []string{"Only one operation at a time"}, []string{"free at about"}, "View holder"},
		"blocked": {
			blocked, []string{"Cannot start: ", "GroupMember.Read.All", "Nothing was started and nothing was changed"}, []string{"4711"}, "",
		},
	} {
		o := view.PresentStart(tc.facts)
		var facts []string
		for _, f := range o.Facts {
			facts = append(facts, f.Label+" "+f.Text)
		}
		text := strings.Join(append(facts, o.Headline, o.Told().OperatorMessage), "\n")
		for _, want := range tc.says {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q:\n%s", name, want, text)
			}
		}
		for _, never := range tc.omit {
			if strings.Contains(text, never) {
				t.Errorf("%s says %q:\n%s", name, never, text)
			}
		}
		if tc.first != "" && o.Actions[0].Label != tc.first {
			t.Errorf("%s: the first action is %s, want %s", name, o.Actions[0].Label, tc.first)
		}
		if len(o.NextSteps) == 0 || (o.Run == nil) != (name == "blocked") || strings.Contains(o.OperatorMessage, o.Note) && o.Note != "" {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func TestTheThreeStatesOfACancel(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)
	cancelled, succeeded := domain.Cancelled, domain.Succeeded
	for name, tc := range map[string]struct {
		asked   time.Duration // before now; 0 never
		outcome *domain.RunOutcome
		want    string
	}{
		"never": {0, nil, ""}, "just now": {time.Second, nil, "requested"}, "a while ago": {10 * time.Second, nil, "cancelling"},
		"ended so": {10 * time.Second, &cancelled, "cancelled"}, "had ended by itself": {10 * time.Second, &succeeded, ""},
	} {
		run := projections.Run{ID: uuid.New(), Number: 7, Operation: domain.OpGroupsSync, Status: domain.Running, AcceptedAt: now.Add(-time.Minute)}
		if tc.asked > 0 {
			at := now.Add(-tc.asked)
			run.CancelRequestedAt = &at
		}
		if tc.outcome != nil {
			run.Status, run.Outcome, run.EndedAt = domain.Completed, tc.outcome, &now
		}
		d := view.PresentRun(view.RunFacts{Line: projections.RunLine{Run: run}, MayCancel: true, CancelName: "Kim", Now: now})
		got := ""
		if d.Cancel != nil {
			got = d.Cancel.State
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
		for _, b := range d.Buttons {
			if b.Label == "Cancel" && (tc.outcome != nil || (b.DisabledReason == "") != (tc.asked == 0)) {
				t.Errorf("%s: the button is %+v", name, b)
			}
		}
	}
}

// TestWizardStatus: a run's two axes in the four words of the wizard.
func TestWizardStatus(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status  domain.ExecutionStatus
		outcome domain.RunOutcome
		want    string
	}{
		{"", "", ""},
		{domain.Queued, "", "queued"},
		{domain.Running, "", "running"},
		{domain.WaitingApproval, "", "running"},
		{domain.Completed, domain.Succeeded, "succeeded"},
		{domain.Completed, domain.PartiallySucceeded, "succeeded"},
		{domain.Completed, domain.Failed, "failed"},
		{domain.Completed, domain.BlockedRun, "failed"},
		{domain.Completed, domain.Cancelled, "failed"},
		{domain.Completed, "", "failed"},
	} {
		var status *domain.ExecutionStatus
		var outcome *domain.RunOutcome
		if tc.status != "" {
			status = &tc.status
		}
		if tc.outcome != "" {
			outcome = &tc.outcome
		}
		if got := view.WizardStatus(status, outcome); got != tc.want {
			t.Errorf("%s %s is %q, want %q", tc.status, tc.outcome, got, tc.want)
		}
		number := int64(7)
		s := view.PresentOnboardingSession(projections.OnboardingRow{
			Onboarding:     projections.Onboarding{CheckOutcome: new(domain.Accepted), CheckAt: new(time.Now()), CheckRun: &number},
			CheckRunStatus: status, CheckRunOutcome: outcome,
			Operations: []projections.OnboardingOperationRow{{Operation: domain.OpGroupsSync, State: projections.BootstrapAdmitted, RunNumber: &number, RunStatus: status, RunOutcome: outcome}},
		}, domain.Actor{})
		if s.Verification.Status != tc.want || s.Operations[0].Status != tc.want {
			t.Errorf("%s %s in a session: %+v, %+v", tc.status, tc.outcome, s.Verification, s.Operations)
		}
	}
}

// TestASummaryWithoutADefault: where connections are there and none is the default, the one thing to do is to choose it. No command leads there,
// the first connection being the default and none ever taken away; read models that follow the log one by one pass through it.
func TestASummaryWithoutADefault(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)
	all := func(domain.NextStepAction) bool { return true }
	tenant := projections.Tenant{ExternalID: uuid.New(), Name: "Contoso"}
	connections := []projections.Connection{
		{Number: 12, Provider: "microsoft", DisplayName: "First", Enabled: true, Consent: domain.ConsentUnknown, Verification: domain.VerificationUnknown},
		{Number: 13, Provider: "microsoft", DisplayName: "Second"},
	}
	gone := int64(99)
	for name, def := range map[string]*int64{"no default": nil, "a default that is not to be seen": &gone} {
		tenant.DefaultConnection = def
		s := view.PresentSummary(tenant, connections, all, now)
		if s.State != "configured" || !s.NeedsDefaultConnection || s.CTAURL != view.ConnectionHref(12) || s.CTALabel != "Choose the default" ||
			s.Sentence != "A provider connection exists, but none is the tenant's default." || view.String(s.DisplayName) != "First" || s.CanonicalState == nil {
			t.Errorf("%s: %+v", name, s)
		}
		if row := view.PresentTenantRow(tenant, connections, projections.TenantRuns{}, all, now); row.Summary != "configured" || row.Axes == nil {
			t.Errorf("%s: %+v", name, row)
		}
	}
	for _, may := range []bool{true, false} {
		s := view.PresentSummary(tenant, nil, func(domain.NextStepAction) bool { return may }, now)
		if s.State != "missing" || s.CanonicalState != nil || (s.CTALabel == "") == may || strings.Contains(s.Sentence, "A manager of the workspace") == may {
			t.Errorf("without a connection, who may create one (%v): %+v", may, s)
		}
	}
}

// TestWhatIsGrantedBeyondNeed: the advisor names each permission that no operation needs with the tenants that have granted it all the same, and
// each that is needed with those that have not; a tenant that was never checked says nothing.
func TestWhatIsGrantedBeyondNeed(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)
	var needed []string
	for _, n := range domain.PermissionNeeds() {
		needed = append(needed, n.Permission)
	}
	situation := func(name string, granted ...string) projections.TenantSituation {
		s := projections.TenantSituation{Tenant: projections.Tenant{ExternalID: uuid.New(), Name: name}, Connection: &projections.Connection{Granted: granted}}
		if granted != nil {
			s.Connection.LastCheckedAt = &now
		}
		return s
	}
	m := view.PresentReadiness(view.ReadinessFacts{Now: now, Can: func(domain.Capability) bool { return true }, Situations: []projections.TenantSituation{
		situation("Just enough", needed...),
		situation("Too much", append([]string{"Mail.Read", "Files.ReadWrite.All"}, needed...)...),
		situation("Too little and too much", append([]string{"Mail.Read"}, needed[1:]...)...),
		situation("Never checked"),
	}})
	got := map[string]view.PermissionAdvice{}
	for _, a := range m.Advice {
		got[a.Permission] = a
	}
	if len(got) != len(needed)+2 || len(m.Advice) != len(got) {
		t.Errorf("advice on %d permissions, want the %d needed and two more: %+v", len(m.Advice), len(needed), m.Advice)
	}
	for permission, want := range map[string]struct {
		granted         int
		missing, beyond []string
	}{
		needed[0]:             {2, []string{"Too little and too much"}, []string{}},
		needed[1]:             {3, []string{}, []string{}},
		"Mail.Read":           {2, []string{}, []string{"Too much", "Too little and too much"}},
		"Files.ReadWrite.All": {1, []string{}, []string{"Too much"}},
	} {
		a := got[permission]
		if a.Granted != want.granted || !slices.Equal(a.MissingIn, want.missing) || !slices.Equal(a.BeyondIn, want.beyond) || (len(a.Declared) == 0) == slices.Contains(needed, permission) {
			t.Errorf("%s: %+v, want %+v", permission, a, want)
		}
	}
	if a := got[needed[0]]; a.Checked != 3 {
		t.Errorf("%d connections were checked, want 3", a.Checked)
	}
}

// FuzzFilter: whatever is in the address, the filter is one that the database can answer, and its chips can be shown and removed.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"status=queued", "status=-queued&q=a b", "q=%00", "tenant=%ff&-=x", "after=1-1&limit=0", "limit=201", "view=x&view=mine", "=&==", "from=2026-01-01T00:00:00Z"} {
		f.Add(seed)
	}
	now := time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		filter := view.ParseFilter(q, uuid.NewString(), now)
		for _, m := range append(append(filter.TenantName, filter.Reason...), filter.Initiator...) {
			for _, v := range m.Values {
				if v == "" || strings.Contains(v, "\x00") || strings.ToValidUTF8(v, "") != v {
					t.Errorf("%q is compared with %q", raw, v)
				}
			}
		}
		if strings.Contains(filter.RunFilter.Text, "\x00") || filter.Limit < 0 || filter.Limit > 200 {
			t.Errorf("%q: %+v", raw, filter.RunFilter)
		}
		list := view.PresentOperations(view.OperationsFacts{Base: "/admin/operations", Query: q, Filter: filter, Now: now})
		for _, c := range list.Chips {
			if _, err := url.Parse(c.RemoveHref); err != nil {
				t.Errorf("%q: %v", raw, err)
			}
		}
	})
}
