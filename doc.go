// Package tenantpilot is the map of this repository; it has no code.
//
// TenantPilot runs operations against Microsoft 365 tenants on behalf of the people who look after them. Everything that
// happens is an event in one append-only log, and everything shown is derived from that log.
//
// The folders at the root say what the product is. The folders below the command say what it is made with: web pages,
// Microsoft Graph, workers, sign-in. The compiler lets nobody outside the command import those, so the core cannot come
// to depend on them; who may import whom beyond that is a table in imports_test.go.
//
//	domain                                     what is true and what may happen: decisions as functions of their arguments
//	commands                                   carrying out one request: load the state, decide, append
//	eventstore                                 the log: append, order, follow, prove
//	projections                                tables made from the log, and the queries on them
//	migrations                                 the database schema
//	migrations/pgembed                         a private Postgres for the demo and the tests
//	migrations/pgtest                          a database of its own for each test
//	cmd/internal/evidence                      proofs about the log, made and checked without a database
//	cmd/tpverify                               an auditor's program: checks evidence offline
//	cmd/tenantpilot                            the program: wiring, and one file for each subcommand
//	cmd/tenantpilot/internal/auth              who is asking: sign-in, sessions, API tokens
//	cmd/tenantpilot/internal/auth/idptest      an identity provider over real HTTP, for tests
//	cmd/tenantpilot/internal/browsertest       a real browser for tests
//	cmd/tenantpilot/internal/client            a running console, as the command line asks it: HTTP with a token
//	cmd/tenantpilot/internal/consent           links that ask a customer for consent: one answer each, to the session that asked
//	cmd/tenantpilot/internal/graph             the only code that talks to Microsoft
//	cmd/tenantpilot/internal/graph/graphsim    a simulated Microsoft Graph over real HTTP: demo, tests, training
//	cmd/tenantpilot/internal/narrate           what happened, in sentences, for the console and the command line
//	cmd/tenantpilot/internal/secrets           the credentials of connections, sealed
//	cmd/tenantpilot/internal/web               routes and handlers; each route answers as a page and as JSON
//	cmd/tenantpilot/internal/web/page          templates: views as HTML
//	cmd/tenantpilot/internal/web/static        stylesheets, scripts and icons, served from the binary
//	cmd/tenantpilot/internal/web/view          what a page says, as values
//	cmd/tenantpilot/internal/worker            claim a run, check again, execute it, record what came of it
//
// A request goes down this list and comes back by the return value: web asks auth who it is and hands the intent to
// commands; commands load a stream from eventstore and let domain decide; the events are appended in one transaction.
// Later, and only from the log, projections move the tables that web reads and worker claims from. The worker asks
// domain the same question again, calls graph outside any transaction, and records the answer through commands.
//
// Start reading with domain, then commands, then eventstore. "make demo" shows the whole of it running; "make test"
// checks it, this list included.
package tenantpilot
