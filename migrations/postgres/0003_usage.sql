-- What a tenant used per hour. Derived from ClickHouse (spans, FINAL) and replaced, never added to,
-- so a span that is sent again counts once. `bytes` is counted at the door and is what limits use.
CREATE TABLE usage_hourly (
    tenant_id text NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    hour timestamptz NOT NULL,
    spans bigint NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    gpu_seconds double precision NOT NULL,
    settled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, hour)
);
CREATE TABLE intake_hourly (
    tenant_id text NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    hour timestamptz NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (tenant_id, hour)
);
