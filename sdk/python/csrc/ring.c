/* See ring.h. */
#define _DEFAULT_SOURCE /* flock, O_NOFOLLOW, posix_fallocate beside C11 */
#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "wire.h"

_Static_assert(sizeof(ax_record) == 96, "the header has no holes that would be copied uninitialised");

_Static_assert(sizeof(ax_ring_file) == 64, "readers in other languages know these offsets");

static inline void count_one(_Atomic uint64_t *counter) {
  uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);
  atomic_store_explicit(counter, before + 1, memory_order_relaxed);
}

static uint64_t rounded(uint64_t capacity) {
  uint64_t size = AX_RING_MIN;
  while (size < capacity && size < AX_RING_MAX) size *= 2;
  return size;
}

int ax_ring_open(ax_ring *ring, uint64_t capacity) {
  uint64_t size = rounded(capacity);
  /* Untouched pages cost nothing: the kernel hands them out when they are written. */
  uint8_t *data = malloc(size);
  if (!data) return 0;
  ring->data = data;
  ring->capacity = size;
  ring->file = NULL;
  ax_ring_reset(ring);
  return 1;
}

/* Every block is reserved before it is mapped: writing into a hole of a full disk would kill us. */
static ax_ring_file *map_file(int fd, uint64_t size) {
#ifdef __linux__
  int failed = flock(fd, LOCK_EX | LOCK_NB) ? errno : posix_fallocate(fd, 0, (off_t)size);
#else
  int failed = fd < 0 || !size ? EINVAL : ENOTSUP; /* no call that reserves blocks for certain */
#endif
  if (failed) {
    errno = failed;
    return NULL;
  }
  void *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return mapped == MAP_FAILED ? NULL : mapped;
}

int ax_ring_open_file(ax_ring *ring, const char *path, uint64_t capacity, const void *owner,
                      uint32_t owner_size) {
  uint64_t size = rounded(capacity);
  if (owner_size > AX_RING_OWNER_MAX) {
    errno = E2BIG;
    return 0;
  }
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return 0;
  ax_ring_file *file = map_file(fd, AX_RING_HEADER + size);
  if (!file) {
    int why = errno;
    unlink(path);
    close(fd);
    errno = why;
    return 0;
  }
  ring->data = (uint8_t *)file + AX_RING_HEADER;
  ring->capacity = size;
  ring->file = file;
  ring->fd = fd;
  ax_ring_reset(ring);
  file->version = 1;
  file->header_size = AX_RING_HEADER;
  file->capacity = size;
  file->pid = (int64_t)getpid();
  file->owner_size = owner_size;
  ax_put_bytes((uint8_t *)(file + 1), owner, owner_size);
  /* Last: a file without it is not read. */
  atomic_thread_fence(memory_order_release);
  memcpy(file->magic, "AXRING1", 8);
  return 1;
}

void ax_ring_close(ax_ring *ring) {
  if (ring->file) {
    munmap(ring->file, AX_RING_HEADER + ring->capacity);
    close(ring->fd);
  } else {
    free(ring->data);
  }
  ring->data = NULL;
  ring->file = NULL;
  ring->capacity = 0;
}

void ax_ring_commit(ax_ring *ring) {
  uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
  if (ring->file) atomic_store_explicit(&ring->file->tail, tail, memory_order_release);
  atomic_store_explicit(&ring->freed, tail, memory_order_release);
}

void ax_ring_reset(ax_ring *ring) {
  atomic_store(&ring->head, 0);
  atomic_store(&ring->tail, 0);
  atomic_store(&ring->freed, 0);
  atomic_store(&ring->consumed, 0);
  atomic_store(&ring->produced, 0);
  atomic_store(&ring->dropped, 0);
}

uint64_t ax_ring_put(ax_ring *ring, ax_record *record, const void *name, const void *state,
                     const void *message, const void *arena) {
  if (!ring->data) return 0; /* between a fork and the child's own ring */
  uint64_t size = sizeof *record + (uint64_t)record->name_size + record->state_size +
                  record->message_size + record->arena_size;
  size = (size + 15) & ~(uint64_t)15;
  uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
  uint64_t tail = atomic_load_explicit(&ring->freed, memory_order_acquire);
  uint64_t at = head & (ring->capacity - 1), rest = ring->capacity - at;
  uint64_t skip = size > rest ? rest : 0;
  if (size > AX_RECORD_MAX || head - tail + skip + size > ring->capacity) {
    count_one(&ring->dropped);
    uint64_t dropped = atomic_load_explicit(&ring->dropped, memory_order_relaxed);
    if (ring->file) atomic_store_explicit(&ring->file->dropped, dropped, memory_order_relaxed);
    return 0;
  }
  if (skip) {
    uint32_t pad[2] = {(uint32_t)rest, 1};
    memcpy(ring->data + at, pad, sizeof pad);
    at = 0;
  }
  record->size = (uint32_t)size;
  record->pad = 0;
  uint8_t *out = ax_put_bytes(ring->data + at, record, sizeof *record);
  out = ax_put_bytes(out, name, record->name_size);
  out = ax_put_bytes(out, state, record->state_size);
  out = ax_put_bytes(out, message, record->message_size);
  ax_put_bytes(out, arena, record->arena_size);
  count_one(&ring->produced);
  atomic_store_explicit(&ring->head, head + skip + size, memory_order_release);
  if (ring->file) atomic_store_explicit(&ring->file->head, head + skip + size, memory_order_release);
  uint64_t waiting = ax_ring_pending(ring);
  return waiting ? waiting : 1; /* already taken, by a reader that is quick */
}

static uint32_t status_size(const ax_record *record) {
  if (!record->status) return 0;
  return (record->message_size ? ax_field_size(record->message_size) : 0) + 2;
}

static uint32_t span_size(const ax_record *record) {
  uint32_t size = 18 + 10 + (record->has_parent ? 10 : 0);
  if (record->state_size) size += ax_field_size(record->state_size);
  size += ax_field_size(record->name_size) + 2 + 9 + 9 + record->arena_size;
  if (record->dropped_attributes) size += 1 + ax_varint_size(record->dropped_attributes);
  if (record->dropped_events) size += 1 + ax_varint_size(record->dropped_events);
  if (record->status) size += ax_field_size(status_size(record));
  return size + 6;
}

static uint8_t *put_span(uint8_t *out, const ax_record *record, const uint8_t *body) {
  const uint8_t *name = body, *state = name + record->name_size;
  const uint8_t *message = state + record->state_size, *arena = message + record->message_size;
  out = ax_put_field(out, 0x0a, record->trace, 16);
  out = ax_put_field(out, 0x12, record->id, 8);
  if (record->state_size) out = ax_put_field(out, 0x1a, state, record->state_size);
  if (record->has_parent) out = ax_put_field(out, 0x22, record->parent, 8);
  out = ax_put_field(out, 0x2a, name, record->name_size);
  *out++ = 0x30;
  *out++ = record->kind;
  *out++ = 0x39;
  out = ax_put_fixed64(out, (uint64_t)record->start);
  *out++ = 0x41;
  out = ax_put_fixed64(out, (uint64_t)record->end);
  out = ax_put_bytes(out, arena, record->arena_size);
  if (record->dropped_attributes) {
    *out++ = 0x50;
    out = ax_put_varint(out, record->dropped_attributes);
  }
  if (record->dropped_events) {
    *out++ = 0x60;
    out = ax_put_varint(out, record->dropped_events);
  }
  if (record->status) {
    *out++ = 0x7a;
    out = ax_put_varint(out, status_size(record));
    if (record->message_size) out = ax_put_field(out, 0x12, message, record->message_size);
    *out++ = 0x18;
    *out++ = record->status;
  }
  /* Field 16: sampled, and whether the parent is known to be remote. */
  *out++ = 0x85;
  *out++ = 0x01;
  return ax_put_fixed32(out, record->remote ? 0x301 : 0x101);
}

size_t ax_ring_drain(ax_ring *ring, uint8_t *out, size_t capacity, uint64_t spans_max,
                     uint64_t *count, ax_mark *marks, uint64_t *marked) {
  uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
  uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
  uint8_t *at = out;
  *count = *marked = 0;
  while (tail != head && *count < spans_max) {
    const uint8_t *place = ring->data + (tail & (ring->capacity - 1));
    uint32_t lead[2];
    memcpy(lead, place, sizeof lead);
    if (!lead[1]) {
      ax_record record;
      memcpy(&record, place, sizeof record);
      uint32_t size = span_size(&record);
      if (ax_field_size(size) > capacity - (size_t)(at - out)) break;
      uint8_t *begin = at;
      *at++ = 0x12;
      at = ax_put_varint(at, size);
      if (marks && record.gpus) {
        marks[(*marked)++] = (ax_mark){(uint32_t)(begin - out), (uint32_t)(at - begin), size, 0,
                                       record.start, record.end, record.gpus};
      }
      at = put_span(at, &record, place + sizeof record);
      ++*count;
    }
    tail += lead[0];
  }
  atomic_store_explicit(&ring->tail, tail, memory_order_release);
  if (!ring->file) atomic_store_explicit(&ring->freed, tail, memory_order_release);
  atomic_fetch_add_explicit(&ring->consumed, *count, memory_order_relaxed);
  return (size_t)(at - out);
}
