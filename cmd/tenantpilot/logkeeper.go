package main

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tenantpilot/eventstore"
)

func newKeeper(store *eventstore.Store, o options) *eventstore.TreeKeeper {
	cfg := eventstore.TreeConfig{Log: o.log}
	if o.logKey != nil { // not a nil key in a non-nil interface
		cfg.Signer = o.logKey
	}
	return eventstore.NewTreeKeeper(store, cfg)
}

// registerLogMetrics shows what the tree keeper sees. An alarm belongs on order faults and forks above zero, and on a head that stays behind.
func registerLogMetrics(registry *prometheus.Registry, keeper *eventstore.TreeKeeper) error {
	for name, g := range map[string]struct {
		help string
		of   func(eventstore.TreeStatus) float64
	}{
		"tenantpilot_log_position":           {"Events in the log.", func(s eventstore.TreeStatus) float64 { return float64(s.Log) }},
		"tenantpilot_log_tiled_position":     {"Events in complete tiles of the tree.", func(s eventstore.TreeStatus) float64 { return float64(s.Tiled) }},
		"tenantpilot_log_head_position":      {"Events under the newest signed head.", func(s eventstore.TreeStatus) float64 { return float64(s.Head) }},
		"tenantpilot_log_unsigned_seconds":   {"Age of the newest signed head while newer events wait for one; 0 when none do.", unsigned},
		"tenantpilot_log_order_checked":      {"Position up to which this process has checked the order of the log.", func(s eventstore.TreeStatus) float64 { return float64(max(s.OrderTo, 0)) }},
		"tenantpilot_log_order_faults_total": {"Events found out of order. Anything but 0 is a bug or tampering.", func(s eventstore.TreeStatus) float64 { return float64(s.OrderFaults) }},
		"tenantpilot_log_forked":             {"1 when the log is no longer the one that was signed.", func(s eventstore.TreeStatus) float64 { return one(s.Forked) }},
	} {
		read := func() float64 { return g.of(keeper.Status()) }
		if err := registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: g.help}, read)); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

// logAlarm words what this process has found wrong with the log.
func logAlarm(s eventstore.TreeStatus) string {
	switch {
	case s.Forked:
		return fmt.Sprintf("The log is no longer the one that was signed up to position %d: history was changed below this program. "+
			"Stop it, keep the database as it is, and compare with `tenantpilot audit verify`.", s.Head)
	case s.OrderFaults > 0:
		return fmt.Sprintf("%d events up to position %d are out of order. `tenantpilot audit check-order` names them.", s.OrderFaults, s.OrderTo)
	}
	return ""
}

func unsigned(s eventstore.TreeStatus) float64 {
	if s.Log == s.Head || s.HeadAt.IsZero() {
		return 0
	}
	return max(0, time.Since(s.HeadAt).Seconds())
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
