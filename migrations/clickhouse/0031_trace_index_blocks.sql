-- As for spans: a page looks fifty ids up in fifty places.
ALTER TABLE {{local:trace_index}} MODIFY SETTING min_compress_block_size = 4096
