package main

import (
	"io"
	"strings"

	"tenantpilot/domain"
)

// plainWriter leaves out what could steer a terminal: names come from other people. What programs read (JSON, CSV) goes
// around it, to the letter.
type plainWriter struct{ io.Writer }

func (w plainWriter) Write(p []byte) (int, error) {
	clean := strings.Map(func(r rune) rune {
		if domain.Steers(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, string(p))
	if _, err := io.WriteString(w.Writer, clean); err != nil {
		return 0, err
	}
	return len(p), nil
}
