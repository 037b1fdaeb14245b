-- How a span was joined to its devices: what it may have run on where that is not certain, why it is
-- not, and the evidence in words. `gpu_devices` and `gpu_level` stand beside them since 0001.
ALTER TABLE {{alter:spans}}
    ADD COLUMN IF NOT EXISTS gpu_candidates Array(LowCardinality(String)) AFTER gpu_level,
    ADD COLUMN IF NOT EXISTS gpu_reason LowCardinality(String) AFTER gpu_candidates,
    ADD COLUMN IF NOT EXISTS gpu_evidence Array(LowCardinality(String)) AFTER gpu_reason
