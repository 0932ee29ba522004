package worker_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/cmd/tenantpilot/internal/graph/graphsim"
	"tenantpilot/cmd/tenantpilot/internal/worker"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/projections"
)

// wizardVariable makes the test binary a process that goes through the wizard for the directory it names: something to kill.
const wizardVariable = "TENANTPILOT_TEST_WIZARD"

// bootstrapped are the operations that the wizard starts.
var bootstrapped = []string{string(domain.OpGroupsSync), string(domain.OpRoleDefinitionsSync)}

// wizard goes through all steps as often as it is called: each is the one that was there before, if there was one. It says each step when
// it is done.
func wizard(ctx context.Context, h *commands.Handler, store *eventstore.Store, who domain.Actor, directory, seed uuid.UUID, say func(string)) error {
	s, _, err := h.StartOnboarding(ctx, commands.StartOnboarding{Actor: who, ExternalID: directory, Name: "Contoso"})
	if err != nil {
		return fmt.Errorf("identify: %w", err)
	}
	if say("identified"); s.Session.State != domain.OnboardingOpen {
		return nil
	}
	c, _, err := h.ChooseConnection(ctx, commands.ChooseConnection{Actor: who, Session: s.Number})
	if err != nil {
		return fmt.Errorf("choose: %w", err)
	}
	say("chosen")
	_, err = h.StartOnboardingCheck(ctx, commands.StartOnboardingCheck{Actor: who, Session: s.Number, Attempt: uuid.NewSHA1(seed, []byte("check"))})
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	for say("asked for a check"); ; time.Sleep(20 * time.Millisecond) {
		conn, _, err := eventstore.Current[domain.ProviderConnection](ctx, store, c.Connection.ID)
		if err != nil {
			return fmt.Errorf("wait for the check: %w", err)
		}
		if conn.Verification == domain.VerificationHealthy {
			break
		}
	}
	say("verified")
	_, err = h.StartBootstrap(ctx, commands.StartBootstrap{
		Actor: who, Session: s.Number, Attempt: uuid.NewSHA1(seed, []byte("bootstrap")), Connection: c.Connection.Number, Operations: bootstrapped,
	})
	if err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	say("bootstrapped")
	if _, err = h.CompleteOnboarding(ctx, commands.CompleteOnboarding{Actor: who, Session: s.Number}); err != nil {
		return fmt.Errorf("complete: %w", err)
	}
	say("completed")
	return nil
}

// wizardSteps is how many lines the wizard says.
const wizardSteps = 6

// runWizard is the process.
func runWizard() int {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("TENANTPILOT_TEST_DB"))
	if err != nil {
		return 2
	}
	store := eventstore.Open(pool, eventstore.Config{})
	who := domain.Actor{
		Ref:       domain.ActorRef{Kind: domain.ActorPerson, ID: uuid.MustParse(os.Getenv("TENANTPILOT_TEST_PERSON"))},
		Workspace: uuid.MustParse(os.Getenv("TENANTPILOT_TEST_WORKSPACE")), Role: domain.RoleManager,
	}
	directory := uuid.MustParse(os.Getenv(wizardVariable))
	stop, err := strconv.Atoi(os.Getenv("TENANTPILOT_TEST_STOP"))
	if err != nil {
		return 2
	}
	say := func(step string) {
		if fmt.Println(step); stop == 1 {
			select {} // until it is killed
		}
		stop--
	}
	if err := wizard(ctx, commands.New(store, nil), store, who, directory, directory, say); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// wizardUntil runs the wizard in a process of its own that is killed after some steps, or a while later within the next one.
func (w *world) wizardUntil(tn tenant, who domain.Actor, steps int, while time.Duration) {
	w.t.Helper()
	stop := steps
	if while > 0 {
		stop++
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TENANTPILOT_TEST_STOP="+strconv.Itoa(stop), wizardVariable+"="+tn.id, "TENANTPILOT_TEST_DB="+w.db.AppURL, "TENANTPILOT_TEST_PERSON="+who.Ref.ID.String(),
		"TENANTPILOT_TEST_WORKSPACE="+who.Workspace.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	w.must(err)
	w.must(cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	said := bufio.NewScanner(out)
	for range steps {
		if !said.Scan() {
			w.t.Fatalf("the wizard ended before step %d: %v", steps, cmd.Wait())
		}
	}
	time.Sleep(while)
}

// TestOnboardingSurvivesAKillAtEveryStep: the console's process is killed after each step, and at random within the steps; the worker while
// each of its runs is under way. In the end everything has happened once.
func TestOnboardingSurvivesAKillAtEveryStep(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	const lease = 1500 * time.Millisecond
	w := newWorld(t, graphsim.Config{})
	tn := w.unverified(graphsim.Tenant{})
	for step := range 3 { // identified, chosen, asked for a check
		w.wizardUntil(tn, w.owner, step+1, 0)
		w.wizardUntil(tn, w.owner, step, time.Duration(1+r.IntN(120))*time.Millisecond)
	}
	// The check: its worker dies while the provider thinks.
	w.sim.Hold(tn.id)
	victim := w.child("victim of the check", lease)
	tn.held()
	w.must(victim.Kill())
	w.sim.Release(tn.id)
	victim = w.child("victim of the rest", lease)
	w.wizardUntil(tn, w.owner, 4, 0) // verified
	w.sim.Hold(tn.id)
	for range 4 {
		w.wizardUntil(tn, w.owner, 4, time.Duration(1+r.IntN(15))*time.Millisecond)
	}
	w.wizardUntil(tn, w.owner, 5, 0) // bootstrapped
	tn.sim(`{"latencyMs":250}`)      // so that the next run does not end before the provider holds again
	for i := range bootstrapped {    // each dies under its worker, and so does the worker that admits the next
		tn.held()
		w.must(victim.Kill())
		w.sim.Release(tn.id)
		victim = w.child(fmt.Sprintf("successor %d", i+1), lease)
		w.sim.Hold(tn.id)
		w.eventually("the run is taken up again", tn.isHeld)
		if i == 0 {
			w.wizardUntil(tn, w.owner, wizardSteps, 0) // completed while operations run
		}
		w.sim.Release(tn.id)
		w.eventually("the run ends", func() bool { return w.count("RunCompleted") == i+2 })
		w.sim.Hold(tn.id)
	}
	w.sim.Release(tn.id)
	w.wizardUntil(tn, w.owner, 1, 0)
	for name, n := range map[string]int{
		"OnboardingStarted": 1, "ConnectionChosen": 1, "VerificationRequested": 1, "BootstrapSelected": 1, "StartReserved": 2, "ReservationEnded": 2,
		"BootstrapOperationAdmitted": 2, "OnboardingCompleted": 1, "RunAccepted": 3, "RunCompleted": 3, "StartBlocked": 0, "TenantRegistered": 1,
	} {
		if got := w.count(name); got != n {
			t.Errorf("%d %s, want %d", got, name, n)
		}
	}
	w.wantReceipts()
	w.nothingLeft()
	row, err := projections.NewReader(w.pool).OnboardingOf(t.Context(), w.owner, tn.ours.ExternalID)
	w.must(err)
	for _, o := range row.Operations {
		if o.State != projections.BootstrapAdmitted || o.RunOutcome == nil || *o.RunOutcome != domain.Succeeded {
			t.Errorf("operation %d: %+v", o.Ordinal, o)
		}
	}
	if len(row.Operations) != 2 || row.State != domain.OnboardingDone {
		t.Errorf("%d operations, %s", len(row.Operations), row.State)
	}
}

// TestBootstrapGoesOnHoweverARunEnds: cancelled, failed, refused by the provider.
func TestBootstrapGoesOnHoweverARunEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]struct {
		spoil func(*world, tenant, commands.BootstrapResult)
		want  domain.RunOutcome
	}{
		"cancelled": {func(w *world, _ tenant, b commands.BootstrapResult) {
			_, err := w.commands.CancelRun(w.t.Context(), commands.CancelRun{Actor: w.owner, Run: b.Run})
			w.must(err)
		}, domain.Cancelled},
		"failed": {func(_ *world, tn tenant, _ commands.BootstrapResult) { tn.sim(`{"scenario":"forbidden"}`) }, domain.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, graphsim.Config{})
			tn := w.tenant(graphsim.Tenant{})
			ctx := t.Context()
			s, _, err := w.commands.StartOnboarding(ctx, commands.StartOnboarding{Actor: w.owner, ExternalID: tn.ours.ExternalID, Name: "x"})
			w.must(err)
			_, _, err = w.commands.ChooseConnection(ctx, commands.ChooseConnection{Actor: w.owner, Session: s.Number})
			w.must(err)
			b, err := w.commands.StartBootstrap(ctx, commands.StartBootstrap{
				Actor: w.owner, Session: s.Number, Connection: tn.conn, Operations: bootstrapped,
			})
			w.must(err)
			end.spoil(w, tn, b)
			w.work(worker.Config{})
			if got := w.ended(b.Run); got.Outcome != end.want {
				t.Errorf("ended %s (%s), want %s", got.Outcome, got.Reason, end.want)
			}
			w.eventually("the second had its turn", func() bool { return w.count("BootstrapOperationAdmitted") == 2 })
			w.wantReceipts()
			w.nothingLeft()
		})
	}
}

func (w *world) count(name string) (n int) {
	w.t.Helper()
	w.must(w.pool.QueryRow(context.Background(), `select count(*) from events where name = $1`, name).Scan(&n))
	return n
}

// wantReceipts checks that the outcomes that sessions recorded are those of their attempts' receipts.
func (w *world) wantReceipts() {
	w.t.Helper()
	type told struct {
		Attempt uuid.UUID
		Outcome domain.Outcome
		Reason  domain.ReasonCode
		Run     int64
	}
	var recorded, receipts []told
	rows, err := w.pool.Query(context.Background(), `select name, payload from events where name in
		('BootstrapOperationAdmitted', 'VerificationRequested', 'RunAccepted', 'RunDeduped', 'ScopeBusy', 'StartBlocked')`)
	w.must(err)
	var name string
	var payload []byte
	_, err = pgx.ForEachRow(rows, []any{&name, &payload}, func() error {
		decoded, err := domain.Decode(name, payload)
		switch e := decoded.(type) {
		case domain.BootstrapOperationAdmitted:
			recorded = append(recorded, told{domain.ReservationAttempt(e.Reservation), e.Outcome, e.Reason, e.RunNumber})
		case domain.VerificationRequested:
			recorded = append(recorded, told{e.Attempt, e.Outcome, e.Reason, e.RunNumber})
		case domain.RunAccepted:
			receipts = append(receipts, told{e.Attempt, domain.Accepted, "", e.Number})
		case domain.RunDeduped:
			receipts = append(receipts, told{e.Attempt, domain.Deduped, "", e.Holder.RunNumber})
		case domain.ScopeBusy:
			receipts = append(receipts, told{e.Attempt, domain.Busy, "", e.Holder.RunNumber})
		case domain.StartBlocked:
			receipts = append(receipts, told{e.Attempt, domain.IsBlocked, e.Reason, 0})
		}
		return err
	})
	w.must(err)
	if len(recorded) == 0 {
		w.t.Error("the session recorded nothing")
	}
	for _, got := range recorded {
		if !slices.Contains(receipts, got) {
			w.t.Errorf("the session says %+v, and no receipt does", got)
		}
	}
}
