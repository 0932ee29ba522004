package web

import (
	"bufio"
	"cmp"
	"iter"
	"net/http"
)

// everyPage reads a list page by page to its end. next moves the filter that read uses behind the last line of a page.
func everyPage[L any](read func() (lines []L, more bool, err error), next func(last L)) iter.Seq2[[]L, error] {
	return func(yield func([]L, error) bool) {
		for {
			lines, more, err := read()
			if !yield(lines, err) || err != nil || !more || len(lines) == 0 {
				return
			}
			next(lines[len(lines)-1])
		}
	}
}

// writeCSV sends a spreadsheet while it is made. What fails within the first 64 KB is a clean error; later the connection is broken off, so that
// a file which was cut short does not look like a whole one.
func (s *Server) writeCSV(w http.ResponseWriter, r request, a answer) {
	sheet := &sheet{w: w, name: cmp.Or(a.csvName, "operations.csv"), status: a.status}
	out := bufio.NewWriterSize(sheet, 64<<10)
	err := a.csv(out)
	if err == nil {
		err = out.Flush()
	}
	switch {
	case err == nil:
	case !sheet.begun:
		s.fail(w, r.Request, err)
	default:
		if r.Context().Err() == nil {
			s.Log.Error("spreadsheet broken off", "err", err, "request_id", requestIDOf(r.Context()))
		}
		panic(http.ErrAbortHandler)
	}
}

// sheet sends the headers of a spreadsheet before its first bytes.
type sheet struct {
	w      http.ResponseWriter
	name   string
	status int
	begun  bool
}

// Write implements io.Writer.
func (s *sheet) Write(b []byte) (int, error) {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		s.w.Header().Set("Content-Disposition", `attachment; filename="`+s.name+`"`)
		s.w.WriteHeader(s.status)
	}
	return s.w.Write(b)
}
