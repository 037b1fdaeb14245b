-- Tenants: `id` is what people see, `num` is what ClickHouse keys hold.
CREATE TABLE tenants (
    id text PRIMARY KEY CHECK (id ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    num integer GENERATED ALWAYS AS IDENTITY UNIQUE,
    name text NOT NULL,
    capture text NOT NULL DEFAULT 'None' CHECK (capture IN ('None', 'Redacted', 'Full')),
    spans_per_second integer CHECK (spans_per_second > 0),
    bytes_per_day bigint CHECK (bytes_per_day > 0),
    retention_days integer NOT NULL DEFAULT 30 CHECK (retention_days BETWEEN 1 AND 3650),
    owner text NOT NULL DEFAULT 'api' CHECK (owner IN ('api', 'operator', 'standalone')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
