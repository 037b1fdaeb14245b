/**
 * Prometheus metrics. Each room declares its own in a `metrics.ts` beside the code that moves them;
 * all of a process share one registry, served at `/metrics`. docs/metrics.md is generated from it.
 *
 * Names: `axonize_<service>_<noun>_<unit|total>`; labels come from closed unions.
 */
import { Registry } from "prom-client";

export { Counter, Gauge, Histogram, Registry } from "prom-client";

export const createRegistry = (): Registry => new Registry();
