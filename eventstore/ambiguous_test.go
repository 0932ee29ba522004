package eventstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/domain"
	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
)

// fault is what a proxy does to one round trip: a client's messages up to a Sync or simple query, and the server's answer.
type fault string

const (
	pass      fault = "pass"
	cutBefore fault = "cut before the server sees it"
	cutAfter  fault = "cut after the server has done it"
	cutAtOnce fault = "cut while the server does it"
)

// proxy stands between pgx and Postgres and cuts connections as it is told. Connections of the store's bells are left alone, so that the
// n-th round trip is one of Transact.
type proxy struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	judge func() fault
	cuts  int
}

// startProxy returns a proxy and a pool of the app role that goes through it.
func startProxy(t testing.TB, db *pgtest.DB) (*proxy, *pgxpool.Pool) {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(db.AppURL)
	if err != nil {
		t.Fatal(err)
	}
	_, server := pgconn.NetworkAddress(cfg.ConnConfig.Host, cfg.ConnConfig.Port)
	dir, err := os.MkdirTemp("", "cut") // not t.TempDir: the path of a socket may have 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, server: server}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(client) })
		}
	})
	cfg.ConnConfig.Host, cfg.ConnConfig.Port = dir, 5432
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pool.Close()
		_ = listener.Close()
		running.Wait()
	})
	return p, pool
}

// decide sets what becomes of the n-th round trip from now on, from 1.
func (p *proxy) decide(judge func(n int) fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	p.cuts = 0
	p.judge = func() fault {
		n++
		f := judge(n)
		if f != pass {
			p.cuts++
		}
		return f
	}
}

func (p *proxy) next() fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.judge == nil {
		return pass
	}
	return p.judge()
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("unix", p.server)
	if err != nil {
		_ = client.Close()
		return
	}
	var deaf atomic.Bool // the client is not to see the answer
	var answering sync.WaitGroup
	answering.Go(func() {
		defer client.Close()
		defer server.Close()
		for {
			message, err := readMessage(server, true)
			if err != nil {
				return
			}
			switch {
			case !deaf.Load():
				if _, err := client.Write(message); err != nil {
					return
				}
			case message[0] == 'Z': // ready for the next: the statement has taken effect
				return
			}
		}
	})
	p.forward(client, server, &deaf)
	if !deaf.Load() {
		_ = server.Close()
	}
	answering.Wait()
}

// forward sends the client's messages on, a round trip at a time, until the connection ends or is cut.
func (p *proxy) forward(client, server net.Conn, deaf *atomic.Bool) {
	startup, err := readMessage(client, false)
	if err != nil {
		return
	}
	if _, err := server.Write(startup); err != nil {
		return
	}
	var trip []byte
	bell := false
	for {
		message, err := readMessage(client, true)
		if err != nil {
			return
		}
		trip = append(trip, message...)
		if bytes.IndexByte([]byte("PBDEC"), message[0]) >= 0 {
			continue // the Sync comes
		}
		f := pass
		if message[0] == 'S' || message[0] == 'Q' {
			bell = bell || bytes.Contains(trip, []byte("listen tenantpilot")) || bytes.Contains(trip, []byte("synchronous_commit"))
			if !bell {
				f = p.next()
			}
		}
		deaf.Store(f == cutAfter)
		if f == cutBefore {
			return
		}
		if _, err := server.Write(trip); err != nil || f != pass {
			return
		}
		trip = nil
	}
}

// readMessage reads one message of Postgres's protocol; only the first of a client has no type.
func readMessage(r io.Reader, typed bool) ([]byte, error) {
	head := make([]byte, 4, 1024)
	if typed {
		head = head[:5]
	}
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[len(head)-4:])-4)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	return append(head, body...), nil
}

// requests carries out some of every kind over a connection that may break, and wants of each one append or none, as if it never had.
func requests(t testing.TB, broken *eventstore.Store, direct *pgxpool.Pool) {
	t.Helper()
	ctx := context.Background()
	one, event := registered(uuid.New())
	two, other := registered(event.Workspace)
	once := func(what string, key, stream uuid.UUID, receipt eventstore.Receipt, err error) {
		t.Helper()
		if err != nil || receipt.Stream != stream || receipt.Seq == 0 {
			t.Errorf("%s: %+v, %v", what, receipt, err)
			return
		}
		var requests, lastSeq int64
		err = direct.QueryRow(ctx, `select count(*), max(last_seq) from requests where key = $1`, key).Scan(&requests, &lastSeq)
		if err != nil || requests != 1 || lastSeq != receipt.Seq {
			t.Errorf("%s: %d requests up to %d, %v; want one of %+v", what, requests, lastSeq, err, receipt)
		}
	}

	// Two streams are opened, without asking anything before.
	r := eventstore.Request{Key: uuid.New(), Hash: []byte("open"), At: at}
	receipt, err := broken.Transact(ctx, r, func(_ context.Context, u *eventstore.Unit) error {
		u.Append(one, event)
		u.Append(two, other)
		return nil
	})
	once("open", r.Key, one, receipt, err)

	// One is read beforehand for the whole batch, the other by the decision, and both are appended to.
	r = eventstore.Request{Key: uuid.New(), Hash: []byte("both"), At: at, Needs: []uuid.UUID{one}}
	both := func(ctx context.Context, u *eventstore.Unit) error {
		for _, stream := range []uuid.UUID{one, two} {
			if tenant, version, err := eventstore.Load[domain.Tenant](ctx, u, stream); err != nil {
				return err
			} else if !tenant.Exists() || version != 1 && version != 3 {
				return fmt.Errorf("saw version %d", version)
			}
			u.Append(stream, domain.TenantRenamed{Name: "x"}, domain.TenantRenamed{Name: "y"})
		}
		u.Answer(two)
		return nil
	}
	receipt, err = broken.Transact(ctx, r, both)
	once("append to both", r.Key, two, receipt, err)
	first := receipt.Seq
	receipt, err = broken.Transact(ctx, r, both)
	once("the same again", r.Key, two, receipt, err)
	if !receipt.Replayed || receipt.Seq != first {
		t.Errorf("the same again: %+v, want a replay of %d", receipt, first)
	}

	// A refusal is told as it is, and one that was carried out answers a repeat whatever the decision says now.
	no := errors.New("no")
	refuse := func(_ context.Context, u *eventstore.Unit) error {
		u.Append(one, domain.TenantRenamed{Name: "never"})
		return no
	}
	_, err = broken.Transact(ctx, eventstore.Request{Key: uuid.New(), At: at}, refuse)
	if !errors.Is(err, no) {
		t.Errorf("refusal: %v, want the decision's own", err)
	}
	receipt, err = broken.Transact(ctx, r, refuse)
	once("refused now, done before", r.Key, two, receipt, err)
	reused := r
	reused.Hash = []byte("another body")
	_, err = broken.Transact(ctx, reused, both)
	if refusal, ok := domain.AsRefusal(err); !ok || refusal.Kind != domain.KeyReused {
		t.Errorf("another body: %v, want KeyReused", err)
	}
	_, err = broken.Transact(ctx, eventstore.Request{Key: uuid.New(), At: at}, func(_ context.Context, u *eventstore.Unit) error {
		u.Append(one, event)
		return nil
	})
	if refusal, ok := domain.AsRefusal(err); !ok || refusal.Kind != domain.Conflict {
		t.Errorf("open again: %v, want Conflict", err)
	}

	var names []string
	err = direct.QueryRow(ctx, `select array_agg(name || version order by seq) from events where stream in ($1, $2)`, one, two).Scan(&names)
	want := []string{"TenantRegistered1", "TenantRegistered1", "TenantRenamed2", "TenantRenamed3", "TenantRenamed2", "TenantRenamed3"}
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("events %v, %v; want %v", names, err, want)
	}
}

func TestTransactIsExactlyOnceWhenTheConnectionBreaks(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{cutBefore, cutAfter, cutAtOnce} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t)
			openOn(t, db, eventstore.Config{}) // the sequencer
			direct := db.Pool(t)
			for nth := 1; ; nth++ {
				p, pool := startProxy(t, db)
				s := eventstore.Open(pool, eventstore.Config{})
				p.decide(func(n int) fault {
					if n == nth {
						return f
					}
					return pass
				})
				requests(t, s, direct)
				s.Close()
				if t.Failed() {
					t.Fatalf("with round trip %d %s", nth, f)
				}
				if p.cuts == 0 {
					t.Logf("%d round trips", nth-1)
					break
				}
			}
			wantAllNumbered(t, direct)
		})
	}
}

func TestTransactIsExactlyOnceWhenConnectionsBreakAllTheTime(t *testing.T) {
	t.Parallel()
	d := newDice(t)
	db := pgtest.New(t)
	openOn(t, db, eventstore.Config{})
	direct := db.Pool(t)
	p, pool := startProxy(t, db)
	s := eventstore.Open(pool, eventstore.Config{})
	p.decide(func(int) fault {
		if d.chance(80) {
			return pass
		}
		return []fault{cutBefore, cutAfter, cutAtOnce}[d.intN(3)]
	})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 4 {
				requests(t, s, direct)
			}
		})
	}
	wg.Wait()
	s.Close()
	t.Logf("%d cuts", p.cuts)
	wantAllNumbered(t, direct)
}

// Whatever a committer is waiting for when its store is closed, the callers of its batch are told of a receipt or of the close.
func TestACloseAtAnyRoundTripIsToldToEveryCaller(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	other := openOn(t, db, eventstore.Config{})
	direct := db.Pool(t)
	for nth := 1; ; nth++ {
		stream := create(t, other)
		done, fresh := eventstore.Request{Key: uuid.New(), At: at}, eventstore.Request{Key: uuid.New(), At: at}
		if _, err := rename(other, done, stream, "done"); err != nil {
			t.Fatal(err)
		}
		p, pool := startProxy(t, db)
		s := eventstore.Open(pool, eventstore.Config{Committers: 1})
		closed := make(chan struct{})
		p.decide(func(n int) fault {
			if n == nth {
				go func() { defer close(closed); s.Close() }()
				time.Sleep(20 * time.Millisecond)
			}
			return pass
		})
		goOn, no := make(chan struct{}), errors.New("no")
		var callers sync.WaitGroup
		callers.Go(func() { // keeps the committer busy while the others queue up for one batch
			_, err := s.Transact(context.Background(), eventstore.Request{At: at}, func(context.Context, *eventstore.Unit) error {
				<-goOn
				return no
			})
			if !errors.Is(err, no) && !errors.Is(err, context.Canceled) {
				t.Errorf("close at round trip %d: the refused one was told %v", nth, err)
			}
		})
		time.Sleep(5 * time.Millisecond)
		for _, r := range []eventstore.Request{done, fresh} {
			callers.Go(func() {
				receipt, err := rename(s, r, stream, "fresh")
				if err == nil && receipt.Seq == 0 || err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("close at round trip %d: %+v, %v", nth, receipt, err)
				}
				if err != nil { // another store tells what became of it
					if receipt, err := rename(other, r, stream, "fresh"); err != nil || receipt.Stream != stream {
						t.Errorf("close at round trip %d, sent again: %+v, %v", nth, receipt, err)
					}
				}
			})
		}
		time.Sleep(5 * time.Millisecond)
		close(goOn)
		callers.Wait()
		if events, err := other.ReadStream(t.Context(), stream, 0); err != nil || len(events) != 3 {
			t.Errorf("close at round trip %d: %d events, %v; want 3", nth, len(events), err)
		}
		select {
		case <-closed:
		default: // it took fewer
			s.Close()
			t.Logf("%d round trips", nth-1)
			wantAllNumbered(t, direct)
			return
		}
	}
}

// wantAllNumbered waits until nothing is pending and then wants a perfect log.
func wantAllNumbered(t testing.TB, pool *pgxpool.Pool) {
	t.Helper()
	var events, head int64
	eventually(t, "all events are numbered", func() bool {
		err := pool.QueryRow(context.Background(), `select (select count(*) from events), (select head from sequencer)`).Scan(&events, &head)
		return err == nil && events == head
	})
	wantGapless(t, pool, events)
}

// pgconn.SafeToRetry says yes of statements without arguments that did run (pgx 5.9 to 5.12): nobody may rest on it.
func TestNobodyRestsOnSafeToRetry(t *testing.T) {
	t.Parallel()
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != ".." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files++
		ast.Inspect(file, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && id.Name == "SafeToRetry" {
				t.Errorf("%s uses SafeToRetry", set.Position(id.Pos()))
			}
			return true
		})
		return nil
	})
	if err != nil || files < 50 {
		t.Fatalf("looked at %d files, %v", files, err)
	}
}
