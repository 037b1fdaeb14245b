-- Rows of GPU memory that the driver remapped or is about to; a card to be replaced shows here first.
ALTER TABLE {{alter:gpu_samples}}
    ADD COLUMN IF NOT EXISTS remapped_rows_corrected Nullable(UInt64) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS remapped_rows_uncorrected Nullable(UInt64) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS remap_pending Nullable(UInt64) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS remap_failed Nullable(UInt64) CODEC(ZSTD(1))
