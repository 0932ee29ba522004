package page

import (
	"bytes"
	"context"
	"io"
	"strings"

	"github.com/a-h/templ"
)

// EndEvent is the named event that closes a page's stream for good.
const EndEvent = "end"

// ToastEvent is the named event whose data is shown as a short note.
const ToastEvent = "toast"

// Partial is part of a live update: component, which has one root element,
// takes the place of the element with the id target.
func Partial(target string, component templ.Component) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		var body bytes.Buffer
		if err := component.Render(ctx, &body); err != nil {
			return err
		}
		return partial(w, target, "outerMorph", bytes.TrimSpace(body.Bytes()))
	})
}

// Remove takes the element with the id target off the page.
func Remove(target string) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		return partial(w, target, "delete", nil)
	})
}

// DocumentTitle changes the tab's title together with a live update.
func DocumentTitle(title string) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "<title>"+templ.EscapeString(title)+"</title>")
		return err
	})
}

func partial(w io.Writer, target, swap string, body []byte) error {
	open := `<hx-partial hx-target="#` + templ.EscapeString(target) + `" hx-swap="` + swap + `">`
	_, err := io.WriteString(w, open+string(body)+"</hx-partial>")
	return err
}

// WriteEvent writes one server-sent event that carries parts. The id is where a
// broken connection resumes; empty leaves the last one standing. The event is
// written at once, so a reader never sees half of it unless w breaks.
func WriteEvent(ctx context.Context, w io.Writer, id string, parts ...templ.Component) error {
	var data bytes.Buffer
	for _, part := range parts {
		if err := part.Render(ctx, &data); err != nil {
			return err
		}
		data.WriteByte('\n')
	}
	return writeEvent(w, id, "", data.String())
}

// WriteNamedEvent writes one of the named events: EndEvent or ToastEvent.
func WriteNamedEvent(w io.Writer, name, data string) error {
	return writeEvent(w, "", name, data)
}

func writeEvent(w io.Writer, id, name, data string) error {
	var event strings.Builder
	if id != "" {
		event.WriteString("id: " + id + "\n")
	}
	if name != "" {
		event.WriteString("event: " + name + "\n")
	}
	for line := range strings.Lines(strings.ReplaceAll(data, "\r", "")) {
		event.WriteString("data: " + strings.TrimSuffix(line, "\n") + "\n")
	}
	if data == "" {
		event.WriteString("data: \n")
	}
	event.WriteString("\n")
	_, err := io.WriteString(w, event.String())
	return err
}
