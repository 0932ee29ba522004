package domain

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/google/uuid"
)

// OperationType names an entry of the catalogue, for example "directory_groups.sync".
type OperationType string

// The operation types of the catalogue.
const (
	OpConnectionCheck     OperationType = "provider.connection.check"
	OpInventorySync       OperationType = "inventory.sync"
	OpPolicySync          OperationType = "policy.sync"
	OpGroupsSync          OperationType = "directory_groups.sync"
	OpRoleDefinitionsSync OperationType = "directory_role_definitions.sync"
	OpAdminRolesScan      OperationType = "entra.admin_roles.scan"
	OpBackupRunNow        OperationType = "backup_schedule.run_now"
	OpBackupRetry         OperationType = "backup_schedule.retry"
	OpBackupScheduled     OperationType = "backup_schedule.scheduled"
	OpRestoreExecute      OperationType = "restore.execute"
)

// IdentityRule says what makes two attempts of an operation the same work, and for how long.
type IdentityRule string

// The identity rules.
const (
	// WhileActive: the same inputs join the run that is active now; afterwards they start a new one.
	WhileActive IdentityRule = "while_active"
	// PerAttempt: every click is work of its own; only a repeat of the same attempt joins.
	PerAttempt IdentityRule = "per_attempt"
	// Strict: the same inputs never run twice, also after the run ended.
	Strict IdentityRule = "strict"
)

// Operation is an entry of the catalogue.
type Operation struct {
	Type       OperationType
	Label      string // noun phrase: "Directory groups sync"
	Verb       string // what the button says: "Sync directory groups"
	Capability Capability
	Rule       IdentityRule
	// Inputs are the type's own inputs that enter the identity, with their defaults ("" means required).
	Inputs map[string]string
	// Permissions are the Graph application permissions the operation needs.
	Permissions []string
	Write       bool // changes the customer's tenant; needs a healthy verification
	Check       bool // is the verification itself: consent, verification and permissions are what it finds out
	// Released operations have a worker. The others are part of the language but cannot be started yet.
	Released bool
}

// DefaultSelectionKey selects all directory groups. The name carries a version: another selection is another key.
const DefaultSelectionKey = "all_groups_v1"

var (
	intuneRead = []string{"DeviceManagementConfiguration.Read.All", "DeviceManagementServiceConfig.Read.All"}
	policyRead = append(slices.Clone(intuneRead), "Policy.Read.All")

	catalogue = []Operation{
		{
			Type: OpConnectionCheck, Label: "Provider connection check", Verb: "Verify connection", Released: true, Check: true,
			Capability: CapProviderVerify, Rule: WhileActive, Permissions: []string{"Directory.Read.All", "Application.Read.All"},
		},
		{
			Type: OpGroupsSync, Label: "Directory groups sync", Verb: "Sync directory groups", Released: true,
			Capability: CapDirectorySync, Rule: WhileActive, Permissions: []string{"GroupMember.Read.All"},
			Inputs: map[string]string{"selectionKey": DefaultSelectionKey},
		},
		{
			Type: OpRoleDefinitionsSync, Label: "Role definitions sync", Verb: "Sync role definitions", Released: true,
			Capability: CapDirectorySync, Rule: WhileActive, Permissions: []string{"RoleManagement.Read.Directory"},
		},
		{
			Type: OpInventorySync, Label: "Inventory sync", Verb: "Sync inventory", Capability: CapInventorySync, Rule: WhileActive,
			Permissions: append([]string{"DeviceManagementManagedDevices.Read.All"}, intuneRead...),
			Inputs:      map[string]string{"selectionKey": "all_devices_v1"},
		},
		{
			Type: OpPolicySync, Label: "Policy sync", Verb: "Sync policies", Capability: CapPolicySync, Rule: WhileActive,
			Permissions: policyRead, Inputs: map[string]string{"policyTypes": "all"},
		},
		{
			Type: OpAdminRolesScan, Label: "Admin roles scan", Verb: "Scan admin roles", Capability: CapRolesScan, Rule: WhileActive,
			Permissions: []string{"RoleManagement.Read.Directory"},
		},
		{
			Type: OpBackupRunNow, Label: "Backup", Verb: "Back up now", Capability: CapBackupRun, Rule: PerAttempt,
			Permissions: policyRead, Inputs: map[string]string{"scheduleId": ""},
		},
		{
			Type: OpBackupRetry, Label: "Backup retry", Verb: "Retry backup", Capability: CapBackupRun, Rule: PerAttempt,
			Permissions: policyRead, Inputs: map[string]string{"scheduleId": ""},
		},
		{
			Type: OpBackupScheduled, Label: "Scheduled backup", Verb: "Run scheduled backup", Capability: CapSystem, Rule: Strict,
			Permissions: policyRead, Inputs: map[string]string{"scheduleId": "", "scheduledFor": ""},
		},
		{
			Type: OpRestoreExecute, Label: "Restore", Verb: "Execute restore", Capability: CapRestoreExecute, Rule: Strict, Write: true,
			Permissions: []string{"DeviceManagementConfiguration.ReadWrite.All"}, Inputs: map[string]string{"restoreRunId": ""},
		},
	}
)

// Catalogue lists the operations that can be started, in the order in which a person meets them.
func Catalogue() []Operation {
	return slices.DeleteFunc(slices.Clone(catalogue), func(o Operation) bool { return !o.Released })
}

// LookupOperation finds an operation that can be started. Names that cannot are not found, whoever asks.
func LookupOperation(t OperationType) (Operation, error) {
	for _, o := range catalogue {
		if o.Type == t && o.Released {
			return o, nil
		}
	}
	return Operation{}, ErrNotFound()
}

// OperationByType finds any operation that ever was in the catalogue, for showing what is in the log; an unknown one is named by its type.
func OperationByType(t OperationType) Operation {
	for _, o := range catalogue {
		if o.Type == t {
			return o
		}
	}
	return Operation{Type: t, Label: string(t), Verb: string(t)}
}

// Resolve fills in the defaults of the operation's own inputs. A missing required input, an input that the operation does not
// have, and a value over 200 bytes are refused.
func (o Operation) Resolve(inputs map[string]string) (map[string]string, error) {
	for k, v := range inputs {
		if _, ok := o.Inputs[k]; !ok {
			return nil, InvalidField("/"+k, "unknown_input", o.Label+" has no input "+k+".")
		}
		if len(v) > 200 {
			return nil, InvalidField("/"+k, "too_long", "Use at most 200 characters.")
		}
	}
	resolved := make(map[string]string, len(o.Inputs))
	for k, def := range o.Inputs {
		v := inputs[k]
		if v == "" {
			v = def
		}
		if v == "" {
			return nil, InvalidField("/"+k, "required", o.Label+" needs "+k+".")
		}
		resolved[k] = v
	}
	return resolved, nil
}

// Identity is the hash of what makes two attempts the same work: operation type, tenant, connection and the type's own inputs
// (for PerAttempt operations also the attempt id). 32 hex digits.
func (o Operation) Identity(tenant, connection uuid.UUID, inputs map[string]string, attempt uuid.UUID) string {
	if inputs == nil {
		inputs = map[string]string{} // an event stores neither, so both have to be the same work
	}
	key := struct {
		Attempt    *uuid.UUID        `json:"attempt,omitempty"`
		Connection uuid.UUID         `json:"connection"`
		Inputs     map[string]string `json:"inputs"`
		Tenant     uuid.UUID         `json:"tenant"`
		Type       OperationType     `json:"type"`
	}{nil, connection, inputs, tenant, o.Type}
	if o.Rule == PerAttempt {
		key.Attempt = &attempt
	}
	b, err := Canonical(key)
	if err != nil {
		panic("identity of strings cannot fail to encode: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}
