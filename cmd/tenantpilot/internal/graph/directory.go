package graph

import (
	"context"
	"errors"

	"tenantpilot/domain"
)

// Group is a directory group as the group sync stores it.
type Group struct {
	ID               string   `json:"id"`
	DisplayName      string   `json:"displayName"`
	Description      string   `json:"description,omitempty"`
	Types            []string `json:"groupTypes,omitempty"` // Unified, DynamicMembership
	SecurityEnabled  bool     `json:"securityEnabled"`
	MailEnabled      bool     `json:"mailEnabled"`
	AssignableToRole bool     `json:"isAssignableToRole"`
	MembershipRule   string   `json:"membershipRule,omitempty"`
	OnPremisesSynced bool     `json:"onPremisesSyncEnabled"`
}

// GroupPage is one page of groups. Rows may repeat and come in any order: take the last one of an id.
type GroupPage struct {
	Groups []Group

	// Removed are the ids of groups that no longer exist or were soft-deleted; empty in a full read.
	Removed []string

	Number int  // from 1, per round
	Last   bool // the round is complete when fn returns

	// Full: the page belongs to a read of all groups, whose end replaces everything known before.
	// Otherwise its rows are changes to it.
	Full bool

	// Restart marks the first page of a full round that replaces a round already begun: drop the pages
	// received before it.
	Restart bool
}

type groupRow struct {
	Group
	Removed *struct {
		Reason string `json:"reason"`
	} `json:"@removed"`
}

// Groups reads the tenant's groups page by page. With an empty deltaLink it reads all of them; with the
// link of an earlier call it reads what changed since. Directory delta links are good for about seven
// days: one that the provider no longer takes, or that was made for another endpoint, restarts as a
// full read in the same call, announced by GroupPage.Restart and full.
//
// The new link is returned only after every page was handed to fn without an error; store it together
// with the pages' rows. After an error, keep the old link and the old rows: a partial read proves
// nothing about what is missing.
func (c *Client) Groups(ctx context.Context, conn Connection, call Call, deltaLink string, fn func(GroupPage) error) (newDeltaLink string, full bool, err error) {
	if e := conn.check(); e != nil {
		e.Operation = contractGroupsDelta
		return "", false, e
	}
	o := c.operation(conn, call)
	k := contract(contractGroupsDelta)
	all := k.url(o.root(), nil)
	if deltaLink == "" {
		newDeltaLink, err = o.groupRound(ctx, k, all, GroupPage{Full: true}, fn)
		return newDeltaLink, true, err
	}
	if checkLink(o.root(), deltaLink) {
		newDeltaLink, err = o.groupRound(ctx, k, deltaLink, GroupPage{}, fn)
		var e *Error
		if !errors.As(err, &e) || e.Code != domain.ReasonDirectoryDeltaExpired {
			return newDeltaLink, false, err
		}
	}
	newDeltaLink, err = o.groupRound(ctx, k, all, GroupPage{Full: true, Restart: true}, fn)
	return newDeltaLink, true, err
}

// groupRound reads from url to the delta link. first carries what its first page says about the round.
func (o *operation) groupRound(ctx context.Context, k Contract, url string, first GroupPage, fn func(GroupPage) error) (string, error) {
	link, number := "", 0
	err := eachPage(ctx, o, k, url, func(p page[groupRow], last bool) error {
		number++
		out := GroupPage{Number: number, Last: last, Full: first.Full, Restart: first.Restart && number == 1}
		for _, row := range p.Value {
			switch {
			case row.ID == "":
				return invalidResponse(k.Name, "group without an id")
			case row.Removed != nil:
				out.Removed = append(out.Removed, row.ID)
			default:
				out.Groups = append(out.Groups, row.Group)
			}
		}
		link = p.DeltaLink
		return fn(out)
	})
	if err != nil {
		return "", err
	}
	return link, nil
}

// ListGroups reads all groups without a delta link, 999 to a page: for a one-off look that must not
// disturb the saved position.
func (c *Client) ListGroups(ctx context.Context, conn Connection, call Call, fn func(GroupPage) error) error {
	if e := conn.check(); e != nil {
		e.Operation = contractGroups
		return e
	}
	o := c.operation(conn, call)
	k := contract(contractGroups)
	number := 0
	return eachPage(ctx, o, k, k.url(o.root(), nil), func(p page[Group], last bool) error {
		number++
		for _, g := range p.Value {
			if g.ID == "" {
				return invalidResponse(k.Name, "group without an id")
			}
		}
		return fn(GroupPage{Groups: p.Value, Number: number, Last: last, Full: true})
	})
}

// RoleDefinition is a directory role, built in or custom.
type RoleDefinition struct {
	ID              string           `json:"id"`
	TemplateID      string           `json:"templateId"`
	DisplayName     string           `json:"displayName"`
	Description     string           `json:"description,omitempty"`
	BuiltIn         bool             `json:"isBuiltIn"`
	Enabled         bool             `json:"isEnabled"`
	Version         string           `json:"version,omitempty"`
	RolePermissions []RolePermission `json:"rolePermissions,omitempty"`
}

// RolePermission lists what a role may do to directory objects.
type RolePermission struct {
	AllowedResourceActions []string `json:"allowedResourceActions"`
}

// RoleDefinitionPage is one page of role definitions.
type RoleDefinitionPage struct {
	Roles  []RoleDefinition
	Number int  // from 1
	Last   bool // the listing is complete when fn returns
}

// RoleDefinitions reads all directory role definitions page by page. An error means that the listing is
// incomplete, whatever was handed to fn.
func (c *Client) RoleDefinitions(ctx context.Context, conn Connection, call Call, fn func(RoleDefinitionPage) error) error {
	if e := conn.check(); e != nil {
		e.Operation = contractRoleDefinitions
		return e
	}
	o := c.operation(conn, call)
	k := contract(contractRoleDefinitions)
	number := 0
	return eachPage(ctx, o, k, k.url(o.root(), nil), func(p page[RoleDefinition], last bool) error {
		number++
		for _, r := range p.Value {
			if r.ID == "" {
				return invalidResponse(k.Name, "role definition without an id")
			}
		}
		return fn(RoleDefinitionPage{Roles: p.Value, Number: number, Last: last})
	})
}
