/*
 * The ring of finished spans: written by one thread at a time (who holds the interpreter's lock, or
 * ours where there is none: free.h), read by one exporter without it. Also the encoder, because draining is
 * encoding. No Python in here.
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

/*
 * Head of a ring in a shared file; docs/span-ring.md is its description for readers. What lies between
 * tail and head was published whole: a process that is killed at any moment leaves it readable.
 */
typedef struct {
  char magic[8];
  uint32_t version, header_size;
  uint64_t capacity;
  _Atomic uint64_t head, tail, dropped;
  int64_t pid;
  uint32_t owner_size, reserved; /* bytes after this struct: who forwards what, see _ring.py */
} ax_ring_file;

typedef struct {
  uint8_t *data;
  uint64_t capacity; /* a power of two */
  _Atomic uint64_t head, tail;
  _Atomic uint64_t freed;    /* what may be overwritten: tail, or in a file what was committed */
  _Atomic uint64_t consumed; /* records */
  _Atomic uint64_t produced, dropped;
  ax_ring_file *file; /* NULL where the ring is private memory */
  int fd;
} ax_ring;

#define AX_RING_HEADER (16 * 1024)
#define AX_RING_OWNER_MAX (AX_RING_HEADER - sizeof(ax_ring_file))

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
/* In a new file of mode 0600, locked while its process lives. 0 = errno says why; nothing is left. */
int ax_ring_open_file(ax_ring *ring, const char *path, uint64_t capacity, const void *owner,
                      uint32_t owner_size);
/* The file, if there is one, stays where it is. */
void ax_ring_close(ax_ring *ring);
/* What was drained has arrived, or was given up: its place in the file may be used again. */
void ax_ring_commit(ax_ring *ring);
void ax_ring_reset(ax_ring *ring);

/*
 * Copies a record in; its size fields say how long the four parts are. Returns how many wait then,
 * this one included; 0 = full, dropped.
 */
uint64_t ax_ring_put(ax_ring *ring, ax_record *record, const void *name, const void *state,
                const void *message, const void *arena);

/*
 * Encodes records, oldest first, as `spans` fields of ScopeSpans, until one does not fit. Where
 * `marks` is given it has room for `spans_max` of them; `marked` is how many were written.
 */
size_t ax_ring_drain(ax_ring *ring, uint8_t *out, size_t capacity, uint64_t spans_max,
                     uint64_t *count, ax_mark *marks, uint64_t *marked);

static inline uint64_t ax_ring_pending(ax_ring *ring) {
  uint64_t consumed = atomic_load_explicit(&ring->consumed, memory_order_relaxed);
  return atomic_load_explicit(&ring->produced, memory_order_relaxed) - consumed;
}

#endif
