package web

import (
	"cmp"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

// decode reads a JSON body strictly: unknown and doubled members, trailing data and wrong types are refused with a pointer to the place.
// An empty body leaves into as it is.
func decode(r *http.Request, into any) error {
	if r.Body == nil || r.ContentLength == 0 {
		return nil
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return problem{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Detail: "Send application/json."}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, into, json.RejectUnknownMembers(true)); err != nil {
		return malformed(err)
	}
	return nil
}

func malformed(err error) error {
	field := view.FieldError{Code: "malformed", Message: "The body is not valid JSON."}
	var syntactic *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case errors.As(err, &semantic):
		field.Pointer = string(semantic.JSONPointer)
		field.Message = "The value does not fit here."
		if errors.Is(err, json.ErrUnknownName) {
			field.Code, field.Message = "unknown_member", "There is no such member here."
		}
	case errors.As(err, &syntactic):
		field.Pointer = string(syntactic.JSONPointer)
		if errors.Is(err, jsontext.ErrDuplicateName) {
			field.Code, field.Message = "duplicate_member", "The member is there twice."
		}
	}
	return invalid("malformed_body", "The body could not be read.", field)
}

func invalid(code, detail string, fields ...view.FieldError) problem {
	return problem{Status: http.StatusBadRequest, Code: code, Detail: detail, Errors: fields}
}

func isForm(r *http.Request) bool {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && media == "application/x-www-form-urlencoded"
}

// formOf reads a form. A body of another kind is refused: read as a form it would be an empty one, which may mean something.
func formOf(r request) (url.Values, error) {
	if r.ContentLength != 0 && !isForm(r.Request) {
		return nil, problem{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Detail: "Send application/x-www-form-urlencoded."}
	}
	if err := r.ParseForm(); err != nil {
		return nil, formError(err)
	}
	return r.PostForm, nil
}

// ifMatch is the tag of what a program has seen and wants to replace, empty for whatever is there. Who sends none is told of what.
func ifMatch(r request, what string) (string, error) {
	switch tag := r.Header.Get("If-Match"); tag {
	case "":
		return "", problem{
			Status: http.StatusPreconditionRequired, Code: "precondition_required", Detail: "Send If-Match with the ETag of " + what + " that you have seen.",
		}
	case "*":
		return "", nil
	default:
		return cmp.Or(strings.Trim(tag, `"`), "none"), nil // what is empty matches nothing
	}
}

// pathUUID reads a path's GUID; a malformed one is simply not there.
func pathUUID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil || len(s) != 36 || id == uuid.Nil { // which nothing has
		return uuid.Nil, notFound()
	}
	return id, nil
}

// pathNumber reads a path's number; a malformed one is simply not there.
func pathNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || strings.HasPrefix(s, "+") {
		return 0, notFound()
	}
	return n, nil
}
