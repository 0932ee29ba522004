package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// Audit keeps one searchable row per event, and what each stream is about: every event has a row, those of no particular object too.
type Audit struct{}

// Name implements Projection.
func (Audit) Name() string { return "audit" }

// Version implements Projection.
func (Audit) Version() int { return 1 }

// Tables implements ReadModel.
func (Audit) Tables() []string { return []string{"audit_log", "audit_objects"} }

// Changes implements ReadModel.
func (Audit) Changes() map[string][]string { return nil }

// The kinds of object that a stream can be about. Whatever has no kind of its own is other.
const (
	ObjectWorkspace  = "workspace"
	ObjectTenant     = "tenant"
	ObjectConnection = "connection"
	ObjectRun        = "run"
	ObjectAttempt    = "attempt"
	ObjectOnboarding = "onboarding"
	ObjectOther      = "other"
)

// ObjectKinds lists the kinds in the order pages show them.
func ObjectKinds() []string {
	return []string{ObjectTenant, ObjectConnection, ObjectRun, ObjectAttempt, ObjectWorkspace, ObjectOnboarding, ObjectOther}
}

// NumberedKinds lists the kinds whose objects have numbers. They can be found by these, and have a time machine.
func NumberedKinds() []string {
	return []string{ObjectTenant, ObjectConnection, ObjectRun, ObjectOnboarding}
}

type auditRow struct {
	Position     int64              `json:"position"`
	At           time.Time          `json:"at"`
	Workspace    uuid.UUID          `json:"workspace"`
	Tenant       *uuid.UUID         `json:"tenant"`
	Stream       uuid.UUID          `json:"stream"`
	Version      int                `json:"version"`
	Event        string             `json:"event"`
	ActorKind    domain.ActorKind   `json:"actor_kind"`
	ActorID      uuid.UUID          `json:"actor_id"`
	ObjectKind   string             `json:"object_kind"`
	ObjectNumber *int64             `json:"object_number"`
	Outcome      *string            `json:"outcome"`
	Reason       *domain.ReasonCode `json:"reason"`
	Attempt      *uuid.UUID         `json:"attempt"`
	Correlation  *uuid.UUID         `json:"correlation"`
	Run          *uuid.UUID         `json:"run"`
}

type objectRow struct {
	Stream    uuid.UUID  `json:"stream"`
	Kind      string     `json:"kind"`
	Number    *int64     `json:"number"`
	Workspace uuid.UUID  `json:"workspace"`
	Tenant    *uuid.UUID `json:"tenant"`
	Position  int64      `json:"position"`
}

var objectTable = table[uuid.UUID, objectRow]{name: "audit_objects", key: "stream", cast: "uuid[]"}

// Apply implements Projection. A stream says in its first event what it is about, so later ones find it whatever batch they come in.
func (Audit) Apply(ctx context.Context, tx pgx.Tx, events []Event) error {
	streams := make([]uuid.UUID, 0, len(events))
	for _, e := range events {
		streams = append(streams, e.Stream)
	}
	objects, err := objectTable.load(ctx, tx, streams)
	if err != nil {
		return err
	}
	rows, opened := make([]*auditRow, 0, len(events)), map[uuid.UUID]*objectRow{}
	for _, e := range events {
		if objects[e.Stream] == nil {
			kind, number := objectOf(e)
			o := &objectRow{Stream: e.Stream, Kind: kind, Number: number, Workspace: e.Workspace, Tenant: idOrNull(e.Tenant), Position: e.Position}
			objects[e.Stream], opened[e.Stream] = o, o
		}
		row, err := auditOf(e, objects[e.Stream])
		if err != nil {
			return err
		}
		rows = append(rows, &row)
	}
	if err := objectTable.save(ctx, tx, opened, nil); err != nil {
		return err
	}
	return insertNew(ctx, tx, "audit_log", rows)
}

// objectOf says what a stream that begins with e is about.
func objectOf(e Event) (kind string, number *int64) {
	switch d := e.Data.(type) {
	case domain.WorkspaceCreated:
		return ObjectWorkspace, nil
	case domain.TenantRegistered:
		return ObjectTenant, &d.Number
	case domain.ProviderConnectionCreated:
		return ObjectConnection, &d.Number
	case domain.RunAccepted:
		return ObjectRun, &d.Number
	case domain.RunDeduped, domain.ScopeBusy, domain.StartBlocked:
		return ObjectAttempt, nil
	case domain.OnboardingStarted:
		return ObjectOnboarding, &d.Number
	}
	return ObjectOther, nil
}

func auditOf(e Event, o *objectRow) (auditRow, error) {
	var meta eventstore.Meta
	if err := json.Unmarshal(e.Meta, &meta); err != nil {
		return auditRow{}, fmt.Errorf("read metadata of event %d: %w", e.Position, err)
	}
	row := auditRow{
		Position: e.Position, At: e.RecordedAt, Workspace: e.Workspace, Tenant: idOrNull(e.Tenant), Stream: e.Stream, Version: e.Version,
		Event: e.Name, ActorKind: meta.Actor.Kind, ActorID: meta.Actor.ID, ObjectKind: o.Kind, ObjectNumber: o.Number,
		Attempt: idOrNull(meta.Attempt), Correlation: idOrNull(meta.Correlation),
	}
	if o.Kind == ObjectRun {
		row.Run = &e.Stream
	}
	row.say(e.Data)
	return row, nil
}

// say takes from an event what it can be found by: how something ended, why, and whose run it was about.
func (row *auditRow) say(data domain.Event) {
	ended := func(outcome string) { row.Outcome = &outcome }
	about := func(run uuid.UUID) { row.Run = idOrNull(run) }
	because := func(reason domain.ReasonCode) {
		if reason != "" {
			row.Reason = &reason
		}
	}
	switch d := data.(type) {
	case domain.RunAccepted:
		ended(string(domain.Accepted))
		row.Attempt = &d.Attempt
	case domain.RunDeduped:
		ended(string(domain.Deduped))
		about(d.Holder.Run)
		row.Attempt = &d.Attempt
	case domain.ScopeBusy:
		ended(string(domain.Busy))
		about(d.Holder.Run)
		row.Attempt = &d.Attempt
	case domain.StartBlocked:
		ended(string(domain.IsBlocked))
		because(d.Reason)
		row.Attempt = &d.Attempt
	case domain.AttemptReplayed:
		row.Attempt = &d.Attempt // whose stream it is; the metadata name the replay
	case domain.RunCompleted:
		ended(string(d.Outcome))
		because(d.Reason)
	case domain.ScopeAcquired:
		about(d.Run)
	case domain.ScopeReleased:
		about(d.Run)
	case domain.VerificationStarted:
		about(d.Run)
	case domain.VerificationRecorded:
		ended(string(d.State))
		about(d.Run)
		because(d.Reason)
	case domain.VerificationRequested:
		ended(string(d.Outcome))
		because(d.Reason)
	case domain.BootstrapOperationAdmitted:
		ended(string(d.Outcome))
		because(d.Reason)
	case domain.ConsentRequested:
		because(d.Reason)
	case domain.ConsentFailed:
		because(d.Reason)
	case domain.ConsentRevoked:
		because(d.Reason)
	case domain.ConsentAnswerIgnored:
		because(d.Reason)
	}
}

// AuditOutcomes lists the ways in which what the log records can end: a start attempt at the gate, a run, and a check of a connection.
func AuditOutcomes() []string { // attempts, runs and checks can all be blocked
	return []string{
		string(domain.Accepted), string(domain.Deduped), string(domain.Busy), string(domain.IsBlocked),
		string(domain.Succeeded), string(domain.PartiallySucceeded), string(domain.Failed), string(domain.Cancelled),
		string(domain.VerificationHealthy), string(domain.VerificationDegraded), string(domain.VerificationError), string(domain.VerificationUnknown),
	}
}

func idOrNull(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}
