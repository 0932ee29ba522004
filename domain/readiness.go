package domain

import "time"

// Readiness is the gate's answer for one operation, as it would be now.
type Readiness struct {
	Operation Operation
	Decision
}

// ReadinessOf asks the gate about every operation of the catalogue that needs no input of its own, on one situation: what a start with the
// default inputs would be answered. It is the same Start that decides; nothing is recorded. How good the answer is depends on how fresh the
// situation is.
func ReadinessOf(s Situation, at time.Time) []Readiness {
	var all []Readiness
	for _, o := range Catalogue() {
		inputs, err := o.Resolve(nil)
		if err != nil {
			continue // which object it is about decides too
		}
		all = append(all, Readiness{Operation: o, Decision: Start(s, Attempt{At: at, Operation: o, Inputs: inputs})})
	}
	return all
}
