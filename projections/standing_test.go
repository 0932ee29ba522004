package projections_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/domain"
	"tenantpilot/migrations/pgtest"
	"tenantpilot/projections"
)

// TestStandingIsThePlatforms: from the console's side of the wall, platform people see rebuilds and the causes of parked events, and nobody else.
func TestStandingIsThePlatforms(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	owner, ctx := db.OwnerPool(t), t.Context()
	stream := uuid.New()
	_, err := owner.Exec(ctx, `insert into parked (projection, stream, position, cause) values ('runs', $1, 7, 'no such column'), ('runs', $1, 9, 'waits')`, stream)
	must(t, err)
	_, err = owner.Exec(ctx, `with r as (insert into rebuilds (projection, from_version, to_version, schema_version, target) values ('runs', 1, 2, 16, 100) returning id)
		insert into rebuild_shards (rebuild, shard, position) select id, s, 40 + s from r, generate_series(1, 2) s`)
	must(t, err)
	platform := domain.Actor{Ref: domain.ActorRef{Kind: domain.ActorPerson, ID: uuid.New()}, Platform: true}
	read := projections.NewConsoleReader(db.Pool(t))
	s, err := read.PlatformStanding(projections.WithSight(ctx, platform), platform)
	must(t, err)
	if len(s.Parked) != 1 || s.Parked[0].Stream != stream || s.Parked[0].Position != 7 || s.Parked[0].Events != 2 || s.Parked[0].Cause != "no such column" {
		t.Errorf("parked: %+v", s.Parked)
	}
	if len(s.Rebuilds) != 1 || s.Rebuilds[0].Position != 41 || s.Rebuilds[0].Target != 100 || s.Rebuilds[0].State != "building" {
		t.Errorf("rebuilds: %+v", s.Rebuilds)
	}
	member := domain.SystemActor(uuid.New())
	if _, err := read.PlatformStanding(projections.WithSight(ctx, member), member); !errors.Is(err, projections.ErrNoRow) {
		t.Errorf("a member asks: %v", err)
	}
	if s, err = read.PlatformStanding(projections.WithSight(ctx, member), platform); err != nil || len(s.Parked) != 0 || len(s.Rebuilds) != 0 {
		t.Errorf("behind a member's wall: %+v, %v", s, err)
	}
}
