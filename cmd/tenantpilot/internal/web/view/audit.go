package view

import (
	"encoding/json"
	"strconv"
	"time"

	"tenantpilot/cmd/tenantpilot/internal/narrate"
	"tenantpilot/domain"
	"tenantpilot/projections"
)

// AuditEvent is an event of the audit log as programs get it.
type AuditEvent struct {
	Position   int64           `json:"position"`
	At         time.Time       `json:"at"`
	ID         string          `json:"id"`
	Event      string          `json:"event"`
	Sentence   string          `json:"sentence"`
	Workspace  string          `json:"workspace"`
	TenantName *string         `json:"tenant"`
	TenantID   *string         `json:"tenantExternalId"`
	Object     string          `json:"object"`
	Stream     string          `json:"stream"`
	Version    int             `json:"version"`
	Actor      AuditActor      `json:"actor"`
	Outcome    *string         `json:"outcome"`
	Reason     *string         `json:"reasonCode"`
	Attempt    *string         `json:"attempt"`
	Run        *int64          `json:"runId"`
	Meta       json.RawMessage `json:"metadata"`
	Payload    json.RawMessage `json:"payload"`
}

// AuditActor is who or what caused an event.
type AuditActor struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

// AuditEventJSON is a line of the log as programs get it.
func AuditEventJSON(l projections.AuditLine) AuditEvent {
	e := AuditEvent{
		Position: l.Position, At: l.At.UTC(), ID: l.ID.String(), Event: l.Event, Sentence: auditSentence(l), Workspace: l.Workspace.String(),
		TenantName: Text(l.TenantName), Object: auditObject(l), Stream: l.Stream.String(), Version: l.Version,
		Actor:   AuditActor{Kind: string(l.ActorKind), ID: l.ActorID.String(), Name: actorName(l.ActorKind, l.ActorID.String(), l.ActorName)},
		Outcome: l.Outcome, Run: l.Run, Meta: l.Meta, Payload: l.Payload,
	}
	if l.TenantExternal != nil {
		e.TenantID = Text(l.TenantExternal.String())
	}
	if l.Reason != nil {
		e.Reason = Text(string(*l.Reason))
	}
	if l.Attempt != nil {
		e.Attempt = Text(l.Attempt.String())
	}
	return e
}

// auditSentence tells the event; one that this build cannot read is told by its name.
func auditSentence(l projections.AuditLine) string {
	data, err := domain.Decode(l.Event, l.Payload)
	if err != nil {
		return l.Event + "."
	}
	return narrate.Sentence(data, l.Subject)
}

func auditObject(l projections.AuditLine) string {
	if name := l.Object(); name != "" {
		return name
	}
	return l.ObjectKind
}

func actorName(kind domain.ActorKind, id, name string) string {
	switch {
	case name != "":
		return name
	case kind == domain.ActorPerson:
		return "person " + id[:8]
	case kind == domain.ActorSchedule:
		return "Schedule"
	}
	return "TenantPilot"
}

// AuditCSVHeader names the columns of AuditCSVRow.
func AuditCSVHeader() []string {
	return []string{
		"position", "at", "event", "what_happened", "actor_kind", "actor_id", "actor", "workspace", "tenant", "directory_id", "object", "outcome", "reason",
		"attempt", "run", "payload",
	}
}

// AuditCSVRow is a line of the log as a row of a spreadsheet; texts that a spreadsheet would take for formulas get an apostrophe in front.
func AuditCSVRow(l projections.AuditLine) []string {
	e := AuditEventJSON(l)
	run := ""
	if e.Run != nil {
		run = strconv.FormatInt(*e.Run, 10)
	}
	return []string{
		strconv.FormatInt(e.Position, 10), e.At.Format(time.RFC3339Nano), e.Event, plainCell(e.Sentence), e.Actor.Kind, e.Actor.ID, plainCell(e.Actor.Name),
		e.Workspace, plainCell(l.TenantName), String(e.TenantID), e.Object, String(e.Outcome), String(e.Reason), String(e.Attempt), run, string(e.Payload),
	}
}

// Receipt is the decision on one start attempt as programs get it, and in sentences.
type Receipt struct {
	Attempt   string            `json:"attempt"`
	Position  int64             `json:"position"`
	At        time.Time         `json:"at"`
	Operation string            `json:"operationType"`
	Outcome   string            `json:"outcome"`
	Reason    *string           `json:"reasonCode"`
	Rule      int               `json:"rule"`
	RuleText  string            `json:"ruleText"`
	Sentences []string          `json:"sentences"`
	Run       *int64            `json:"runId"`
	Tenant    string            `json:"tenantExternalId"`
	Facts     domain.Facts      `json:"facts"`
	Identity  string            `json:"identity,omitempty"`
	Inputs    map[string]string `json:"inputs,omitempty"`
	Conn      *int64            `json:"providerConnectionId"`
	Actor     AuditActor        `json:"initiator"`
	Trigger   string            `json:"trigger"`
	Surface   string            `json:"sourceSurface"`
}

// PresentReceipt tells the receipt of an attempt from the event that it is.
func PresentReceipt(a projections.AttemptLine, event domain.Event) (Receipt, error) {
	read, err := narrate.ReceiptOf(event, a.At)
	if err != nil {
		return Receipt{}, err
	}
	initiator := actorName(a.InitiatorKind, a.InitiatorID.String(), a.InitiatorName)
	r := Receipt{
		Attempt: a.Attempt.String(), Position: a.Position, At: a.At.UTC(), Operation: string(a.Operation), Outcome: string(a.Outcome), Rule: a.Facts.Rule,
		RuleText: narrate.Rule(a.Facts.Rule), Run: a.Run, Tenant: a.TenantExternal.String(), Facts: read.Facts, Identity: read.Identity, Inputs: read.Inputs,
		Conn: a.Connection, Actor: AuditActor{Kind: string(a.InitiatorKind), ID: a.InitiatorID.String(), Name: initiator},
		Trigger: string(a.Trigger), Surface: a.Surface,
		Sentences: narrate.Explain(read, narrate.Names{Initiator: initiator, Tenant: a.TenantName, Connection: a.ConnectionLabel}),
	}
	if a.Reason != nil {
		r.Reason = Text(string(*a.Reason))
	}
	return r, nil
}
