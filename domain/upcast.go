package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// An event whose shape changes is stored under a new name, the old one with ".v2", ".v3" ... behind it; the stored bytes of the old name are
// read for ever. The retired shape stays here with the function that turns it into the present one, so that everything else knows one shape.

// retired is a shape that is no longer written.
type retired interface {
	Event
	// upcast is the same fact in the present shape.
	upcast() Event
}

// PresentName is the name under which an event that was stored under name is written now, after changes of its shape.
func PresentName(name string) string {
	if e, ok := zeros[name].(retired); ok {
		return e.upcast().EventName()
	}
	return name
}

// consentGrantedV1 did not say how the consent is known.
type consentGrantedV1 struct{}

// EventName implements Event.
func (consentGrantedV1) EventName() string { return "ConsentGranted" }

func (consentGrantedV1) upcast() Event { return ConsentGranted{Evidence: EvidenceUnknown} }

// tenantReleasedV1 did not say why.
type tenantReleasedV1 struct{}

// EventName implements Event.
func (tenantReleasedV1) EventName() string { return "TenantReleased" }

func (tenantReleasedV1) upcast() Event { return TenantReleased{} }

// connectionReleasedV1 did not say why.
type connectionReleasedV1 struct{}

// EventName implements Event.
func (connectionReleasedV1) EventName() string { return "ConnectionReleased" }

func (connectionReleasedV1) upcast() Event { return ConnectionReleased{} }

// evolveVersion grows whenever an Evolve folds the same events to another state. TestEvolveVersion holds it against the states that the
// corpus folds to.
const evolveVersion = 3

// SchemaHash identifies how stored events become states: the names that are read, what each retired shape becomes, and how states are
// folded. A state that was kept under another hash must not be used.
func SchemaHash() string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(evolveVersion))
	for _, name := range EventNames() {
		fmt.Fprintf(&b, " %s", name)
		if e, ok := zeros[name].(retired); ok {
			fmt.Fprintf(&b, "=%s", e.upcast().EventName())
		}
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:8])
}
