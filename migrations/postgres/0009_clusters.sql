-- Which Kubernetes cluster writes under which name (`clusterName` of the chart; empty where there is one).
-- Bindings, pools and identity are kept by that name: two clusters of one name would take each other's. The
-- first to write has it; a cluster that was not heard of for half an hour gives it up.
CREATE TABLE clusters (
    name text PRIMARY KEY,
    -- Of the namespace kube-system.
    cluster_uid text NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    -- Told every few minutes by its operator.
    seen_at timestamptz NOT NULL DEFAULT now()
);
