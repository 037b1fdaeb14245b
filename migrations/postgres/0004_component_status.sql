-- Heartbeat of each running process of ours: what the System page shows of parts it cannot call.
CREATE TABLE component_status (
    component text NOT NULL,
    instance text NOT NULL,
    version text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    status jsonb NOT NULL,
    PRIMARY KEY (component, instance)
);
