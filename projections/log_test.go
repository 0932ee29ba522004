package projections_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
	"tenantpilot/projections"
)

// testLog is a database whose log is made by SQL rather than by commands, so that it can be long.
type testLog struct {
	db    *pgtest.DB
	owner *pgxpool.Pool
	pool  *pgxpool.Pool
}

func newLog(t testing.TB) *testLog {
	t.Helper()
	db := pgtest.New(t)
	l := &testLog{db: db, owner: db.OwnerPool(t), pool: db.Pool(t)}
	t.Cleanup(l.pool.Close)
	return l
}

// generate appends events of whole runs, six each, as a busy console would leave them: the runs of a wave, one per connection, overlap.
func (l *testLog) generate(t testing.TB, events, connections int) {
	t.Helper()
	_, err := l.owner.Exec(t.Context(), generateEvents, events, connections)
	must(t, err)
	_, err = l.owner.Exec(t.Context(), `analyze events, log`)
	must(t, err)
}

// Payloads are canonical and as long as real ones.
const generateEvents = `
with base as (
	select head, (select coalesce(max(seq), 0) from events) as seq from sequencer for update
), n as (
	select b.head, b.seq, i, (head + i) / (6 * $2::bigint) as wave, (head + i) % (6 * $2::bigint) / $2::bigint as step, (head + i) % $2::bigint as conn
	from base b, generate_series(0, $1::bigint - 1) i
), r as (
	select n.*, wave * $2::bigint + conn as number, md5('run' || wave * $2::bigint + conn)::uuid as run,
		md5('connection' || conn)::uuid as connection, md5('tenant' || conn % 64)::uuid as tenant, md5('workspace')::uuid as workspace,
		md5('person' || conn % 7)::uuid as person, md5('identity' || wave * $2::bigint + conn) as identity,
		timestamptz '2026-01-01 00:00:00Z' + (n.seq + i) * interval '0.25 s' + interval '0.000001 s' * (i % 1000) as at
	from n
), e as (
	insert into events (seq, stream, version, id, name, workspace, tenant, recorded_at, meta, payload, leaf)
	select seq + i + 1,
		case when step in (1, 5) then connection else run end,
		case step when 0 then 1 when 1 then 2 * wave + 1 when 5 then 2 * wave + 2 else step end,
		md5('event' || head + i)::uuid,
		(array['RunAccepted', 'ScopeAcquired', 'RunStarted', 'RunItemsRecorded', 'RunCompleted', 'ScopeReleased'])[step + 1],
		workspace, tenant, at,
		format('{"actor":{"id":"%s","kind":"person"},"correlation":"%s","surface":"web","trigger":"operator"}', person, run)::json,
		(case step
		when 0 then format('{"attempt":"%1$s","connection":%2$s,"facts":{"connectionVersion":12,"consent":"granted",'
			|| '"credentialExpires":"2027-05-07T14:03:00Z","enabled":true,"permissions":["GroupMember.Read.All"],"rule":11,'
			|| '"verification":"healthy"},"identity":"%3$s","initiator":{"id":"%4$s","kind":"person"},"inputs":{"selectionKey":'
			|| '"all_groups_v1"},"number":%5$s,"operation":"directory_groups.sync","run":"%1$s","surface":"web","tenant":"%6$s",'
			|| '"trigger":"operator"}', run, conn + 1, identity, person, number + 1, tenant)
		when 1 then format('{"identity":"%s","initiator":{"id":"%s","kind":"person"},"operation":"directory_groups.sync","run":"%s",'
			|| '"runNumber":%s,"since":"2026-11-07T14:00:00Z"}', identity, person, run, number + 1)
		when 2 then format('{"token":%s,"try":1,"worker":"worker-a/7"}', number + 1)
		when 3 then format('{"items":[{"content":"sha256:%1$s%1$s","count":812,"intent":"read","key":"groups","name":"Directory groups",'
			|| '"requestId":"%2$s","result":"confirmed","type":"collection"}],"token":%3$s}', identity, run, number + 1)
		when 4 then format('{"counts":{"confirmed":1,"refused":0,"unknown":0},"diagnostics":{"httpStatus":"200","requestId":"%s"},'
			|| '"outcome":"succeeded","summary":"812 groups were read","token":%s}', run, number + 1)
		else format('{"run":"%s"}', run) end)::json,
		sha256(identity::bytea)
	from r order by i returning 1
)
insert into log (position, seq) select head + i + 1, seq + i + 1 from n order by i`

// firstRun is the run of the first event.
func (l *testLog) firstRun(t testing.TB) uuid.UUID {
	t.Helper()
	var run uuid.UUID
	must(t, l.pool.QueryRow(t.Context(), `select e.stream from log join events e using (seq) where position = 1`).Scan(&run))
	return run
}

// follow runs an engine until stop is called or the test ends.
func (l *testLog) follow(t testing.TB, all ...projections.Projection) (stop func()) {
	t.Helper()
	store := eventstore.Open(l.pool, eventstore.Config{})
	engine, err := projections.NewEngine(store, nil, all...)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	<-engine.Running()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("stop engine: %v", err)
		}
		store.Close()
	}
	t.Cleanup(stop)
	return stop
}

// settle waits until a projection has the whole log.
func (l *testLog) settle(t testing.TB, p projections.Projection) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var behind bool
		must(t, l.pool.QueryRow(t.Context(), `select not exists (select from checkpoints c, sequencer s
			where c.projection = $1 and c.position = s.head)`, p.Name()).Scan(&behind))
		if !behind {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s did not catch up within 60 s", p.Name())
		}
	}
}
