// Package page is the console as HTML: the values of package view, shown by
// templ components. A component shows what its value says and looks nothing up.
//
// Components named ...Page are whole documents. The others are parts of one;
// those with a fixed element id can be sent again while the page is open.
//
// # Fragments
//
// A request with the header HX-Request comes from a form or link inside a
// page. The start form and its outcome live in the element "start-body", on
// the page of their own as in the dialog; answer such a request with StartBody,
// OutcomeBody or ProblemBody, which replace it. Status 422 is swapped as well.
// For a request that needs a sign-in answer with HX-Redirect, not with 302, or
// the sign-in page ends up inside the dialog.
//
// # Live updates
//
// A page with Shell.LiveHref opens one event stream (htmx's hx-sse extension,
// fetch based). Each message is an unnamed server-sent event whose data is any
// number of partials:
//
//	id: 48213
//	data: <hx-partial hx-target="#run-4711" hx-swap="outerMorph"><tr id="run-4711">…</tr></hx-partial>
//	data: <hx-partial hx-target="#counters" hx-swap="outerMorph">…</hx-partial>
//	data: <title>Done: inventory sync for Contoso</title>
//
// Partial makes one such element, Remove one that takes its target away, and
// WriteEvent frames them. The rules behind it, read from htmx 4.0.1:
//
//   - The data must consist of hx-partial elements and, if wanted, a title;
//     anything else is ignored because the stream element swaps nothing itself.
//   - No white space may stand between the tags of a partial and its content:
//     an outer morph would add those text nodes to the table on every update.
//     Partial takes care of that for components that have one root element.
//   - A target that is not on the page is skipped silently, so the server may
//     send a row that only some tabs show.
//   - A morph keeps focus, scroll position, open details and open popovers. It
//     matches by id, so the root of a partial carries the id of its target.
//   - id becomes Last-Event-ID of the next connection, after a lost one as
//     after a tab that was hidden. A paused page stops reading; nothing is
//     dropped, and the connection may meanwhile end by the server's deadline.
//   - A line starting with a colon keeps the connection alive. A named event
//     is not swapped: "end" closes the stream for good, "toast" shows its data
//     as a short note. An answer with status 204 also ends the stream.
//   - New rows are never inserted; NewRows says how many there are.
package page
