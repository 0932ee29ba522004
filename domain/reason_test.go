package domain

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// declaredReasonCodes reads the constants of type ReasonCode from the source, so that a code without
// a row in the table is found.
func declaredReasonCodes(t *testing.T) []ReasonCode {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []ReasonCode
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		id, ok := spec.Type.(*ast.Ident)
		if !ok || id.Name != "ReasonCode" {
			return true
		}
		code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, ReasonCode(code))
		return true
	})
	return codes
}

func TestEveryReasonCodeHasExactlyOneRow(t *testing.T) {
	t.Parallel()
	declared := declaredReasonCodes(t)
	if len(declared) < 50 {
		t.Fatalf("found %d declared codes; the source is not read as expected", len(declared))
	}
	rows := map[ReasonCode]int{}
	for _, r := range Reasons() {
		rows[r.Code]++
	}
	for _, code := range declared {
		if rows[code] != 1 {
			t.Errorf("code %s has %d rows in the table, want 1", code, rows[code])
		}
	}
	if len(rows) != len(declared) {
		t.Errorf("%d codes in the table, %d declared", len(rows), len(declared))
	}
}

func TestReasonTextsAreComplete(t *testing.T) {
	t.Parallel()
	snake := regexp.MustCompile(`^[a-z]+(_[a-z]+)+$`)
	for _, r := range Reasons() {
		t.Run(string(r.Code), func(t *testing.T) {
			t.Parallel()
			if !snake.MatchString(string(r.Code)) {
				t.Errorf("code %q is not lower snake case", r.Code)
			}
			if !slices.Contains(ReasonFamilies(), r.Family) {
				t.Errorf("family %q is not one of the fixed set", r.Family)
			}
			for what, text := range map[string]string{"short reason": r.Short, "message": r.Message} {
				if !strings.HasSuffix(text, ".") || strings.ContainsAny(text, "{}!") || len(text) < 12 {
					t.Errorf("%s is not a plain sentence: %q", what, text)
				}
			}
			if strings.Count(r.Short, ".") != 1 || len(r.Short) > 60 {
				t.Errorf("short reason is not one short sentence: %q", r.Short)
			}
			if r.Transient && r.Blocking {
				t.Error("both transient and blocking")
			}
			if (r.Axis == ReasonAxisNone) != (r.AxisState == "") {
				t.Errorf("axis %q with state %q", r.Axis, r.AxisState)
			}
			if !slices.Contains(statesOfAxis(r.Axis), r.AxisState) {
				t.Errorf("axis %q has no state %q", r.Axis, r.AxisState)
			}
		})
	}
}

func statesOfAxis(a ReasonAxis) []string {
	switch a {
	case ReasonAxisConsent:
		return []string{"required", "failed", "revoked"}
	case ReasonAxisVerification:
		return []string{"degraded", "blocked", "error"}
	}
	return []string{""}
}

func TestNextStepsAreUsable(t *testing.T) {
	t.Parallel()
	routes := []string{"", hrefConnection, hrefEnable, hrefCredential, hrefConsent, hrefTenant, hrefOperations, hrefRun, hrefOnboarding}
	actions := []NextStepAction{
		StepLink, StepConsent, StepVerify, StepEnable, StepRotateCredential, StepCreateConnection,
		StepReview, StepReleaseHold, StepRetry, StepWait, StepContactOwner, StepContactAdmin,
	}
	sentenceCase := regexp.MustCompile(`^[A-Z][a-z]+ [a-zA-Z' -]+$`)
	forbidden := regexp.MustCompile(`(?i)\b(oops|sorry|please|you failed|your fault|invalid user)\b`)
	for _, r := range append(Reasons(), ReasonFor("not_in_the_table")) {
		if len(r.NextSteps) == 0 {
			t.Errorf("%s: no next step", r.Code)
		}
		for _, s := range r.NextSteps {
			if !sentenceCase.MatchString(s.Label) || s.Description == "" {
				t.Errorf("%s: step %q lacks words", r.Code, s.Label)
			}
			if !slices.Contains(routes, s.Href) {
				t.Errorf("%s: step %q leads to %q, which is no known route", r.Code, s.Label, s.Href)
			}
			if !slices.Contains(actions, s.ActionType) {
				t.Errorf("%s: step %q has action type %q", r.Code, s.Label, s.ActionType)
			}
			if text := s.Label + s.Description + r.Short + r.Message; forbidden.MatchString(text) {
				t.Errorf("%s: tone: %q", r.Code, text)
			}
		}
	}
}

func TestReasonForUnknownCodeKeepsTheCode(t *testing.T) {
	t.Parallel()
	got := ReasonFor("from_a_newer_version")
	if got.Code != "from_a_newer_version" || got.Short == "" || got.Message == "" || got.Transient || got.Blocking {
		t.Errorf("got %+v", got)
	}
	if _, ok := LookupReason("from_a_newer_version"); ok {
		t.Error("LookupReason knows a code that is not in the table")
	}
}

func TestFillResolvesLinks(t *testing.T) {
	t.Parallel()
	r := Reason{NextSteps: []NextStep{
		{Label: "a", Href: hrefCredential}, {Label: "b", Href: hrefOperations}, {Label: "c", Href: hrefRun},
	}}
	got := r.Fill(ReasonTarget{Connection: "7", Tenant: "x/../y"})
	want := []string{"/admin/provider-connections/7/credential", "/admin/t/x%2F..%2Fy/operations", ""}
	for i, s := range got.NextSteps {
		if s.Href != want[i] {
			t.Errorf("step %s: got %q, want %q", s.Label, s.Href, want[i])
		}
	}
	if r.NextSteps[0].Href != hrefCredential {
		t.Error("Fill changed its receiver")
	}
}

func TestReasonsCannotBeChangedThroughAnAnswer(t *testing.T) {
	t.Parallel()
	first := ReasonFor(ReasonProviderConsentMissing)
	want := first.NextSteps[0].Label
	first.NextSteps[0].Label = "changed"
	if got := ReasonFor(ReasonProviderConsentMissing).NextSteps[0].Label; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseReasonCode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want ReasonCode
		ok   bool
	}{
		{"provider_permission_denied", ReasonProviderPermissionDenied, true},
		{"ext.provider_permission_denied", ReasonProviderPermissionDenied, true},
		{"provider.permission_denied", ReasonProviderPermissionDenied, true},
		{" Provider_Permission_Denied ", ReasonProviderPermissionDenied, true},
		{"provider_rate_limited", ReasonProviderRateLimited, true},
		{"permission_denied", "", false},
		{"ext.provider_rate_limited", "", false},
		{"", "", false},
	} {
		if got, ok := ParseReasonCode(c.in); got != c.want || ok != c.ok {
			t.Errorf("ParseReasonCode(%q) = %q, %v; want %q, %v", c.in, got, ok, c.want, c.ok)
		}
	}
}

func TestReasonsNamedByTheErrorMappingHaveTheirClass(t *testing.T) {
	t.Parallel()
	transient := []ReasonCode{
		ReasonProviderRateLimited, ReasonProviderUnavailable, ReasonProviderUnreachable,
		ReasonPlatformTokenLoop, ReasonDirectoryDeltaExpired, ReasonProviderObjectLocked,
	}
	for _, r := range Reasons() {
		if want := slices.Contains(transient, r.Code); r.Transient != want {
			t.Errorf("%s: transient = %v, want %v", r.Code, r.Transient, want)
		}
	}
}
