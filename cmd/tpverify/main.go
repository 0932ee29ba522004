// Command tpverify checks evidence from a TenantPilot log offline: no server, no database, no network. It is small so that an auditor can
// read it, and builds from this folder, cmd/internal/evidence and golang.org/x/mod alone.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"tenantpilot/cmd/internal/evidence"
)

const usageText = `tpverify checks an evidence pack (.zip), a proof (.json) or a signed head (.note) of a TenantPilot log, offline.

  tpverify --key VERIFIER-KEY [--earlier HEAD-YOU-KEPT.note] [--unsigned] FILE

VERIFIER-KEY is the log's verifier key, or a file with it. Get it from the log's operator by another way than FILE.
With --earlier, FILE must also prove that nothing has changed since that head.
With --unsigned, a pack that was made without the log's key passes: you trust whoever made it to have left nothing out.

Exit codes: 0 everything holds, 1 something does not (its name and a sentence are printed), 2 usage.
`

// Exit codes.
const (
	exitHolds  = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("tpverify", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	keyText := flags.String("key", "", "")
	earlierPath := flags.String("earlier", "", "")
	unsigned := flags.Bool("unsigned", false, "")
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(out, usageText)
		return exitHolds
	}
	if err == nil && (*keyText == "" || flags.NArg() != 1) {
		err = errors.New("give a key and one file")
	}
	if err != nil {
		return misused(errOut, err)
	}
	key, err := readKey(*keyText)
	if err != nil {
		return misused(errOut, err)
	}
	body, err := os.ReadFile(flags.Arg(0))
	if err != nil {
		return misused(errOut, err)
	}
	var earlier *evidence.Head
	if *earlierPath != "" {
		text, err := os.ReadFile(*earlierPath)
		if err != nil {
			return misused(errOut, err)
		}
		head, err := evidence.OpenHead(string(text), key)
		if err != nil {
			f := evidence.AsFault(err)
			return failed(out, &evidence.Fault{Name: f.Name, Text: "your earlier head: " + f.Text})
		}
		earlier = &head
	}
	holds, err := check(body, key, earlier, *unsigned)
	for _, sentence := range holds {
		fmt.Fprintln(out, "ok   ", sentence)
	}
	if err != nil {
		return failed(out, err)
	}
	fmt.Fprintln(out, "Everything holds.")
	return exitHolds
}

func misused(errOut io.Writer, err error) int {
	fmt.Fprintf(errOut, "tpverify: %v\n\n%s", err, usageText)
	return exitUsage
}

func failed(out io.Writer, err error) int {
	f := evidence.AsFault(err)
	fmt.Fprintf(out, "FAILED %s: %s\n", f.Name, f.Text)
	return exitFailed
}

// readKey takes the key itself or the name of a file with it.
func readKey(text string) (note.Verifier, error) {
	if b, err := os.ReadFile(text); err == nil {
		text = string(b)
	}
	return evidence.ParseVerifier(text)
}

// check tells by its first bytes what a file is.
func check(body []byte, key note.Verifier, earlier *evidence.Head, unsigned bool) ([]string, error) {
	switch {
	case bytes.HasPrefix(body, []byte("PK")):
		p, err := evidence.ReadPack(bytes.NewReader(body), int64(len(body)))
		if err != nil {
			return nil, err
		}
		return p.Verify(key, earlier, unsigned)
	case bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")):
		var d evidence.ProofDocument
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&d); err != nil {
			return nil, fmt.Errorf("the proof cannot be read (%w)", err)
		}
		return d.Verify(key, earlier)
	}
	head, err := evidence.OpenHead(string(body), key)
	if err != nil {
		return nil, err
	}
	if earlier != nil {
		return nil, errors.New("a head alone proves nothing about an earlier one: use a pack or a proof")
	}
	return []string{strings.TrimSpace(head.Sentence())}, nil
}
