package graph

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"tenantpilot/domain"
)

// Error is a call that the provider refused or that could not be made. Its texts are ours or have
// passed a filter for codes and ids: it may be logged, stored and shown as it is.
type Error struct {
	Code      domain.ReasonCode
	Operation string // contract name, or "token"
	Status    int    // HTTP status; 0 when no answer arrived
	GraphCode string // the provider's own code, such as Authorization_RequestDenied
	RequestID string // the provider's request id, for a support case

	// Transient: the same call may succeed later. RetryAt, when set, is when to come back, as the
	// provider said or as worked out when the wait would have exceeded the call's budget.
	Transient bool
	RetryAt   time.Time

	// Permissions names what the refused call needs, for the two permission reasons.
	Permissions []string

	Diagnostics Diagnostics
}

// Diagnostics are sanitised facts for support: token error numbers, correlation ids, the kind of
// network failure, or a phrase of ours under "detail".
type Diagnostics map[string]string

// Error names the operation, the reason code and the provider's code and request id.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "graph %s: %s", e.Operation, e.Code)
	if e.Status != 0 {
		fmt.Fprintf(&b, ", status %d", e.Status)
	}
	if e.GraphCode != "" {
		fmt.Fprintf(&b, ", %s", e.GraphCode)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, ", request %s", e.RequestID)
	}
	if d := e.Diagnostics["detail"]; d != "" {
		fmt.Fprintf(&b, ": %s", d)
	}
	return b.String()
}

// invalidResponse is an answer that cannot be used. The detail is a phrase of ours.
func invalidResponse(operation, detail string) *Error {
	return &Error{
		Code: domain.ReasonProviderResponseInvalid, Operation: operation,
		Diagnostics: Diagnostics{"detail": detail},
	}
}

var errBodyTooLarge = errors.New("graph: response exceeds the size limit")

// errLeftHost is a request that our own code refused to send.
var errLeftHost = errors.New("graph: request leaves the pinned host")

// transportError turns a failed exchange into an *Error without the transport's text, which quotes
// URLs and addresses.
func transportError(operation string, err error) *Error {
	switch {
	case errors.Is(err, errBodyTooLarge):
		return invalidResponse(operation, "answer exceeds the size limit")
	case errors.Is(err, errLeftHost):
		return invalidResponse(operation, "request would leave the provider's host")
	}
	return &Error{
		Code: domain.ReasonProviderUnreachable, Operation: operation, Transient: true,
		Diagnostics: Diagnostics{"network": networkKind(err)},
	}
}

func networkKind(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	var timeout interface{ Timeout() bool }
	var u *url.Error
	switch {
	case errors.As(err, &dns):
		return "dns"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case strings.Contains(err.Error(), "tls:"), strings.Contains(err.Error(), "x509:"):
		return "tls"
	case errors.As(err, &op) && op.Op == "dial":
		return "connect"
	case errors.As(err, &op), errors.As(err, &u):
		return "connection"
	}
	return "answer"
}

var (
	codeShape = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]{0,79}$`)
	idShape   = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

// safeCode passes a provider's code and drops anything else, so that hostile text cannot travel in it.
func safeCode(s string) string {
	if codeShape.MatchString(s) {
		return s
	}
	return ""
}

// safeID passes a provider's id and drops anything else.
func safeID(s string) string {
	if idShape.MatchString(s) {
		return s
	}
	return ""
}
