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

// Obstacle is what keeps every operation but a check from starting on a situation, whatever the operation needs: the gate's decision on one that
// reads and needs no permission, were the connection free. It is accepted where there is none; what then starts is a matter of permissions
// (Severity). Up to rule 5 it is in the way of a check too.
func Obstacle(s Situation, at time.Time) Decision {
	s.Connection.Scope = ScopeHolder{}
	return Start(s, Attempt{At: at})
}
