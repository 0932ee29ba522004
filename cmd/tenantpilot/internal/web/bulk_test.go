package web_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tenantpilot/domain"
)

const bulkPath = "/admin/operations/bulk"

var (
	bulkItem = regexp.MustCompile(`name="item" value="([^"]+)"`)
	bulkLine = regexp.MustCompile(`(?s)<tr id="bulk-(\d+)" role="row">(.*?)</tr>`)
	tag      = regexp.MustCompile(`(?s)<[^>]*>|\s+`)
)

// rows are the lines of a bulk page in words, by run.
func (r response) rows() map[int64]string {
	rows := map[int64]string{}
	for _, m := range bulkLine.FindAllStringSubmatch(r.text(), -1) {
		n, _ := strconv.ParseInt(m[1], 10, 64)
		rows[n] = strings.Join(strings.Fields(tag.ReplaceAllString(m[2], " ")), " ")
	}
	return rows
}

// frozen are the runs with their attempts, as the preview's form sends them.
func (r response) frozen() url.Values {
	v := url.Values{"back": {"/admin/operations"}}
	for _, m := range bulkItem.FindAllStringSubmatch(r.text(), -1) {
		v.Add("item", m[1])
	}
	return v
}

func selected(action string, runs ...int64) url.Values {
	v := url.Values{"action": {action}, "back": {"/admin/operations?view=active"}}
	for _, n := range runs {
		v.Add("run", strconv.FormatInt(n, 10))
	}
	return v
}

func TestBulkStartAgain(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	past := c.history(t)
	succeeded, failed := past[0], past[1]
	c.free(t, c.runID(t, past[3]))
	b := c.browser(t, "operator")
	const unknown = 987_654
	preview := b.send(t, "POST", bulkPath, form(selected("start", succeeded, failed, past[2], unknown, succeeded)))
	rows := preview.rows()
	if preview.status != http.StatusOK || len(rows) != 4 {
		t.Fatalf("preview: %d with %d rows: %v", preview.status, len(rows), rows)
	}
	for n, want := range map[int64]string{
		succeeded: "Starts Will start now", failed: "Joins", past[2]: "Busy", unknown: "Not found There is nothing here that you can see.",
	} {
		if !strings.HasPrefix(rows[n], want) {
			t.Errorf("run %d: %q, want %q", n, rows[n], want)
		}
	}
	if n := c.count(t, `select count(*) from attempts where surface = 'console.bulk'`); n != 0 {
		t.Errorf("the preview recorded %d attempts", n)
	}
	if !strings.Contains(preview.text(), `href="/admin/operations?view=active"`) {
		t.Error("the preview does not lead back to the list")
	}

	sent := preview.frozen()
	sent.Set("action", "start")
	var first map[int64]string
	for try := range 2 { // a reload of the answer sends the form again
		done := b.send(t, "POST", bulkPath+"/confirm", form(sent))
		rows := done.rows()
		if done.status != http.StatusOK || len(rows) != 4 {
			t.Fatalf("confirm: %d: %v", done.status, rows)
		}
		for n, want := range map[int64]string{succeeded: "Accepted", failed: "Joined", past[2]: "Busy", unknown: "Not found"} {
			if !strings.HasPrefix(rows[n], want) {
				t.Errorf("try %d, run %d: %q, want %q", try, n, rows[n], want)
			}
		}
		if try == 0 {
			first = rows
		} else if first[succeeded] != rows[succeeded] {
			t.Errorf("the second answer is %q, the first was %q", rows[succeeded], first[succeeded])
		}
	}
	c.settle(t)
	if n := c.count(t, `select count(*) from attempts where surface = 'console.bulk'`); n != 3 {
		t.Errorf("%d attempts were recorded, want 3", n)
	}
}

func TestBulkCancel(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	past := c.history(t)
	ended, running := past[0], past[3]
	c.work(t)
	b := c.browser(t, "operator")
	preview := b.send(t, "POST", bulkPath, form(selected("cancel", ended, running)))
	rows := preview.rows()
	if !strings.HasPrefix(rows[ended], "Nothing to do") || !strings.HasPrefix(rows[running], "Will be asked to stop") {
		t.Errorf("preview: %v", rows)
	}
	sent := preview.frozen()
	sent.Set("action", "cancel")
	for try, want := range []string{"Cancel requested", "Nothing to do"} {
		rows = b.send(t, "POST", bulkPath+"/confirm", form(sent)).rows()
		if !strings.HasPrefix(rows[ended], "Nothing to do") || !strings.HasPrefix(rows[running], want) {
			t.Errorf("confirm %d: %v", try, rows)
		}
	}
}

// TestBulkAcrossWorkspaces: runs of others are the same line as runs that are not there, and nothing happens to them; 404 comes before 403.
func TestBulkAcrossWorkspaces(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	ours := c.hold(t, domain.OpGroupsSync)
	const unknown = 987_654
	for name, want := range map[string]string{
		"stranger": "Not found", "limited": "Not found", "readonly": "Not allowed", "operator": "Ends at once",
	} {
		b := c.browser(t, name)
		res := b.send(t, "POST", bulkPath, form(selected("cancel", ours.RunNumber, unknown)))
		rows := res.rows()
		if !strings.HasPrefix(rows[ours.RunNumber], want) || !strings.HasPrefix(rows[unknown], "Not found") {
			t.Errorf("%s: %d %v", name, res.status, rows)
		}
		if want != "Not found" {
			continue
		}
		mine := strings.ReplaceAll(rows[ours.RunNumber], strconv.FormatInt(ours.RunNumber, 10), "N")
		if other := strings.ReplaceAll(rows[unknown], strconv.Itoa(unknown), "N"); mine != other {
			t.Errorf("%s: a hidden run is %q, one that is not there %q", name, mine, other)
		}
		for _, action := range []string{"cancel", "start"} {
			v := url.Values{"action": {action}, "item": {strconv.FormatInt(ours.RunNumber, 10) + ":" + uuid.NewString()}}
			rows = b.send(t, "POST", bulkPath+"/confirm", form(v)).rows()
			if !strings.HasPrefix(rows[ours.RunNumber], "Not found") {
				t.Errorf("%s, confirm %s: %v", name, action, rows)
			}
		}
	}
	for _, name := range []string{"platform", "nobody"} {
		if res := c.browser(t, name).send(t, "POST", bulkPath, form(selected("cancel", ours.RunNumber))); res.status != http.StatusNotFound {
			t.Errorf("%s: %d", name, res.status)
		}
	}
	read := c.browser(t, "readonly")
	v := url.Values{"action": {"cancel"}, "item": {strconv.FormatInt(ours.RunNumber, 10) + ":" + uuid.NewString()}}
	if rows := read.send(t, "POST", bulkPath+"/confirm", form(v)).rows(); !strings.HasPrefix(rows[ours.RunNumber], "Not allowed") {
		t.Errorf("readonly confirms: %v", rows)
	}
	c.settle(t)
	if n := c.count(t, `select count(*) from runs where cancel_requested_at is not null`); n != 0 {
		t.Errorf("%d runs were cancelled by those who may not", n)
	}
}

func TestBulkAsksForTheNumber(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	b := c.browser(t, "operator")
	var numbers []int64
	for n := range int64(21) {
		numbers = append(numbers, 900_000+n)
	}
	preview := b.send(t, "POST", bulkPath, form(selected("start", numbers...)))
	if !strings.Contains(preview.text(), `name="typed"`) || len(preview.frozen()["item"]) != 21 {
		t.Fatalf("preview of 21 runs asks nothing: %s", clip(preview.body))
	}
	sent := preview.frozen()
	sent.Set("action", "start")
	sent.Set("typed", "20")
	again := b.send(t, "POST", bulkPath+"/confirm", form(sent))
	if again.status != http.StatusUnprocessableEntity || again.frozen().Encode() != preview.frozen().Encode() {
		t.Errorf("a wrong number: %d, or the list changed", again.status)
	}
	sent.Set("typed", " 21 ")
	if done := b.send(t, "POST", bulkPath+"/confirm", form(sent)); done.status != http.StatusOK || len(done.rows()) != 21 {
		t.Errorf("the right number: %d", done.status)
	}
	for name, v := range map[string]url.Values{
		"no action": {"run": {"1"}}, "no run": {"action": {"start"}}, "no number": {"action": {"start"}, "run": {"x"}},
		"no attempt": {"action": {"start"}, "item": {"1:x"}}, "too many": {"action": {"start"}, "runs": {manyRuns(501)}},
	} {
		if res := b.send(t, "POST", bulkPath, form(v)); res.status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, res.status)
		}
	}
	foreign := url.Values{"action": {"start"}, "run": {"1"}, "back": {"https://evil.example/"}}
	if res := b.send(t, "POST", bulkPath, form(foreign)); strings.Contains(res.text(), "evil.example") {
		t.Error("the way back leads to another host")
	}
}

func manyRuns(n int) string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = strconv.Itoa(i + 1)
	}
	return strings.Join(texts, ".")
}

// TestSelectAllMatching: the page that has all runs of the filter selected keeps them, whatever comes later.
func TestSelectAllMatching(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	past := c.history(t)
	b := c.browser(t, "operator")
	page := b.send(t, "GET", "/admin/operations?limit=2").text()
	if !strings.Contains(page, "Select all "+strconv.Itoa(len(past))+" matching runs") {
		t.Error("the page does not offer to select all matching runs")
	}
	page = b.send(t, "GET", "/admin/operations?limit=2&select=all").text()
	if got := strings.Count(page, "checked autocomplete"); got != 2 {
		t.Errorf("%d boxes are checked, want 2", got)
	}
	others := regexp.MustCompile(`name="runs" value="([^"]+)"`).FindStringSubmatch(page)
	if others == nil || len(strings.Split(others[1], ".")) != len(past)-2 {
		t.Errorf("the others are %v, want %d", others, len(past)-2)
	}
	if page = c.browser(t, "readonly").send(t, "GET", "/admin/operations?limit=2&select=all").text(); strings.Contains(page, `name="run"`) {
		t.Error("who may do nothing with runs can select them")
	}
}

func TestPeek(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	run := c.hold(t, domain.OpGroupsSync)
	n := strconv.FormatInt(run.RunNumber, 10)
	b := c.browser(t, "operator")
	page := b.send(t, "GET", "/admin/operations?peek="+n+"&range=7d").text()
	for _, want := range []string{`id="peek-` + n + `"`, `id="run-outcome"`, `href="/admin/operations?range=7d"`, `href="` + runPath(run.RunNumber) + `"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page with a peek lacks %s", want)
		}
	}
	inside := b.send(t, "GET", "/admin/operations?peek="+n, message{}.with("HX-Request", "true")).text()
	if !strings.HasPrefix(inside, `<div id="peek">`) || strings.Contains(inside, "<html") {
		t.Errorf("the panel alone is %s", clip([]byte(inside)))
	}
	outside := c.browser(t, "stranger")
	hidden := outside.send(t, "GET", "/admin/operations?peek="+n).text()
	absent := outside.send(t, "GET", "/admin/operations?peek=987654").text()
	if !strings.Contains(hidden, "Nothing here that you can see") || strings.Contains(hidden, "run-outcome") || !strings.Contains(absent, "Nothing here that you can see") {
		t.Error("a run of others is not the same as none")
	}
	if res := b.send(t, "GET", "/admin/operations?peek=x"); !strings.Contains(res.text(), "peek:x") {
		t.Error("a malformed peek is not shown as a wrong filter")
	}
}
