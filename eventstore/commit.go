package eventstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"tenantpilot/domain"
)

// committer is one group-commit worker: it takes whatever requests are waiting, at most BatchCap, decides them one after another against
// the state that the batch itself has produced, and appends the lot in one round trip. A lone request is a batch of one at once.
type committer struct {
	store *Store
	jobs  chan *job
	gone  chan struct{} // closed when run has ended
	later []*job        // requests whose answer has to wait for the batch under way; owned by run
}

type job struct {
	ctx     context.Context
	request Request
	decide  func(context.Context, *Unit) error
	answer  uuid.UUID
	done    chan result // buffered: a caller that left is not waited for
}

type result struct {
	receipt Receipt
	err     error
}

func (j *job) finish(r Receipt, err error) { j.done <- result{r, err} }

func (c *committer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			c.refuseRest(ctx.Err())
			return
		case j := <-c.jobs:
			c.commit(ctx, c.gather(j))
			for len(c.later) > 0 {
				waited := c.later
				c.later = nil
				c.commit(ctx, waited)
			}
		}
	}
}

// gather adds what is already waiting. It waits for nothing.
func (c *committer) gather(first *job) []*job {
	batch := []*job{first}
	for len(batch) < c.store.cfg.BatchCap {
		select {
		case j := <-c.jobs:
			batch = append(batch, j)
		default:
			return batch
		}
	}
	return batch
}

func (c *committer) refuseRest(err error) {
	for {
		select {
		case j := <-c.jobs:
			j.finish(Receipt{}, err)
		default:
			return
		}
	}
}

// maxTries bounds how often one batch is decided again. Each failure has a cause outside this process's order (another process's append,
// a lost connection), so it is reached only when the database is in trouble.
const maxTries = 40

func (c *committer) commit(ctx context.Context, batch []*job) {
	var fresh bool
	var last error
	for try := range maxTries {
		batch = dropLeft(batch)
		var o *overlay
		if o, batch, last = c.decide(ctx, batch, fresh); len(batch) == 0 {
			return
		}
		if last == nil {
			var done bool
			if done, batch, last = c.attempt(ctx, o, batch, fresh); done || len(batch) == 0 {
				return
			}
		}
		if ctx.Err() != nil || isFinal(last) {
			break
		}
		fresh = true
		sleep(ctx, backoff(try, last))
	}
	c.giveUp(ctx, batch, last)
}

// giveUp fails a batch. One bad request must not fail its neighbours, so a batch of several is tried one by one first, unless it is the
// database that is in trouble.
func (c *committer) giveUp(ctx context.Context, batch []*job, err error) {
	if ctx.Err() != nil {
		err = ctx.Err() // whatever came last: the store was closed meanwhile
	}
	alone := len(batch) == 1 || !(isFinal(err) || errors.Is(err, errConflict))
	if alone || ctx.Err() != nil {
		for _, j := range batch {
			j.finish(Receipt{}, fmt.Errorf("append events: %w", err))
		}
		return
	}
	for _, j := range batch {
		c.commit(ctx, []*job{j})
	}
}

// dropLeft drops requests whose caller has gone before anything was sent for them.
func dropLeft(batch []*job) []*job {
	kept := batch[:0]
	for _, j := range batch {
		if err := j.ctx.Err(); err != nil {
			j.finish(Receipt{}, err)
			continue
		}
		kept = append(kept, j)
	}
	return kept
}

// decide runs every request's decision in turn. It answers those that need no append, and returns the others with what they append. An
// answer that rests on what the batch wants to append waits for it: if that append failed, or the process died before it, the answer would
// have told of something that never was.
func (c *committer) decide(ctx context.Context, batch []*job, fresh bool) (*overlay, []*job, error) {
	o := &overlay{
		store: c.store, fresh: fresh, views: map[uuid.UUID]view{}, base: map[uuid.UUID]int{},
	}
	if err := o.prefetch(ctx, batch); err != nil {
		return o, batch, err
	}
	var waiting []*job
	keys := make(map[uuid.UUID]bool, len(batch))
	for _, j := range batch {
		if keys[j.request.Key] {
			c.later = append(c.later, j) // its twin is in this batch and will be its answer
			continue
		}
		u := o.unit(j)
		err := decideFresh(ctx, o, j, &u)
		switch {
		case errors.As(err, new(readError)):
			return o, append(waiting, rest(batch, j)...), err
		case u.clash || o.restsOn(u) && (err != nil || len(u.appends) == 0):
			c.later = append(c.later, j)
		case err != nil:
			j.finish(c.refusal(ctx, j, err))
		case len(u.appends) == 0:
			j.finish(c.refusal(ctx, j, nil))
		default:
			keys[j.request.Key] = true
			o.accept(j, u)
			waiting = append(waiting, j)
		}
	}
	return o, waiting, nil
}

// rest is what of a batch has no answer yet: j and what comes after it.
func rest(batch []*job, j *job) []*job {
	return batch[slices.Index(batch, j):]
}

// decideFresh decides, and where the answer would be final without an append to check it (a refusal, or nothing to do), decides again
// from what the database says now rather than from memory.
func decideFresh(ctx context.Context, o *overlay, j *job, u **Unit) error {
	err := j.decide(ctx, *u)
	if (err == nil && len((*u).appends) > 0) || o.fresh {
		return err
	}
	o.fresh = true
	defer func() { o.fresh = false }()
	again := o.unit(j)
	*u = again
	return j.decide(ctx, again)
}

// refusal is the answer to a request that appends nothing: a repeat of one that was carried out still gets the first answer.
func (c *committer) refusal(ctx context.Context, j *job, err error) (Receipt, error) {
	receipt, found, lookErr := c.store.answered(ctx, j.request)
	if lookErr != nil || found {
		return receipt, lookErr
	}
	return Receipt{}, err
}

// prefetched is what one query found of a stream: the events beyond what memory or a snapshot has.
type prefetched struct {
	snapshot []byte // state at version since, when that is a snapshot's
	since    int
	events   []Event
}

// prefetch reads what is new in the streams that the batch needs and memory does not have, in one round trip.
func (o *overlay) prefetch(ctx context.Context, batch []*job) error {
	o.prefetched = map[uuid.UUID]*prefetched{}
	var streams []pgtype.UUID
	var since []int
	for _, j := range batch {
		for _, stream := range j.request.Needs {
			version := o.store.cache.version(stream)
			if o.prefetched[stream] == nil && (o.fresh || version == 0) {
				o.prefetched[stream] = &prefetched{since: version}
				streams, since = append(streams, pgUUID(stream)), append(since, version)
			}
		}
	}
	if len(streams) == 0 {
		return nil
	}
	const snapshots = `select n.stream, s.version, s.state from unnest($1::uuid[], $2::integer[]) n(stream, since)
		join snapshots s on s.stream = n.stream and s.schema = $3 and s.version > n.since`
	var both pgx.Batch
	both.Queue(snapshots, streams, since, domain.SchemaHash()).Query(func(rows pgx.Rows) error {
		var stream uuid.UUID
		var version int
		var state []byte
		_, err := pgx.ForEachRow(rows, []any{&stream, &version, &state}, func() error {
			o.prefetched[stream].snapshot, o.prefetched[stream].since = slices.Clone(state), version
			return nil
		})
		return err
	})
	both.Queue(`select `+eventColumns+` from unnest($1::uuid[], $2::integer[]) n(stream, since)
		join events e on e.stream = n.stream and e.version > n.since and e.version > coalesce(
			(select s.version from snapshots s where s.stream = n.stream and s.schema = $3), 0)
		order by e.stream, e.version`, streams, since, domain.SchemaHash()).Query(func(rows pgx.Rows) error {
		events, err := pgx.CollectRows(rows, scanEvent(false))
		for _, e := range events {
			o.prefetched[e.Stream].events = append(o.prefetched[e.Stream].events, e)
		}
		return err
	})
	if err := o.store.pool.SendBatch(ctx, &both).Close(); err != nil {
		return readError{fmt.Errorf("read streams: %w", err)}
	}
	return nil
}

// attempt appends a decided batch. done says that every request has its answer; otherwise the returned requests must be decided again.
func (c *committer) attempt(ctx context.Context, o *overlay, batch []*job, fresh bool) (done bool, rest []*job, err error) {
	a, err := o.arguments(batch, fresh)
	if err != nil {
		return false, batch, encodeError{err}
	}
	outcome, err := c.store.appendEvents(ctx, a)
	switch {
	case err != nil:
		c.forget(o)
		return false, batch, err
	case len(outcome.known) > 0:
		return false, c.answerKnown(ctx, batch, outcome.known), errConflict
	case len(outcome.conflicts) > 0:
		c.store.cache.drop(outcome.conflicts...)
		return false, c.refuseTaken(ctx, o, batch, outcome.conflicts), errConflict
	}
	for stream, v := range o.views {
		if v.state != nil {
			c.store.cache.put(stream, v.state, v.version)
		}
	}
	c.store.appended.ring()
	c.store.appendedHere.Store(true)
	c.store.knock()
	for _, j := range batch {
		j.finish(Receipt{Stream: j.answer, Seq: outcome.lastSeq}, nil)
	}
	return true, nil, nil
}

// refuseTaken answers requests that wanted to open a stream which exists already: deciding again would change nothing.
func (c *committer) refuseTaken(ctx context.Context, o *overlay, batch []*job, conflicts []uuid.UUID) []*job {
	taken := make(map[*job]bool)
	for _, s := range o.staged {
		if o.views[s.stream].evolve == nil && slices.Contains(conflicts, s.stream) {
			taken[s.job] = true
		}
	}
	return slices.DeleteFunc(batch, func(j *job) bool {
		if taken[j] {
			j.finish(c.refusal(ctx, j, errTaken()))
		}
		return taken[j]
	})
}

func errTaken() error {
	return &domain.Refusal{Kind: domain.Conflict, Code: "exists_already", Text: "This exists already."}
}

func (c *committer) forget(o *overlay) {
	for stream := range o.base {
		c.store.cache.drop(stream)
	}
}

// answerKnown answers requests that had been carried out before and returns the others.
func (c *committer) answerKnown(ctx context.Context, batch []*job, known []uuid.UUID) []*job {
	isKnown := make(map[uuid.UUID]bool, len(known))
	for _, k := range known {
		isKnown[k] = true
	}
	var rest []*job
	for _, j := range batch {
		if !isKnown[j.request.Key] {
			rest = append(rest, j)
			continue
		}
		receipt, _, err := c.store.answered(ctx, j.request)
		j.finish(receipt, err)
	}
	return rest
}

// answered looks a request up among those that were carried out. It asks until it knows: the request may be one whose append took effect.
func (s *Store) answered(ctx context.Context, r Request) (Receipt, bool, error) {
	var hash []byte
	receipt := Receipt{Replayed: true}
	var err error
	for try := range maxTries {
		err = s.pool.QueryRow(ctx, `select hash, stream, last_seq from requests where key = $1`, r.Key).
			Scan(&hash, &receipt.Stream, &receipt.Seq)
		if errors.Is(err, pgx.ErrNoRows) {
			return Receipt{}, false, nil
		}
		if err == nil || ctx.Err() != nil || isFinal(err) {
			break
		}
		sleep(ctx, backoff(try, err))
	}
	if err != nil {
		return Receipt{}, false, fmt.Errorf("read request: %w", err)
	}
	if r.Hash != nil && !bytes.Equal(hash, r.Hash) {
		return Receipt{}, true, &domain.Refusal{
			Kind: domain.KeyReused, Code: "idempotency_key_reused",
			Text: "This idempotency key was used before for another request. Use a fresh key.",
		}
	}
	return receipt, true, nil
}

var errConflict = errors.New("streams moved meanwhile")

// readError marks a failure to ask the database, as opposed to a decision's own refusal.
type readError struct{ error }

func (e readError) Unwrap() error { return e.error }

// encodeError marks events that cannot be written down, whatever the database says.
type encodeError struct{ error }

func (e encodeError) Unwrap() error { return e.error }

// isFinal says that trying again cannot help: the database understood the statement and refused it, or there is none to send. Everything else is tried again with
// the same request keys, which tell whether an append whose answer was lost took effect. (pgconn.SafeToRetry is no help: pgx 5.9 to 5.12
// answer true for a statement without arguments that did run.)
func isFinal(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return errors.As(err, new(encodeError))
	}
	switch pg.Code[:2] {
	case "08", "40", "53", "55", "57", "58": // connection, rollback, resources, not in that state, operator intervention, system
		return false
	}
	return pg.Code != pgerrUniqueViolation // somebody opened the same stream or sent the same request: decide again
}

const pgerrUniqueViolation = "23505"

func backoff(try int, err error) time.Duration {
	if errors.Is(err, errConflict) {
		return time.Duration(rand.IntN(1+try)) * time.Millisecond
	}
	return time.Duration(10+rand.IntN(10<<min(try, 5))) * time.Millisecond
}
