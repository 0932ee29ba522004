package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Form is what somebody was about to send when their session had ended, kept to be sent after they have signed in.
type Form struct {
	Action string // path and query it was sent to
	From   string // the page it was on, "/" if that is not known
	Fields []FormField
	// Dropped are the names of fields that hold secrets: these are never kept.
	Dropped []string
	Until   time.Time
}

// FormField is a field as it was sent.
type FormField struct{ Name, Value string }

const (
	sessionForm = "form"
	formTime    = 15 * time.Minute
	maxForm     = 16 << 10 // bytes, as sent
	// An anonymous session holds nothing that is needed for longer.
	anonymousTime = 20 * time.Minute
)

// secretName matches names of fields whose content must not be kept. Keys that only name something, such as an idempotency key, are none.
var secretName = regexp.MustCompile(`(?i)secret|passw|passphrase|passcode|token|credential|certificate|private|assertion|` +
	`(api|access|account|shared|signing)[-_]?key|(^|[^a-z])(pin|otp|pem|pfx)([^a-z]|$)|^key$|(?-i:[a-z](Pin|Otp|Pem|Pfx)$)`)

// KeepForm keeps a form that nobody signed in has sent, in the browser's session, for a quarter of an hour: false when it cannot be kept,
// being large, empty or no form. It reads the request's body. The next who signs in with this browser is shown it, so it is not for what
// only one person of a household may know, and secrets are left out.
func (s *Service) KeepForm(r *http.Request) bool {
	ctx := r.Context()
	v, err := writable(ctx)
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" || r.Method != http.MethodPost {
		return false
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
	if err != nil || len(body) == 0 || len(body) > maxForm {
		return false
	}
	f := Form{Action: LocalPath(r.URL.RequestURI()), From: LocalPath(pathOf(r.Referer())), Until: s.now().Add(formTime)}
	for part := range bytes.SplitSeq(body, []byte("&")) { // not url.Values, which forget the order
		name, value, _ := strings.Cut(string(part), "=")
		name, errName := url.QueryUnescape(name)
		value, errValue := url.QueryUnescape(value)
		switch {
		case errName != nil || errValue != nil:
			return false
		case name == "":
		case secretName.MatchString(name):
			f.Dropped = append(f.Dropped, name)
		default:
			f.Fields = append(f.Fields, FormField{name, value})
		}
	}
	text, err := json.Marshal(f)
	if err != nil || f.Action == "/" {
		return false
	}
	s.sessions.Put(ctx, sessionForm, string(text))
	v.changed = true
	s.forgetSoon(ctx)
	return true
}

// KeptForm is the form that is kept in the request's session; false when there is none, or its time is over.
func (s *Service) KeptForm(ctx context.Context) (Form, bool) {
	var f Form
	text := s.sessions.GetString(ctx, sessionForm)
	if text == "" || json.Unmarshal([]byte(text), &f) != nil || !s.now().Before(f.Until) {
		return Form{}, false
	}
	return f, true
}

// ForgetForm lets go of a form that was kept.
func (s *Service) ForgetForm(ctx context.Context) error {
	v, err := writable(ctx)
	if err != nil {
		return fmt.Errorf("forget form: %w", err)
	}
	s.sessions.Remove(ctx, sessionForm)
	v.changed = true
	return nil
}

// forgetSoon ends the session soon while it is nobody's, so that strangers cannot fill the table.
func (s *Service) forgetSoon(ctx context.Context) {
	if _, _, ok := s.sessionPersonAt(ctx); !ok {
		s.sessions.SetDeadline(ctx, time.Now().Add(anonymousTime)) // scs knows the system's clock only
	}
}
