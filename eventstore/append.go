package eventstore

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"tenantpilot/domain"
)

// appendArguments are the columns of one call of append_events, in its order.
type appendArguments struct {
	lockKeys       []int64
	lockWrites     []bool
	checkStreams   []pgtype.UUID
	checkVersions  []int32
	requestKeys    []pgtype.UUID
	requestHashes  [][]byte
	requestStreams []pgtype.UUID

	stream, id, workspace, tenant []pgtype.UUID
	version                       []int32
	name, meta, payload           []string
	recordedAt                    []time.Time
	leaf                          [][]byte
}

type appendOutcome struct {
	known     []uuid.UUID
	conflicts []uuid.UUID
	lastSeq   int64
}

// appendEvents is the only statement that writes events. An error may come after it took effect; the request keys tell.
func (s *Store) appendEvents(ctx context.Context, a *appendArguments) (appendOutcome, error) {
	var known, conflicts []pgtype.UUID
	var versions []int32
	var lastSeq *int64
	err := s.pool.QueryRow(ctx,
		`select known, conflict_streams, conflict_versions, last_seq
		 from append_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		a.lockKeys, a.lockWrites, a.checkStreams, a.checkVersions, a.requestKeys, a.requestHashes, a.requestStreams,
		a.stream, a.version, a.id, a.name, a.workspace, a.tenant, a.recordedAt, a.meta, a.payload, a.leaf,
	).Scan(&known, &conflicts, &versions, &lastSeq)
	if err != nil {
		return appendOutcome{}, fmt.Errorf("append events: %w", err)
	}
	out := appendOutcome{known: goUUIDs(known), conflicts: goUUIDs(conflicts)}
	if lastSeq != nil {
		out.lastSeq = *lastSeq
	}
	return out, nil
}

// arguments turns a decided batch into columns. Event ids and the canonical bytes are made here, once it is clear what is appended.
// checkOpened also compares the versions of streams that are opened, to name the one whose unique key was violated.
func (o *overlay) arguments(batch []*job, checkOpened bool) (*appendArguments, error) {
	a := &appendArguments{}
	for _, l := range o.locks() {
		a.lockKeys = append(a.lockKeys, l.key)
		a.lockWrites = append(a.lockWrites, l.write)
	}
	opened := o.openedStreams()
	for stream, version := range o.base {
		if checkOpened || !opened[stream] {
			a.checkStreams = append(a.checkStreams, pgUUID(stream))
			a.checkVersions = append(a.checkVersions, int32(version))
		}
	}
	metas := make(map[*job]string, len(batch))
	for _, j := range batch {
		meta, err := domain.Canonical(j.request.Meta)
		if err == nil {
			err = readable(meta)
		}
		if err != nil {
			return nil, err
		}
		metas[j] = string(meta)
		a.addRequest(j)
	}
	for _, s := range o.staged {
		if err := a.addEvent(s, metas[s.job]); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// openedStreams are those that the batch opens; their unique key stands in for the version check.
func (o *overlay) openedStreams() map[uuid.UUID]bool {
	opened := make(map[uuid.UUID]bool, len(o.staged))
	for _, s := range o.staged {
		if s.version == 1 {
			opened[s.stream] = true
		}
	}
	return opened
}

func (a *appendArguments) addRequest(j *job) {
	hash := j.request.Hash
	if hash == nil {
		hash = []byte{}
	}
	a.requestKeys = append(a.requestKeys, pgUUID(j.request.Key))
	a.requestHashes = append(a.requestHashes, hash)
	a.requestStreams = append(a.requestStreams, pgUUID(j.answer))
}

func (a *appendArguments) addEvent(s staged, meta string) error {
	payload, err := domain.Encode(s.event)
	if err == nil {
		err = readable(payload)
	}
	if err != nil {
		return err
	}
	e := Event{
		Stream: s.stream, Version: s.version, ID: uuid.Must(uuid.NewV7()), Name: s.event.EventName(),
		Workspace: s.job.request.Workspace, Tenant: s.tenant, RecordedAt: s.job.request.At.UTC().Truncate(time.Microsecond),
		Meta: []byte(meta), Payload: payload,
	}
	leaf := e.Leaf()
	a.stream = append(a.stream, pgUUID(e.Stream))
	a.version = append(a.version, int32(e.Version))
	a.id = append(a.id, pgUUID(e.ID))
	a.name = append(a.name, e.Name)
	a.workspace = append(a.workspace, pgUUID(e.Workspace))
	a.tenant = append(a.tenant, pgtype.UUID{Bytes: e.Tenant, Valid: e.Tenant != uuid.Nil})
	a.recordedAt = append(a.recordedAt, e.RecordedAt)
	a.meta = append(a.meta, meta)
	a.payload = append(a.payload, string(payload))
	a.leaf = append(a.leaf, leaf[:])
	return nil
}

// readable refuses JSON with a NUL in a text: no text of Postgres can hold one, so no read model could ever follow. Decisions refuse such texts
// as what they are; this is for those that forgot to.
func readable(json []byte) error {
	nul := []byte(`\u0000`)
	for rest := json; ; {
		i := bytes.Index(rest, nul)
		if i < 0 {
			return nil
		}
		if escapes := len(rest[:i+1]) - len(bytes.TrimRight(rest[:i+1], `\`)); escapes%2 == 1 {
			return &domain.Refusal{Kind: domain.Invalid, Code: "not_text", Text: "A text holds a character that cannot be kept. Remove it and send it again."}
		}
		rest = rest[i+len(nul):]
	}
}

func pgUUID(u uuid.UUID) pgtype.UUID { return pgtype.UUID{Bytes: u, Valid: true} }

func goUUIDs(in []pgtype.UUID) []uuid.UUID {
	out := make([]uuid.UUID, len(in))
	for i, u := range in {
		out[i] = u.Bytes
	}
	return out
}
