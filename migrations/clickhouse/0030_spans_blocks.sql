-- A block of every column ends with a granule or two instead of at 64 KiB: a list's page reads fifty
-- traces from fifty places, and unpacks what it reads. Costs 1.7 % of wide parts; compact parts have
-- such blocks already. Parts that exist take them on when they merge.
ALTER TABLE {{local:spans}} MODIFY SETTING min_compress_block_size = 4096
