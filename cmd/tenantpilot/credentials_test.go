package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"tenantpilot/cmd/tenantpilot/internal/graph/graphsim"
	"tenantpilot/commands"
	"tenantpilot/domain"
	"tenantpilot/eventstore"
)

// kinds signs in with each kind of credential, set over HTTP, and shows that each is used for what it is and in place of no other. It is a
// part of TestNoSecretIsAnywhere, which then looks for the keys, tokens and secrets.
func (s *session) kinds(sim *graphsim.Server, workspace uuid.UUID) {
	t := s.t
	t.Helper()
	withKey, trusted, err := graphsim.NewCertificate(time.Now().Add(50 * 24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	ended, _, err := graphsim.NewCertificate(time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, pem := range []string{withKey, ended} {
		_, key, _ := strings.Cut(pem, "-----BEGIN PRIVATE KEY-----\n")
		s.plant("private key", strings.Split(key, "\n")[3:6]...)
	}
	directory, app := s.directory(workspace, "Kinds"), uuid.NewString()
	sim.AddTenant(graphsim.Tenant{ID: directory.String(), Name: "Kinds", AppID: app, Secret: drawn("unused"), Certificate: trusted, Subject: "workers"})
	connection := s.connection(directory, "dedicated", app)

	// A certificate says by itself when it ends.
	in := func(days int) string { return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }
	for _, tc := range []struct{ pem, expires, says string }{
		{ended, "", "This certificate ended on "},
		{withKey, in(51), "The certificate is known to end on "},
		{strings.Split(withKey, "-----BEGIN PRIVATE")[0], "", "no certificate with its private key"},
	} {
		sent := url.Values{"kind": {"certificate"}, "secret": {tc.pem}, "expiresAt": {tc.expires}}
		if status, text := s.do("POST certificate", "POST", connection+"/credential", sent); status != http.StatusUnprocessableEntity || !strings.Contains(text, tc.says) {
			t.Errorf("a certificate until %q: %d, want %q in %.900s", tc.expires, status, tc.says, text)
		}
	}
	for _, expires := range []string{in(20), ""} {
		want := expires
		if want == "" {
			want = trusted.NotAfter.UTC().Format(time.DateOnly)
		}
		s.rotate(connection, map[string]string{"kind": "certificate", "secret": withKey, "expiresAt": expires})
		if got := s.now(connection).Credential; got.Kind != "certificate" || got.ExpiresAt.UTC().Format(time.DateOnly) != want {
			t.Errorf("set with %q: %+v, want it to end on %s", expires, got, want)
		}
	}
	s.checked(directory, connection, "healthy", "")

	// A federated credential is what the token file has at the moment.
	s.rotate(connection, map[string]string{"kind": "federated"})
	s.checked(directory, connection, "blocked", "provider_credential_missing")
	token := graphsim.NewAssertion("workers", time.Now().Add(time.Hour))
	s.plant("federated token", token, token[strings.Index(token, ".")+1:], token[strings.LastIndex(token, ".")+1:])
	if err := os.WriteFile(s.app.options.tokenFile, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.checked(directory, connection, "healthy", "")
	if status, text := s.program("POST credential, refused", "POST", connection+"/credential", `{"kind":"platform"}`); status != http.StatusBadRequest || !strings.Contains(text, "not_the_platforms_app") {
		t.Errorf("the platform's credential for another's application: %d %s", status, text)
	}

	// The platform's own connection needs no credential of its own; one that it has, and that is of no use, is not replaced by the platform's.
	directory = s.directory(workspace, "Platform")
	sim.AddTenant(graphsim.Tenant{ID: directory.String(), Name: "Platform", AppID: s.app.options.platformApp, Secret: s.secrets["platform secret"][0]})
	connection = s.connection(directory, "platform", "")
	s.checked(directory, connection, "healthy", "")
	wrong := drawn("wrong")
	s.plant("client secret", wrong)
	s.rotate(connection, map[string]string{"kind": "secret", "secret": wrong})
	s.checked(directory, connection, "blocked", "provider_credential_invalid")
	if _, err := s.app.pool.Exec(t.Context(), `delete from provider_credentials where connection = $1`, connectionNumber(t, connection)); err != nil {
		t.Fatal(err)
	}
	s.checked(directory, connection, "blocked", "provider_credential_missing")
	s.rotate(connection, map[string]string{"kind": "platform"})
	s.checked(directory, connection, "healthy", "")
}

func connectionNumber(t interface{ Fatalf(string, ...any) }, connection string) (n int64) {
	if _, err := fmt.Sscanf(connection, "/admin/provider-connections/%d", &n); err != nil {
		t.Fatalf("%s: %v", connection, err)
	}
	return n
}

// directory registers a tenant of its own.
func (s *session) directory(workspace uuid.UUID, name string) uuid.UUID {
	s.t.Helper()
	id := uuid.New()
	_, err := s.app.commands.RegisterTenant(s.t.Context(), commands.RegisterTenant{
		Actor: domain.SystemActor(workspace), ExternalID: id, Name: name, Domain: strings.ToLower(name) + ".example",
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

var createdConnection = regexp.MustCompile(`/admin/provider-connections/(\d+)`)

// connection creates one and returns its path.
func (s *session) connection(directory uuid.UUID, kind, app string) string {
	s.t.Helper()
	_, text := s.program("POST connections", "POST", "/admin/provider-connections",
		fmt.Sprintf(`{"tenant":%q,"displayName":"Kinds","connectionType":%q,"appId":%q}`, directory, kind, app))
	path := createdConnection.FindString(text)
	if path == "" {
		s.t.Fatalf("no connection: %s", text)
	}
	return path
}

func (s *session) rotate(connection string, body map[string]string) {
	s.t.Helper()
	sent, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	if status, text := s.program("POST credential", "POST", connection+"/credential", string(sent)); status != http.StatusOK {
		s.t.Fatalf("rotate to %s: %s", body["kind"], text)
	}
}

func (s *session) now(connection string) domain.ProviderConnection {
	s.t.Helper()
	c, _, err := eventstore.Current[domain.ProviderConnection](s.t.Context(), s.app.store, domain.ConnectionStream(connectionNumber(s.t, connection)))
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// checked checks a tenant's connection and compares what was found.
func (s *session) checked(directory uuid.UUID, connection, want, reason string) {
	s.t.Helper()
	run, _ := s.start(directory, "provider.connection.check", `{"targetContext":{"reconsent":true}}`)
	if c := s.now(connection); string(c.Verification) != want || string(c.VerificationReason) != reason {
		s.t.Errorf("run %s found %s %q with the credential %+v, want %s %q", run, c.Verification, c.VerificationReason, c.Credential, want, reason)
	}
}
