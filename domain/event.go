// Package domain says what is true and what may happen in TenantPilot.
//
// It is a set of pure functions: state and arguments in, events out. There is no clock, no randomness, no context and no I/O in
// here, so every decision can be replayed a year later from the events alone. Read it in this order: operation.go (what can be
// started), connection.go (the three axes and the protected scope), start.go (the gate), run.go (accepted work).
//
//	          Start (gate)                 worker                       worker
//	attempt ───────────────▶ queued ──RunStarted──▶ running ──RunCompleted──▶ completed
//	   │                        │                     │  ▲                   (succeeded, partially_succeeded,
//	   │                        │        RunAwaiting… │  │ RunStarted         failed, blocked, cancelled)
//	   │                        │                     ▼  │
//	   │                        │            waiting_external_approval
//	   └─▶ RunDeduped, ScopeBusy, StartBlocked: receipts on the attempt's own stream
package domain

import (
	"fmt"
	"sort"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
)

// Event is something that happened. Its stored name is a literal that is never renamed: a changed meaning gets a new name.
type Event interface {
	// EventName is the name under which the event is stored for ever.
	EventName() string
}

// State is an aggregate that is folded from its events. Evolve returns the next state and leaves its receiver as it was; an event
// it does not know leaves the state unchanged.
type State[S any] interface {
	Evolve(Event) S
}

// Fold applies events to a state in order.
func Fold[S State[S]](s S, events ...Event) S {
	for _, e := range events {
		s = s.Evolve(e)
	}
	return s
}

// Change is what a decision wants appended to one stream, all changes of a decision together or not at all.
type Change struct {
	Stream uuid.UUID
	Events []Event
}

// registry holds a decoder per stored event name. A name that was ever released stays here for ever.
var registry, zeros = registryOf(
	of[WorkspaceCreated], of[MemberAdded], of[MemberRoleChanged], of[MemberRemoved], of[EvidenceExported],
	of[MemberScoped], of[MemberInvited], of[InvitationAccepted], of[InvitationWithdrawn], of[RoleDefined], of[RoleRemoved],
	of[TenantRegistered], of[TenantRenamed], of[TenantHeld], of[tenantReleasedV1], of[TenantReleased], of[TenantGrouped], of[TenantInspected],
	of[DefaultConnectionChosen],
	of[ProviderConnectionCreated], of[ConnectionChanged], of[ConnectionEnabled], of[ConnectionDisabled], of[CredentialRotated],
	of[ConsentRequested], of[consentGrantedV1], of[ConsentGranted], of[ConsentFailed], of[ConsentRevoked],
	of[VerificationStarted], of[VerificationRecorded], of[ScopeAcquired], of[ScopeReleased],
	of[ConnectionHeld], of[connectionReleasedV1], of[ConnectionReleased], of[MigrationReviewCompleted],
	of[RunAccepted], of[RunDeduped], of[ScopeBusy], of[StartBlocked],
	of[RunStarted], of[RunProgressed], of[RunItemsRecorded], of[RunCancelRequested], of[RunAwaitingApproval],
	of[RunRecovered], of[RunCompleted],
	of[StartReserved], of[ReservationEnded], of[PersonDescribed], of[PersonErased],
	of[OnboardingStarted], of[TenantIdentified], of[ConnectionChosen], of[VerificationRequested], of[BootstrapSelected],
	of[BootstrapOperationAdmitted], of[BootstrapStopped], of[OnboardingTakenOver], of[OnboardingCompleted], of[OnboardingAbandoned],
	of[CredentialExpiring],
	of[BreakGlassSet], of[BreakGlassRemoved], of[BreakGlassUsed], of[SignInLinkDrawn],
	of[WorkspaceRenamed], of[SessionsEnded], of[TokenIssued], of[TokenRotated], of[TokenRevoked],
	of[AttemptReplayed],
	of[ConsentAnswerIgnored],
)

type decoder func(payload []byte) (Event, error)

func registryOf(entries ...func() (Event, decoder)) (map[string]decoder, map[string]Event) {
	decoders, zeros := make(map[string]decoder, len(entries)), make(map[string]Event, len(entries))
	for _, entry := range entries {
		zero, decode := entry()
		decoders[zero.EventName()], zeros[zero.EventName()] = decode, zero
	}
	return decoders, zeros
}

func of[E Event]() (Event, decoder) {
	var zero E
	return zero, func(payload []byte) (Event, error) {
		var e E
		if err := json.Unmarshal(payload, &e, json.RejectUnknownMembers(true)); err != nil {
			return nil, err
		}
		return e, nil
	}
}

// EventNames lists every stored event name, sorted.
func EventNames() []string {
	names := make([]string, 0, len(registry))
	for n := range registry {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// Decode reads the stored bytes of an event, in its present shape whatever the one it was stored in. Unknown names and unknown fields are
// errors: a reader that guesses would fold a different history than the one that was decided.
func Decode(name string, payload []byte) (Event, error) {
	d, ok := registry[name]
	if !ok {
		return nil, fmt.Errorf("decode event %q: unknown name", name)
	}
	e, err := d(payload)
	if err != nil {
		return nil, fmt.Errorf("decode event %q: %w", name, err)
	}
	if old, ok := e.(retired); ok {
		return old.upcast(), nil
	}
	return e, nil
}

// Encode returns the canonical bytes of an event's payload: JSON with sorted keys, no insignificant space and no HTML escaping
// (RFC 8785 for the strings, integers and booleans that events consist of). The same event always has the same bytes.
func Encode(e Event) ([]byte, error) {
	return Canonical(e)
}
