package view

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/projections"
)

// ReserveForm asks for a start to be tried when its connection is free.
type ReserveForm struct {
	Label  string
	Href   string
	Fields []Field
}

// Reservation is a start that waits for its connection.
type Reservation struct {
	ID            string    `json:"reservation"`
	OperationType string    `json:"operationType"`
	ConnectionID  int64     `json:"providerConnectionId"`
	Holder        int64     `json:"holderRunId"`
	HolderURL     string    `json:"holderUrl"`
	Until         time.Time `json:"until"`

	Operation  string    `json:"-"`
	Tenant     Link      `json:"-"`
	Connection string    `json:"-"`
	Initiator  string    `json:"-"`
	Since      time.Time `json:"-"`
	// Cancel withdraws it; nil for those who may not.
	Cancel *Button `json:"-"`
}

// PresentReservation words a reservation that was made just now.
func PresentReservation(r domain.Reservation, tenant domain.Tenant, now time.Time) Reservation {
	return Reservation{
		ID: r.ID.String(), OperationType: string(r.Operation), ConnectionID: r.Connection, Holder: r.Holder, HolderURL: RunHref(r.Holder),
		Until: r.Until.UTC(), Operation: domain.OperationByType(r.Operation).Label, Since: now,
		Tenant: Link{tenant.Name, TenantHref(tenant.ExternalID.String())}, Cancel: cancelReservation(r.Connection, r.ID, r.Operation),
	}
}

// PresentWaiting words the starts that wait.
func PresentWaiting(waiting []projections.WaitingStart, may func(domain.Capability) bool) []Reservation {
	list := make([]Reservation, 0, len(waiting))
	for _, w := range waiting {
		op := domain.OperationByType(w.Operation)
		row := Reservation{
			ID: w.ID.String(), OperationType: string(w.Operation), ConnectionID: w.Connection, Holder: w.Holder, HolderURL: RunHref(w.Holder),
			Until: w.Until.UTC(), Operation: op.Label, Tenant: Link{w.TenantName, TenantHref(w.TenantExternal.String())},
			Connection: w.ConnectionName, Initiator: w.InitiatorName, Since: w.ReservedAt.UTC(),
		}
		if may(op.Capability) {
			row.Cancel = cancelReservation(w.Connection, w.ID, w.Operation)
		}
		list = append(list, row)
	}
	return list
}

func cancelReservation(connection int64, id uuid.UUID, op domain.OperationType) *Button {
	return &Button{
		Label: "Stop waiting", Icon: "x", Variant: "outline", Post: true,
		Href:    fmt.Sprintf("/admin/provider-connections/%d/reservations/%s/cancel", connection, id),
		Confirm: domain.OperationByType(op).Label + " will not be started when the connection is free.",
	}
}

// reserve is the form below an outcome that names a run to wait for.
func (f StartFacts) reserve(label string) *ReserveForm {
	if f.Operation.Type == "" || !f.Connection.Exists() {
		return nil
	}
	form := &ReserveForm{
		Label: label,
		Href:  "/admin/t/" + f.Tenant.ExternalID.String() + "/provider-actions/" + string(f.Operation.Type) + "/reserve",
		Fields: []Field{
			{Name: "attempt_id", Value: f.ReserveID},
			{Name: "sourceSurface", Value: "console.reserve"},
			{Name: "providerConnectionId", Value: strconv.FormatInt(f.Connection.Number, 10)},
		},
	}
	for _, name := range slices.Sorted(maps.Keys(f.Operation.Inputs)) {
		if value := f.Inputs[name]; value != "" {
			form.Fields = append(form.Fields, Field{Name: name, Value: value})
		}
	}
	if f.Reconsent {
		form.Fields = append(form.Fields, Field{Name: "reconsent", Value: "true"})
	}
	return form
}
