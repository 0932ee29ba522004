package auth

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tenantpilot/domain"
)

// Session is one place where a person is signed in.
type Session struct {
	ID      uuid.UUID
	Device  string // in coarse words, such as "Firefox on Linux"
	Address string // where it was last used from
	Since   time.Time
	Used    time.Time // at most a minute old while it is used
	Current bool      // it is the viewer's own
}

// ofViewer is the condition for the sessions that are the viewer's to know of and to end. Whom an invitation's link has let in need not be the
// person: theirs are those that came by invitations to the same workspace.
const ofViewer = `person = $1 and ($2::uuid is null or invited_to = $2)`

// Sessions lists where the viewer's person is signed in: the viewer's own session first, then those used last.
func (s *Service) Sessions(ctx context.Context, v Viewer) ([]Session, error) {
	rows, err := s.pool.Query(ctx, `select id, coalesce(device, ''), coalesce(address, ''), since, used_at, token = $3 from sessions
		where `+ofViewer+` and expiry > $4 and since > $5 order by token = $3 desc, used_at desc, id`,
		v.Person, v.credential.only, v.Session(), s.now(), s.now().Add(-lifetime))
	if err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Session])
	if err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	return list, nil
}

// EndSession signs the viewer's person out in one place: its next request finds nobody signed in, its event streams end within seconds.
// Somebody else's session is ErrNotFound, as is one that has ended.
func (s *Service) EndSession(ctx context.Context, v Viewer, id uuid.UUID) error {
	done, err := s.pool.Exec(ctx, `delete from sessions where `+ofViewer+` and id = $3`, v.Person, v.credential.only, id)
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	if done.RowsAffected() == 0 {
		return domain.ErrNotFound()
	}
	return nil
}

// EndOtherSessions signs the viewer's person out everywhere but in the viewer's own session, and says in how many places.
func (s *Service) EndOtherSessions(ctx context.Context, v Viewer) (int, error) {
	done, err := s.pool.Exec(ctx, `delete from sessions where `+ofViewer+` and token <> $3`, v.Person, v.credential.only, v.Session())
	if err != nil {
		return 0, fmt.Errorf("end sessions: %w", err)
	}
	return int(done.RowsAffected()), nil
}

// AddressOf is where a request comes from. Behind a proxy that ends TLS it is what that proxy has added last; what else a client says of itself
// is not believed.
func (s *Service) AddressOf(r *http.Request) string {
	if s.proxied {
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		last := strings.TrimSpace(hops[len(hops)-1])
		if a, err := netip.ParseAddr(last); err == nil {
			return a.Unmap().String()
		}
		if a, err := netip.ParseAddrPort(last); err == nil { // as Azure's gateways write it
			return a.Addr().Unmap().String()
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || host == "" {
		return r.RemoteAddr
	}
	return host
}

// named is what a User-Agent's parts are called; the first that is in it counts, since browsers name those they descend from too.
type named []struct{ part, name string }

var (
	browsers = named{
		{"Edg/", "Edge"},
		{"OPR/", "Opera"},
		{"Firefox/", "Firefox"},
		{"FxiOS/", "Firefox"},
		{"CriOS/", "Chrome"},
		{"Chrome/", "Chrome"},
		{"Safari/", "Safari"},
		{"curl/", "curl"},
	}
	systems = named{
		{"iPhone", "iPhone"},
		{"iPad", "iPad"},
		{"Android", "Android"},
		{"Windows", "Windows"},
		{"Mac OS X", "macOS"},
		{"CrOS", "ChromeOS"},
		{"Linux", "Linux"},
	}
)

func (n named) in(agent string) string {
	for _, one := range n {
		if strings.Contains(agent, one.part) {
			return one.name
		}
	}
	return ""
}

// deviceOf words a User-Agent. Nothing of what was sent is repeated.
func deviceOf(agent string) string {
	browser, system := browsers.in(agent), systems.in(agent)
	switch {
	case browser == "" && system == "":
		return "Unknown device"
	case browser == "":
		return system
	case system == "":
		return browser
	}
	return browser + " on " + system
}
