package eventstore

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
)

// Request is one thing that somebody asks for, to be carried out exactly once.
type Request struct {
	// Key identifies the request: the same key again answers what was carried out the first time. Zero draws a fresh one.
	Key uuid.UUID
	// Hash is a digest of what is asked. The same key with another hash is refused (domain.KeyReused). Nil leaves it out.
	Hash []byte
	// Affinity keeps requests that touch the same things in one committer, where they see each other's results and need no retry:
	// the provider connection's stream, for starts.
	Affinity uuid.UUID
	// Needs are streams that the decision will load; those not in memory are read in one query for the whole batch.
	Needs []uuid.UUID

	Workspace uuid.UUID
	Meta      Meta
	At        time.Time // recorded_at of the events
}

// Receipt says what became of a request that was carried out.
type Receipt struct {
	// Stream is the request's answer (Unit.Answer): where to read what was decided.
	Stream uuid.UUID
	// Seq identifies the append for PositionOf; 0 when nothing was appended.
	Seq int64
	// Replayed says that the request had been carried out before and nothing was done now.
	Replayed bool
}

// Unit is what a decision sees and wants: streams as they stand, and events to append to them, all or none.
type Unit struct {
	batch   *overlay
	request *Request
	tenant  uuid.UUID
	answer  uuid.UUID
	loaded  map[uuid.UUID]view
	order   []uuid.UUID // streams in the order of their first append
	appends map[uuid.UUID][]domain.Event
	clash   bool
}

// view is a stream as a unit sees it.
type view struct {
	state   any
	version int
	evolve  func(any, domain.Event) any // nil for a stream that was opened without loading
}

// Load folds a stream as this unit sees it: the database, what requests before it in the batch appended, and its own appends. The
// append fails, and the decision is made again, if the stream has moved since. The version is 0 when there is none.
func Load[S domain.State[S]](ctx context.Context, u *Unit, stream uuid.UUID) (S, int, error) {
	if v, ok := u.view(stream); ok {
		if state, ok := v.state.(S); ok {
			u.loaded[stream] = v
			return state, v.version, nil
		}
	}
	state, version, err := loadStored[S](ctx, u.batch, stream)
	if err != nil {
		return state, 0, err
	}
	u.loaded[stream] = view{state, version, func(s any, e domain.Event) any { return s.(S).Evolve(e) }}
	return state, version, nil
}

// Append adds events to a stream that was loaded, or opens a stream that must not exist yet.
func (u *Unit) Append(stream uuid.UUID, events ...domain.Event) {
	if len(events) == 0 {
		return
	}
	v, loaded := u.loaded[stream]
	if _, taken := u.batch.views[stream]; taken && !loaded {
		u.clash = true // opened twice: only one of the two can have it
	}
	for _, e := range events {
		v.version++
		if v.evolve != nil {
			v.state = v.evolve(v.state, e)
		}
	}
	u.loaded[stream] = v
	if _, ok := u.appends[stream]; !ok {
		u.order = append(u.order, stream)
	}
	u.appends[stream] = append(u.appends[stream], events...)
}

// Changed says whether anything was appended.
func (u *Unit) Changed() bool { return len(u.order) > 0 }

// Apply appends the changes of a decision.
func (u *Unit) Apply(changes []domain.Change) {
	for _, c := range changes {
		u.Append(c.Stream, c.Events...)
	}
}

// About names the tenant that the events are about.
func (u *Unit) About(tenant uuid.UUID) { u.tenant = tenant }

// Answer names the stream that a repeat of the request will be answered from. By default it is the first one appended to.
func (u *Unit) Answer(stream uuid.UUID) { u.answer = stream }

func (u *Unit) view(stream uuid.UUID) (view, bool) {
	if v, ok := u.loaded[stream]; ok {
		return v, true
	}
	v, ok := u.batch.views[stream]
	return v, ok
}

// Transact carries a request out: decide loads what it needs, decides and appends; it may be called again from the newer state until the
// append holds, so it must have no effects of its own. An error of decide appends nothing and is returned as it is.
//
// On return without error everything is durable. If the connection to the database breaks while it commits, Transact finds out by the
// request's key whether it did. If ctx ends meanwhile, the request may or may not have been carried out; the same key again tells.
func (s *Store) Transact(ctx context.Context, r Request, decide func(context.Context, *Unit) error) (Receipt, error) {
	if r.Key == uuid.Nil {
		r.Key = uuid.Must(uuid.NewV7())
	}
	j := &job{ctx: ctx, request: r, decide: decide, done: make(chan result, 1)}
	c := s.committers[int(r.Affinity[15])%len(s.committers)]
	select {
	case c.jobs <- j:
	case <-c.gone:
		return Receipt{}, context.Canceled
	case <-ctx.Done():
		return Receipt{}, ctx.Err()
	}
	select {
	case res := <-j.done:
		return res.receipt, res.err
	case <-ctx.Done():
		return Receipt{}, ctx.Err()
	case <-c.gone:
	}
	select { // the committer ended; it may have answered before, or never have seen the request
	case res := <-j.done:
		return res.receipt, res.err
	default:
		return Receipt{}, context.Canceled
	}
}

// overlay is the state of a batch while its requests are decided one after another.
type overlay struct {
	store      *Store
	fresh      bool                      // read the database even for what is cached
	views      map[uuid.UUID]view        // streams that accepted requests loaded or appended to
	base       map[uuid.UUID]int         // the versions that the database must have
	prefetched map[uuid.UUID]*prefetched // what is new in streams that Needs named
	staged     []staged
}

type staged struct {
	event   domain.Event
	job     *job
	stream  uuid.UUID
	tenant  uuid.UUID
	version int
}

func (o *overlay) unit(j *job) *Unit {
	return &Unit{batch: o, request: &j.request, loaded: map[uuid.UUID]view{}, appends: map[uuid.UUID][]domain.Event{}}
}

// restsOn says that the unit has seen something that this batch only wants to append.
func (o *overlay) restsOn(u *Unit) bool {
	for stream := range u.loaded {
		if v, ok := o.views[stream]; ok && v.version > o.base[stream] {
			return true
		}
	}
	return false
}

// accept takes a unit's appends into the batch.
func (o *overlay) accept(j *job, u *Unit) {
	for stream, v := range u.loaded {
		if _, known := o.views[stream]; !known {
			o.base[stream] = v.version - len(u.appends[stream])
		}
		o.views[stream] = v
	}
	if u.answer == uuid.Nil && len(u.order) > 0 {
		u.answer = u.order[0]
	}
	j.answer = u.answer
	for _, stream := range u.order {
		events := u.appends[stream]
		first := u.loaded[stream].version - len(events) + 1
		for i, e := range events {
			o.staged = append(o.staged, staged{event: e, job: j, stream: stream, tenant: u.tenant, version: first + i})
		}
	}
}

func loadStored[S domain.State[S]](ctx context.Context, o *overlay, stream uuid.UUID) (S, int, error) {
	state, version := cached[S](o.store.cache, stream)
	found := o.prefetched[stream]
	if found == nil || found.since > version && found.snapshot == nil { // or memory has lost it since
		if version > 0 && !o.fresh {
			return state, version, nil
		}
		state, version, err := foldNewer(ctx, o.store, stream, state, version)
		if err != nil {
			err = readError{err}
		}
		return state, version, err
	}
	if found.since > version && json.Unmarshal(found.snapshot, &state) == nil {
		version = found.since
	}
	newer := slices.DeleteFunc(slices.Clone(found.events), func(e Event) bool { return e.Version <= version })
	if found.since > version || len(newer) > 0 && newer[0].Version != version+1 {
		// The snapshot cannot be read, or was taken between the two queries.
		var empty S
		state, version, err := foldNewer(ctx, o.store, stream, empty, 0)
		if err != nil {
			err = readError{err}
		}
		return state, version, err
	}
	state, version, err := foldStored(state, version, newer)
	if err == nil && version > 0 {
		o.store.cache.put(stream, state, version)
		o.store.keep(ctx, stream, state, version, len(newer))
	}
	return state, version, err
}

// lock is what append_events locks: a stream that is written, or one that must only stay as it is.
type lock struct {
	key   int64
	write bool
}

func (o *overlay) locks() []lock {
	locks := make([]lock, 0, len(o.base))
	written := make(map[uuid.UUID]bool, len(o.staged))
	for _, s := range o.staged {
		written[s.stream] = true
	}
	for stream := range o.base {
		locks = append(locks, lock{lockKey(stream), written[stream]})
	}
	slices.SortFunc(locks, func(a, b lock) int {
		return cmp.Or(cmp.Compare(a.key, b.key), -cmp.Compare(btoi(a.write), btoi(b.write)))
	})
	return slices.CompactFunc(locks, func(a, b lock) bool { return a.key == b.key })
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// lockKey folds a stream id into an advisory lock key. Two streams with the same key wait for each other without need, no more.
func lockKey(stream uuid.UUID) int64 {
	var k int64
	for _, b := range stream[8:] {
		k = k<<8 | int64(b)
	}
	return k
}
