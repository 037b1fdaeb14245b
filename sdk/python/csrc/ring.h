/*
 * The ring of finished spans: written by the threads that hold the interpreter's lock, read by one
 * exporter without it. Also the encoder, because draining is encoding. No Python in here.
 *
 * Positions only grow; one release store of `head` publishes a record. A record never wraps: where
 * it does not fit before the end, a pad record fills the rest. Full = counted and dropped.
 */
#ifndef AXONIZE_RING_H
#define AXONIZE_RING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint32_t size; /* whole record, a multiple of 16 */
  uint32_t pad;  /* 1: nothing but the rest of the buffer */
  uint32_t name_size, state_size, message_size, arena_size;
  uint8_t trace[16], id[8], parent[8];
  int64_t start, end; /* ns since 1970 */
  uint64_t gpus;      /* a bit per device ordinal */
  uint32_t dropped_attributes, dropped_events;
  uint8_t kind, status, has_parent, remote;
  uint8_t reserved[4];
} ax_record;

typedef struct {
  uint8_t *data;
  uint64_t capacity; /* a power of two */
  _Atomic uint64_t head, tail;
  _Atomic uint64_t consumed; /* records */
  uint64_t produced, dropped;
} ax_ring;

/* Where an encoded span that names devices lies in what a drain wrote: the exporter adds readings. */
typedef struct {
  uint32_t at, lead, size, reserved; /* lead: tag and length before `size` bytes of Span */
  int64_t start, end;
  uint64_t gpus;
} ax_mark;

/* What no record can exceed: arena, name, tracestate, message and the header. */
#define AX_RECORD_MAX (72 * 1024)
#define AX_RING_MIN (256 * 1024)
#define AX_RING_MAX (1024 * 1024 * 1024)

int ax_ring_open(ax_ring *ring, uint64_t capacity);
void ax_ring_close(ax_ring *ring);
void ax_ring_reset(ax_ring *ring);

/* Copies a record in; its size fields say how long the four parts are. 0 = full, dropped. */
int ax_ring_put(ax_ring *ring, ax_record *record, const void *name, const void *state,
                const void *message, const void *arena);

/*
 * Encodes records, oldest first, as `spans` fields of ScopeSpans, until one does not fit. Where
 * `marks` is given it has room for `spans_max` of them; `marked` is how many were written.
 */
size_t ax_ring_drain(ax_ring *ring, uint8_t *out, size_t capacity, uint64_t spans_max,
                     uint64_t *count, ax_mark *marks, uint64_t *marked);

static inline uint64_t ax_ring_pending(ax_ring *ring) {
  return ring->produced - atomic_load_explicit(&ring->consumed, memory_order_relaxed);
}

#endif
