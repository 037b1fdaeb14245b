/* See arena.h. Entries are walked to find a key: with at most 128 of them a scan beats any index. */
#include "arena.h"

#include <stdlib.h>

#include "wire.h"

#define TAG_ATTRIBUTE 0x4a
#define TAG_EVENT 0x5a
#define TAG_LINK 0x6a

void ax_arena_init(ax_arena *arena) {
  arena->data = arena->fixed;
  arena->capacity = AX_ARENA_INLINE;
  arena->used = 0;
  arena->seen = 0;
  arena->dropped_attributes = arena->dropped_events = 0;
  arena->attributes = arena->events = 0;
}

void ax_arena_free(ax_arena *arena) {
  if (arena->data != arena->fixed) free(arena->data);
  arena->data = arena->fixed;
  arena->capacity = AX_ARENA_INLINE;
  arena->used = 0;
}

/* Reads a varint that this file wrote: it is complete and fits 32 bits. */
static const uint8_t *read_size(const uint8_t *at, uint32_t *size) {
  uint32_t value = 0;
  for (int shift = 0; shift < 32; shift += 7) {
    uint8_t byte = *at++;
    value |= (uint32_t)(byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  *size = value;
  return at;
}

static inline uint64_t key_bit(const char *key, uint32_t size) {
  uint32_t hash = size;
  if (size) {
    hash += (uint32_t)(uint8_t)key[0] << 8 | (uint32_t)(uint8_t)key[size / 2] << 16 |
            (uint32_t)(uint8_t)key[size - 1] << 24;
  }
  return (uint64_t)1 << (hash * 0x9e3779b1u >> 26);
}

/* The entry of a key: its offset and whole size. 0 = not there. */
static int find(const ax_arena *arena, const char *key, uint32_t key_size, uint32_t *offset,
                uint32_t *entry_size) {
  if (!(arena->seen & key_bit(key, key_size))) return 0;
  const uint8_t *at = arena->data, *end = arena->data + arena->used;
  while (at < end) {
    const uint8_t *entry = at;
    uint32_t size, found;
    at = read_size(at + 1, &size);
    if (*entry == TAG_ATTRIBUTE) {
      const uint8_t *name = read_size(at + 1, &found);
      if (found == key_size && memcmp(name, key, key_size) == 0) {
        *offset = (uint32_t)(entry - arena->data);
        *entry_size = (uint32_t)(at + size - entry);
        return 1;
      }
    }
    at += size;
  }
  return 0;
}

int ax_arena_has(const ax_arena *arena, const char *key, uint32_t key_size) {
  uint32_t offset, size;
  return find(arena, key, key_size, &offset, &size);
}

/* Room for `size` more bytes, which together with `used` must be within AX_ARENA_MAX. */
static uint8_t *reserve(ax_arena *arena, uint32_t size) {
  uint32_t wanted = arena->used + size;
  if (wanted > arena->capacity) {
    uint32_t capacity = arena->capacity;
    while (capacity < wanted) capacity *= 2;
    if (capacity > AX_ARENA_MAX) capacity = AX_ARENA_MAX;
    uint8_t *grown = arena->data == arena->fixed ? malloc(capacity) : realloc(arena->data, capacity);
    if (!grown) return NULL;
    if (arena->data == arena->fixed) memcpy(grown, arena->fixed, arena->used);
    arena->data = grown;
    arena->capacity = capacity;
  }
  return arena->data + arena->used;
}

/* Begins an entry of a KeyValue of `pair_size`: where its bytes go, or NULL when it is dropped. */
static uint8_t *begin(ax_arena *arena, const char *key, uint32_t key_size, uint32_t pair_size) {
  uint32_t entry = ax_field_size(pair_size), offset = 0, old = 0;
  int replaces = arena->attributes > 0 && find(arena, key, key_size, &offset, &old);
  int fits = entry <= AX_ARENA_MAX && arena->used - old + entry <= AX_ARENA_MAX;
  if (!fits || (!replaces && arena->attributes >= AX_ATTRIBUTES_MAX)) {
    arena->dropped_attributes++;
    return NULL;
  }
  if (replaces) {
    memmove(arena->data + offset, arena->data + offset + old, arena->used - offset - old);
    arena->used -= old;
    arena->attributes--;
  }
  uint8_t *out = reserve(arena, entry);
  if (!out) {
    arena->dropped_attributes++;
    return NULL;
  }
  arena->used += entry;
  arena->attributes++;
  arena->seen |= key_bit(key, key_size);
  *out++ = TAG_ATTRIBUTE;
  return ax_put_varint(out, pair_size);
}

/* Begins an attribute whose AnyValue has `value_size` bytes; returns where the AnyValue goes. */
static inline uint8_t *begin_value(ax_arena *arena, const char *key, uint32_t key_size,
                                   uint32_t value_size) {
  uint64_t bit = key_bit(key, key_size);
  uint32_t small = 6 + key_size + value_size;
  /* The usual attribute: a new key, lengths of one byte each, and room for it. */
  if (key_size < 64 && value_size < 58 && !(arena->seen & bit) &&
      arena->attributes < AX_ATTRIBUTES_MAX && arena->used + small <= arena->capacity) {
    uint8_t *out = arena->data + arena->used;
    arena->used += small;
    arena->attributes++;
    arena->seen |= bit;
    out[0] = TAG_ATTRIBUTE;
    out[1] = (uint8_t)(small - 2);
    out[2] = 0x0a;
    out[3] = (uint8_t)key_size;
    ax_put_bytes(out + 4, key, key_size);
    out[4 + key_size] = 0x12;
    out[5 + key_size] = (uint8_t)value_size;
    return out + 6 + key_size;
  }
  uint32_t pair = ax_field_size(key_size) + ax_field_size(value_size);
  uint8_t *out = begin(arena, key, key_size, pair);
  if (!out) return NULL;
  out = ax_put_field(out, 0x0a, key, key_size);
  *out++ = 0x12;
  return ax_put_varint(out, value_size);
}

int ax_arena_set(ax_arena *arena, const char *key, uint32_t key_size, const uint8_t *value,
                 uint32_t value_size) {
  uint8_t *out = begin_value(arena, key, key_size, value_size);
  if (!out) return 0;
  ax_put_bytes(out, value, value_size);
  return 1;
}

int ax_arena_set_pair(ax_arena *arena, const char *key, uint32_t key_size, const uint8_t *pair,
                      uint32_t pair_size) {
  uint8_t *out = begin(arena, key, key_size, pair_size);
  if (!out) return 0;
  ax_put_bytes(out, pair, pair_size);
  return 1;
}

int ax_arena_set_text(ax_arena *arena, const char *key, uint32_t key_size, const char *text,
                      uint64_t text_size) {
  uint32_t size = ax_utf8_cut(text, text_size, AX_VALUE_MAX);
  uint8_t *out = begin_value(arena, key, key_size, ax_field_size(size));
  if (!out) return 0;
  ax_put_field(out, 0x0a, text, size);
  return 1;
}

int ax_arena_set_int(ax_arena *arena, const char *key, uint32_t key_size, int64_t value) {
  uint8_t *out = begin_value(arena, key, key_size, 1 + ax_varint_size((uint64_t)value));
  if (!out) return 0;
  *out++ = 0x18;
  ax_put_varint(out, (uint64_t)value);
  return 1;
}

int ax_arena_set_double(ax_arena *arena, const char *key, uint32_t key_size, double value) {
  uint8_t *out = begin_value(arena, key, key_size, 9);
  if (!out) return 0;
  uint64_t bits;
  memcpy(&bits, &value, 8);
  *out++ = 0x21;
  ax_put_fixed64(out, bits);
  return 1;
}

int ax_arena_set_bool(ax_arena *arena, const char *key, uint32_t key_size, int value) {
  uint8_t *out = begin_value(arena, key, key_size, 2);
  if (!out) return 0;
  out[0] = 0x10;
  out[1] = value ? 1 : 0;
  return 1;
}

int ax_arena_event(ax_arena *arena, const uint8_t *event, uint32_t size) {
  int fits = size > 1 && size <= AX_ARENA_MAX && arena->used + size <= AX_ARENA_MAX;
  int known = size > 0 && (event[0] == TAG_EVENT || event[0] == TAG_LINK);
  uint8_t *out = fits && known && arena->events < AX_EVENTS_MAX ? reserve(arena, size) : NULL;
  if (!out) {
    arena->dropped_events++;
    return 0;
  }
  ax_put_bytes(out, event, size);
  arena->used += size;
  arena->events++;
  return 1;
}
