package view

import (
	"time"

	"tenantpilot/domain"
)

// OnboardingsHref is the list of onboardings, where the wizard begins.
const OnboardingsHref = "/admin/onboarding"

// NewOnboardingHref is the wizard's first step, for a directory if one is known.
func NewOnboardingHref(external string) string {
	if external == "" {
		return OnboardingsHref + "/new"
	}
	return OnboardingsHref + "/new?directory=" + external
}

// OnboardingHref is a session; people get the wizard at the step that is due.
func OnboardingHref(number int64) string { return OnboardingsHref + "/" + Number(number) }

// OnboardingStepHref is the wizard at a step of a session.
func OnboardingStepHref(number int64, step domain.OnboardingStep) string {
	return OnboardingHref(number) + "?step=" + string(step)
}

// OnboardingActionHref is where a step's form is sent.
func OnboardingActionHref(number int64, action string) string {
	return OnboardingHref(number) + "/" + action
}

// The steps as pages name them. StepFinish is the page after the five.
const (
	StepIdentify   = domain.StepIdentify
	StepConnection = domain.StepConnection
	StepConsented  = domain.StepConsented
	StepVerified   = domain.StepVerified
	StepBootstrap  = domain.StepBootstrap
	StepFinish     = domain.OnboardingStep("finish")
)

// OnboardingList is the list of onboardings: those that go on, and the ended ones.
type OnboardingList struct {
	Now   time.Time
	New   *Button
	Open  []OnboardingLine
	Ended []OnboardingLine
	Empty *Empty
}

// OnboardingLine is one session of the list.
type OnboardingLine struct {
	Number    int64
	Name      string
	Domain    string
	Directory string
	Href      string
	Badge     Badge  // of the step that is due, or how it ended
	Step      string // the name of the step, or the reason of an end
	Owner     string
	Began     time.Time
	Button    Button
}

// OnboardingIdentify is the form of the first step.
type OnboardingIdentify struct {
	Now                             time.Time
	Title                           string
	Steps                           []OnboardingStepLine
	Directory, Name, Domain, Groups string
	Errors                          []FieldError
	// Known is said when the directory is managed or being onboarded already.
	Known *KnownDirectory
}

// KnownDirectory is what is known about a directory that somebody wants to onboard.
type KnownDirectory struct {
	Text    string
	At      time.Time // since when; zero says nothing
	Buttons []Button
	// Anyway offers to go on in spite of it, with the form's input.
	Anyway string
}

// Onboarding is one session of the wizard, at one of its steps.
type Onboarding struct {
	Now       time.Time
	Number    int64
	Tenant    Link
	Directory string
	Owner     string
	Badge     Badge
	Began     time.Time
	Steps     []OnboardingStepLine
	// Step is the one that is shown, Title its number and name, Lead what it is for.
	Step  domain.OnboardingStep
	Title string
	Lead  string
	// Locked says what has to be done first; nil where the step can be worked on.
	Locked *Link
	// May says whether the viewer can do the steps: the owner of a session that goes on.
	May bool
	// Notices stand above the step; Buttons are about the session.
	Notices  []Notice
	TakeOver *Button
	Abandon  *OnboardingReason
	Errors   []FieldError
	// Outcome is what became of the start that was just asked for.
	Outcome *StartOutcome
	// Continue leads to the next step; nil while this one is not done.
	Continue *Button
	Back     *Link

	Identify   []Fact
	Connection *OnboardingConnection
	// Problem is why it is not known whether consent was given.
	Problem   *OnboardingProblem
	Consent   *Consent
	Verify    *OnboardingVerify
	Bootstrap *OnboardingBootstrap
	Finish    *OnboardingFinish
	Log       []Change
}

// OnboardingStepLine is a step in the wizard's list.
type OnboardingStepLine struct {
	Label string
	Href  string
	Badge Badge
	// Note says why a step is blocked or locked.
	Note  string
	By    string
	At    time.Time
	Shown bool
}

// OnboardingReason is a form that asks for one line of text.
type OnboardingReason struct {
	Action, Label, Help, Submit string
	Required                    bool
	Value                       string
}

// OnboardingConnection is the second step.
type OnboardingConnection struct {
	Choices []ConnectionChoice
	// Disabled are the connections that are off, by number.
	Disabled map[int64]bool
	// Action takes a choice, or a new connection, whose fields are what was entered.
	Action            string
	Name, Type, AppID string
	// Problem is what is wrong with the chosen one, and Fix mends it.
	Problem *OnboardingProblem
	Fix     *Button
	// Credential is the form of a secret that is missing.
	Credential *CredentialForm
	// Stored says what credential the chosen connection has.
	Stored string
}

// OnboardingProblem is what is in a step's way: the reason's message, its code and what to do.
type OnboardingProblem struct {
	Text  string
	Code  string
	Steps []NextStep
}

// OnboardingVerify is the fourth step.
type OnboardingVerify struct {
	Axes Axes
	// Start begins a verification; nil while one runs, when Refresh stands in its place, and for those who may not.
	Start, Refresh *Button
	// Run is the newest check.
	Run *RunRow
	// Problem is why the connection cannot be used; Degraded what is missing though it can.
	Problem     *OnboardingProblem
	Degraded    string
	Permissions PermissionTruth
}

// OnboardingBootstrap is the fifth step.
type OnboardingBootstrap struct {
	// Started are the selected operations in their order, Choices those that can be selected.
	Started []OnboardingOperation
	Choices []OnboardingChoice
	Action  string
	Fields  []Field
	// Rest takes what waits out of the queue; nil where nothing waits.
	Rest *Button
	Skip *Link
}

// OnboardingChoice is a first operation that can be selected.
type OnboardingChoice struct {
	Type, Label string
	// Status and Text are the gate's dry run of it.
	Status, Text string
	// Usually is how long it takes; empty where nobody knows.
	Usually string
	Checked bool
}

// OnboardingOperation is a selected first operation.
type OnboardingOperation struct {
	Label    string
	Badge    Badge
	Run      *Link
	Progress Progress
	// Reason says why it was passed over, or how its run ended.
	Reason string
}

// OnboardingFinish is the page at the end.
type OnboardingFinish struct {
	// Complete ends the session; nil where that is done, or is not possible yet.
	Complete *OnboardingReason
	Done     bool
	Facts    []Fact
	Next     []NextStep
	// Pending counts first operations that have not ended.
	Pending int
}
