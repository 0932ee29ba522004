-- How read models stand, for the system plane: the causes of parked events and the rebuilds, which nobody else may read in the console.
-- Functions of the owner's, because the console's role has neither the causes nor the log's other columns; they answer the system plane only.
-- +goose Up

create function system_parked(most integer)
returns table (projection text, stream uuid, pos bigint, event text, cause text, attempts integer, parked_at timestamptz, tried_at timestamptz, events bigint)
language sql stable security definer set search_path = public, pg_temp as $$
    select p.projection, p.stream, p.position, coalesce(e.name, ''), p.cause, p.attempts, p.parked_at, p.tried_at, s.n
    from (select projection, stream, min(position) as position, count(*) as n from parked where seen_system() group by 1, 2 order by 3 limit most) s
    join parked p using (projection, position)
    left join log l using (position) left join events e using (seq) order by p.position, p.projection
$$;

create function system_rebuilds(most integer)
returns table (id bigint, projection text, from_version integer, to_version integer, state text, pos bigint, target bigint, note text,
    started_at timestamptz, updated_at timestamptz, finished_at timestamptz)
language sql stable security definer set search_path = public, pg_temp as $$
    select r.id, r.projection, r.from_version, r.to_version, r.state,
        coalesce((select min(s.position) from rebuild_shards s where s.rebuild = r.id), 0), r.target, r.note, r.started_at, r.updated_at, r.finished_at
    from rebuilds r where seen_system() order by r.id desc limit most
$$;

revoke execute on function system_parked(integer), system_rebuilds(integer) from public;
grant execute on function system_parked(integer), system_rebuilds(integer) to tenantpilot_console;
