package web

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/a-h/templ"

	"tenantpilot/cmd/tenantpilot/internal/auth"
	"tenantpilot/cmd/tenantpilot/internal/web/page"
)

// The pace of a stream: at most two updates a second, a look now and then even when nothing happened (times run on), and a comment that
// keeps proxies from closing it.
const (
	streamPace  = 500 * time.Millisecond
	streamLook  = 5 * time.Second
	streamAlive = 15 * time.Second
)

// stream keeps a page current: first it sends everything, since the page is as old as it took to connect, then the parts that changed, and ends when there is nothing more to say, the viewer may no longer see the
// page, or the server stops. It reads the database only when the log has grown, and every few seconds.
func (s *Server) stream(read parts) http.HandlerFunc {
	return func(w http.ResponseWriter, httpRequest *http.Request) {
		viewer, ok := auth.ViewerFrom(httpRequest.Context())
		if !ok {
			s.fail(w, httpRequest, problem{Status: http.StatusUnauthorized, Code: "not_signed_in", Detail: "Sign in first."})
			return
		}
		if !s.streams.enter(viewer.Person) {
			w.Header().Set("Retry-After", "5") // the page asks again, and is as it was meanwhile
			s.fail(w, httpRequest, problem{
				Status: http.StatusTooManyRequests, Code: "too_many_streams", Detail: "You have too many event streams open. Close some.",
			})
			return
		}
		defer s.streams.leave(viewer.Person)
		r := request{httpRequest, viewer}
		if _, _, _, err := read(r); err != nil {
			s.fail(w, httpRequest, err)
			return
		}
		s.metrics.streams.Inc()
		defer s.metrics.streams.Dec()
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("X-Accel-Buffering", "no")
		w.WriteHeader(http.StatusOK)
		f := &feed{server: s, w: w, control: http.NewResponseController(w), sent: map[string]uint64{}, seed: maphash.MakeSeed()}
		f.run(r, read)
	}
}

// feed is one open stream. Its goroutine owns it.
type feed struct {
	server  *Server
	w       http.ResponseWriter
	control *http.ResponseController
	sent    map[string]uint64 // hash of what each part last looked like
	seed    maphash.Seed
}

func (f *feed) run(r request, read parts) {
	if f.comment("connected") != nil {
		return
	}
	alive := time.NewTicker(streamAlive)
	defer alive.Stop()
	for {
		changed := f.server.Changed()
		ended, err := f.update(r, read)
		if err != nil || ended {
			return
		}
		look := time.NewTimer(streamLook)
		for waiting := true; waiting; {
			select {
			case <-r.Context().Done():
				look.Stop()
				return
			case <-f.server.Draining.Done():
				look.Stop()
				return
			case <-alive.C:
				if f.comment("alive") != nil {
					return
				}
			case <-changed:
				waiting = false
			case <-look.C:
				waiting = false
			}
		}
		look.Stop()
		pause(r.Context(), streamPace) // read models follow the log within milliseconds; and no faster than people read
	}
}

// update reads the page's parts with the rights of this moment and sends those that changed.
func (f *feed) update(r request, read parts) (ended bool, err error) {
	viewer, ok, err := f.server.Auth.Again(r.Context(), r.viewer)
	if err != nil {
		return false, nil // the database is away for a moment: look again
	}
	if !ok {
		return true, f.end()
	}
	r.viewer = viewer
	list, title, ended, err := read(r)
	if err != nil {
		if p := f.server.problemOf(r.Request, err); p.Status == http.StatusServiceUnavailable {
			return false, nil
		}
		return true, f.end()
	}
	var news []templ.Component
	for _, p := range list {
		b, err := render(r, p)
		if err != nil {
			return true, err
		}
		hash := maphash.Bytes(f.seed, timeText.ReplaceAll(b, []byte("$1")))
		if f.sent[p.id] == hash {
			continue
		}
		f.sent[p.id] = hash
		if p.component == nil {
			news = append(news, page.Remove(p.id))
			continue
		}
		news = append(news, page.Partial(p.id, templ.Raw(string(b))))
	}
	if title != "" && ended {
		news = append(news, page.DocumentTitle(title))
	}
	if len(news) > 0 {
		var b bytes.Buffer
		if err := page.WriteEvent(r.Context(), &b, strconv.FormatInt(time.Now().UnixMilli(), 10), news...); err != nil {
			return true, err
		}
		if err := f.write(b.Bytes()); err != nil {
			return true, err
		}
	}
	if ended {
		return true, f.end()
	}
	return false, nil
}

// timeText is what an instant says in words; it changes as time goes by, and the browser keeps it ticking by itself.
var timeText = regexp.MustCompile(`(<time [^>]*>)[^<]*`)

func render(r request, p part) ([]byte, error) {
	if p.component == nil {
		return nil, nil
	}
	var b bytes.Buffer
	if err := p.component.Render(r.Context(), &b); err != nil {
		return nil, fmt.Errorf("render %s: %w", p.id, err)
	}
	return b.Bytes(), nil
}

func (f *feed) end() error {
	var b bytes.Buffer
	if err := page.WriteNamedEvent(&b, page.EndEvent, ""); err != nil {
		return err
	}
	return f.write(b.Bytes())
}

func (f *feed) comment(text string) error { return f.write([]byte(": " + text + "\n\n")) }

func (f *feed) write(b []byte) error {
	if _, err := f.w.Write(b); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	return f.control.Flush()
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
