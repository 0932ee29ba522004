package auth

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"tenantpilot/domain"
)

// Preview is how somebody looks at the console as another role of their workspace.
type Preview struct {
	Workspace uuid.UUID   `json:"workspace"`
	Role      domain.Role `json:"role"`
	Tenants   []uuid.UUID `json:"tenants,omitzero"` // nil is all of them
}

// StartPreview makes the viewer's session one that looks at the console as another role, from the next request on, until EndPreview. Nothing
// can be changed meanwhile. The caller has found that the viewer may look. ErrNotFound for tokens, which have no session.
func (s *Service) StartPreview(ctx context.Context, v Viewer, p Preview) error {
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("start preview: %w", err)
	}
	return s.lookAs(ctx, v, text)
}

// EndPreview gives the viewer's session its own rights back. Ending none changes nothing.
func (s *Service) EndPreview(ctx context.Context, v Viewer) error { return s.lookAs(ctx, v, nil) }

func (s *Service) lookAs(ctx context.Context, v Viewer, preview []byte) error {
	if v.Token || v.Session() == "" {
		return domain.ErrNotFound()
	}
	if _, err := s.pool.Exec(ctx, `update sessions set preview = $2 where token = $1`, v.Session(), preview); err != nil {
		return fmt.Errorf("change preview: %w", err)
	}
	return nil
}

// preview limits a viewer to the role that the session looks at the console as. One of another workspace than the viewer is in, because they
// are no longer a member there, says nothing.
func (s *Service) preview(ctx context.Context, v *Viewer) error {
	if v.credential.preview == "" {
		return nil
	}
	var p Preview
	if err := json.Unmarshal([]byte(v.credential.preview), &p); err != nil {
		return fmt.Errorf("read preview: %w", err)
	}
	if v.Actor.Platform || v.Actor.Workspace != p.Workspace {
		return nil
	}
	caps := domain.Capabilities(p.Role)
	if caps == nil {
		// A role that was removed meanwhile allows nothing.
		err := s.pool.QueryRow(ctx, `select coalesce((select capabilities from roles where workspace = $1 and role = $2), '{}')`,
			p.Workspace, p.Role).Scan(&caps)
		if err != nil {
			return fmt.Errorf("read role: %w", err)
		}
	}
	v.Actor, v.Preview = v.Actor.As(p.Role, caps, p.Tenants), &p
	return nil
}
