package projections_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

func TestOnlyACompleteReadingReplacesTheDirectoryCache(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	whole := domain.Item{Key: "directory_groups", Type: "collection", Intent: "read", Result: domain.ItemConfirmed, Count: 3, Content: "aa"}
	first := f.record(t, whole)
	want := func(content string, count int, run uuid.UUID) {
		t.Helper()
		all, err := projections.DirectoryCache(t.Context(), f.pool, f.tenant.ID)
		must(t, err)
		if len(all) != 1 || all[0].Kind != "directory_groups" || all[0].Content != content || all[0].Count != count || all[0].Run != run || all[0].ReadAt.IsZero() {
			t.Errorf("cache = %+v, want %s, %d, of run %s", all, content, count, run)
		}
	}
	want("aa", 3, first)

	for name, change := range map[string]func(*domain.Item){
		"partial":         func(i *domain.Item) { i.Partial = true },
		"refused":         func(i *domain.Item) { i.Result = domain.ItemRefused },
		"without content": func(i *domain.Item) { i.Content = "" },
		"no collection":   func(i *domain.Item) { i.Type = "permission" },
	} {
		item := whole
		item.Content, item.Count = "bb", 1
		change(&item)
		f.record(t, item)
		t.Log(name)
		want("aa", 3, first)
	}

	item := whole
	item.Content, item.Count = "cc", 4
	second := f.record(t, whole, item) // the last one of a batch counts
	want("cc", 4, second)
	f.applyAll(t, projections.Directory{})
	want("cc", 4, second)

	if other, err := projections.DirectoryCache(t.Context(), f.pool, uuid.New()); err != nil || len(other) != 0 {
		t.Errorf("another tenant's cache = %+v, %v", other, err)
	}
}

// record runs an operation that records items, and returns the run.
func (f *fixture) record(t testing.TB, items ...domain.Item) uuid.UUID {
	t.Helper()
	r := f.start(t, domain.OpGroupsSync)
	if r.Outcome != domain.Accepted {
		t.Fatalf("start = %s", r.Outcome)
	}
	f.settle(t, r.Seq, projections.Work{})
	item, err := projections.Claim(t.Context(), f.pool, "w", time.Minute)
	must(t, err)
	claim := commands.Claim{Workspace: f.workspace, Run: r.Run, Token: item.Token, Worker: "w"}
	_, err = f.commands.BeginRun(t.Context(), claim)
	must(t, err)
	must(t, f.commands.RecordItems(t.Context(), claim, items))
	must(t, f.commands.EndRun(t.Context(), claim, domain.Ending{Outcome: domain.Succeeded}, nil))
	f.settleAll(t)
	return r.Run
}
