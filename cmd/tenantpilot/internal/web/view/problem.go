package view

// Problem is an error page: RFC 9457's members in words. Title and Detail never
// blame and never leak; a thing that is missing and a thing that may not be
// seen have the same text.
type Problem struct {
	Status    int
	Title     string
	Detail    string
	RequestID string
	// ReasonCode is the problem's stable code.
	ReasonCode string
	Errors     []FieldError
	// ObjectID is what was asked for, shown on a not-found page.
	ObjectID string
	// Needs is the missing capability and Ask the people who can grant it.
	Needs   string
	Ask     []string
	Actions []Button
}
