-- A device that was lost and is there again.
ALTER TABLE {{alter:gpu_events}}
    MODIFY COLUMN kind Enum8('xid' = 1, 'ecc' = 2, 'throttle' = 3, 'mig' = 4, 'lost' = 5, 'recovered' = 6)
