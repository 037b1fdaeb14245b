// Modules that carry the CRDs of others: the chart's routes and monitors are applied against them.
module axonize.io/foreign-crds

go 1.25.0

require (
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.5.1
)
