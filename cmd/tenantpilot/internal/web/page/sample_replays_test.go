package page_test

import (
	"fmt"

	"tenantpilot/cmd/tenantpilot/internal/web/view"
)

func replayRow(n, i int, operation, text string, b view.Badge, link *view.Link) view.BulkRow {
	return view.BulkRow{
		Key: fmt.Sprintf("%s%02d", sampleAttemptID[:34], n), Subject: view.Link{Label: operation, Href: view.AttemptHref(sampleAttemptID)},
		Detail: "Blocked 3 h ago: admin consent was revoked.", Tenant: tenantLink(i), Connection: sampleTenants[i].connection, Badge: b, Text: text, Link: link,
	}
}

func sampleReplays() view.BulkPage {
	rows := []view.BulkRow{
		replayRow(1, 0, "Directory groups sync", "Will start now", view.BulkWillStart, nil),
		replayRow(2, 0, "Role definitions sync", "A row above will be using the connection.", view.BulkWillWait, nil),
		replayRow(3, 0, "Directory groups sync", "It asks for the same work as a row above; one start answers both.", view.BulkSameWork, nil),
		replayRow(4, 3, "Directory groups sync", "Will be blocked: admin consent was revoked.", view.BulkStillStops, &view.Link{Label: "Request admin consent", Href: "?"}),
		replayRow(5, 5, "Directory groups sync", "By Grace Hopper. Nothing was started a second time.", view.BulkReplayed, &view.Link{Label: "Receipt of the replay", Href: "?"}),
		replayRow(6, 2, "Directory groups sync", "The same work has succeeded since.", view.BulkNotNeeded, &view.Link{Label: "Run 4718", Href: "?"}),
		replayRow(7, 1, "Scheduled backup", "Scheduled backups and restores are not replayed. Start it again on purpose.", view.BulkNoReplay, nil),
	}
	return view.BulkPage{
		Now: now, Noun: "attempt", Headline: "Replay 2 attempts?", Sums: view.CountBadges(rows), Column: "What will happen", Rows: rows,
		Text:    "Frozen as preview 9f86d081884c: exactly these are replayed, each decided by itself at the moment you confirm, until 14:18 UTC. Attempts that came since are not in it.",
		Confirm: "Replay 2 attempts", Variant: "primary", Action: view.AttemptReplayHref, Back: "/admin/attempts",
	}
}

func doneReplays() view.BulkPage {
	p := sampleReplays()
	p.Headline, p.Text, p.Confirm, p.Column, p.Rows = "The replays were answered", "", "", "What happened", p.Rows[:2]
	p.Rows[0].Badge, p.Rows[0].Text, p.Rows[0].Link = view.StartBadge("accepted"), "Directory groups sync started for Contoso.", &view.Link{Label: "Run 4721", Href: "?"}
	p.Rows[1].Badge, p.Rows[1].Text, p.Rows[1].Link = view.StartBadge("scope_busy"), "Contoso's connection is busy.", &view.Link{Label: "Run 4721", Href: "?"}
	p.Rows[1].Offer = &view.Button{Label: "Start when free", Icon: "hourglass", Post: true, Href: "?"}
	p.Sums = view.CountBadges(p.Rows)
	return p
}
