package reconcile

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// What the agent does beyond looking at its cache. In a quiet cluster only
// queriesTotal grows, and fullChecksTotal and buildsTotal once per full check.
var (
	queriesTotal = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "fluxover_git_queries_total", Help: "Queries for a reference sent to Git servers."})
	fetchesTotal = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "fluxover_git_fetches_total", Help: "Trees asked of the store; those it has are not fetched again."})
	buildsTotal = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "fluxover_builds_total", Help: "Renderings of Kustomizations."})
	fullChecksTotal = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "fluxover_full_checks_total", Help: "Full checks that found nothing to do."})
	driftsTotal = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "fluxover_drifts_total", Help: "Drift seen by a watch."})
)

// registerMetrics adds the counters to those that controller-runtime serves.
// Doing so again is harmless.
func registerMetrics() error {
	for _, counter := range []prometheus.Counter{queriesTotal, fetchesTotal, buildsTotal, fullChecksTotal, driftsTotal} {
		if err := metrics.Registry.Register(counter); err != nil {
			if _, registered := err.(prometheus.AlreadyRegisteredError); !registered {
				return err
			}
		}
	}
	return nil
}
