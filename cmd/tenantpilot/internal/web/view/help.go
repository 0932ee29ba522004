package view

// Term is a word of the console with what it means.
type Term struct{ Word, Means string }

// Glossary is the words that every page uses: the four answers to a start, and the three axes of a connection.
var Glossary = []Term{
	{"Accepted", "The start became a run. A worker executes it."},
	{"Joined", "A run of the same work was under way: the start joined it, and nothing was started twice."},
	{"Busy", "Other work holds the connection. Start again when that has ended, or wait for it."},
	{"Blocked", "Something has to be put right first. The answer names it and leads there."},
	{"Lifecycle", "Whether the connection may be used: enabled or disabled, by you."},
	{"Consent", "What the customer's administrator has said to the application."},
	{"Verification", "What the last check found: whether the provider answers and grants what is needed."},
}

// Diagnostics is what somebody who reports a problem can copy: the version, the page, and the request, which the log knows. Nothing of it is
// secret.
func (s Shell) Diagnostics() string {
	return "TenantPilot " + s.Version + "\npage " + s.Path + "\nrequest " + s.RequestID
}
