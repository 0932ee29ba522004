package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Problem is an answer that is no success: problem details (RFC 9457) where the console said them.
type Problem struct {
	Status    int
	Code      string // stable; empty when somebody else answered
	Title     string
	Detail    string
	RequestID string
	Fields    []Field
	// RetryAfter is how long the console asked to wait; zero when it did not.
	RetryAfter time.Duration
}

// Field is what is wrong with a part of the request.
type Field struct {
	Pointer string `json:"pointer"`
	Message string `json:"message"`
}

// Error is the title, the detail and a line for each field.
func (p *Problem) Error() string {
	text := p.Title
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	for _, f := range p.Fields {
		if f.Message == p.Detail {
			continue // a refusal of one field says it twice
		}
		text += "\n  " + strings.TrimPrefix(f.Pointer+": ", ": ") + f.Message
	}
	if p.RetryAfter > 0 {
		text += fmt.Sprintf("\n  Try again in %s.", p.RetryAfter)
	}
	if p.Status >= 500 && p.RequestID != "" {
		text += "\n  Request " + p.RequestID + " in the console's log."
	}
	return text
}

func (c *Console) problem(a Answer) error {
	if a.Status < 400 {
		elsewhere := ""
		if to, err := url.Parse(a.Header.Get("Location")); err == nil && to.Host != "" {
			elsewhere = " to " + to.Scheme + "://" + to.Host
		}
		return fmt.Errorf("%s redirects%s, which a console does not do to programs: give its own address", c.base, elsewhere)
	}
	p := &Problem{Status: a.Status, RetryAfter: retryAfter(a.Header)}
	var told struct {
		Title     string  `json:"title"`
		Detail    string  `json:"detail"`
		Code      string  `json:"code"`
		RequestID string  `json:"request_id"`
		Errors    []Field `json:"errors"`
	}
	if isJSON(a.Header) && json.Unmarshal(a.Body, &told) == nil && told.Title != "" {
		p.Title, p.Detail, p.Code, p.RequestID, p.Fields = told.Title, told.Detail, told.Code, told.RequestID, told.Errors
		return p
	}
	p.Title = fmt.Sprintf("%s answered %d %s, not as a console does", c.base, a.Status, http.StatusText(a.Status))
	return p
}

// retryAfter reads seconds; a date, which consoles do not send, counts as none.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, 10*time.Minute)
}

// Unreachable says that no answer came.
type Unreachable struct {
	Server string
	Why    string // in words
	// NotSent is set when nothing was sent. Otherwise it is open whether the request was carried out.
	NotSent bool
	Err     error
}

func (u *Unreachable) Error() string {
	return fmt.Sprintf("no answer from the console at %s: %s", u.Server, u.Why)
}

func (u *Unreachable) Unwrap() error { return u.Err }

func (c *Console) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	u := &Unreachable{Server: c.base.String(), Err: err}
	var dial *net.OpError
	u.NotSent = errors.As(err, &dial) && dial.Op == "dial"
	var noHost *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &noHost):
		u.Why = "there is no host " + noHost.Name
	case errors.Is(err, syscall.ECONNREFUSED):
		u.Why = "nothing listens there"
	case errors.As(err, &timeout) && timeout.Timeout():
		u.Why = fmt.Sprintf("nothing came within %s", patience)
	default:
		cause := err
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			cause = wrapped.Err // without method and address, which have been said
		}
		u.Why = cause.Error()
	}
	return u
}
