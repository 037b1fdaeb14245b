/*
 * The attributes and events of one span as finished OTLP bytes (fields 9 and 11 of Span).
 *
 * Small spans live in the inline buffer; larger ones move to one heap chunk, at most AX_ARENA_MAX.
 * What does not fit is dropped and counted. No Python in here.
 */
#ifndef AXONIZE_ARENA_H
#define AXONIZE_ARENA_H

#include <stdint.h>

/* The same limits as _values.py; a test compares them. */
#define AX_ATTRIBUTES_MAX 128
#define AX_EVENTS_MAX 128
#define AX_KEY_MAX 256
#define AX_NAME_MAX 1024
#define AX_MESSAGE_MAX 1024
#define AX_VALUE_MAX (32 * 1024)
#define AX_ARENA_MAX (64 * 1024)
#define AX_ARENA_INLINE 424

typedef struct {
  uint8_t *data;
  uint64_t seen; /* one bit per key by a hash: a clear bit spares the scan */
  uint32_t used, capacity;
  uint32_t dropped_attributes, dropped_events;
  uint16_t attributes, events;
  uint8_t fixed[AX_ARENA_INLINE];
} ax_arena;

void ax_arena_init(ax_arena *arena);
void ax_arena_free(ax_arena *arena);

/* One attribute; `value` is a finished AnyValue. Replaces an attribute of the same key. 0 = dropped. */
int ax_arena_set(ax_arena *arena, const char *key, uint32_t key_size, const uint8_t *value,
                 uint32_t value_size);
/* A string attribute, cut to AX_VALUE_MAX at a character's boundary. */
int ax_arena_set_text(ax_arena *arena, const char *key, uint32_t key_size, const char *text,
                      uint64_t text_size);
int ax_arena_set_int(ax_arena *arena, const char *key, uint32_t key_size, int64_t value);
int ax_arena_set_double(ax_arena *arena, const char *key, uint32_t key_size, double value);
int ax_arena_set_bool(ax_arena *arena, const char *key, uint32_t key_size, int value);
/* A finished KeyValue, whose key is `key`. */
int ax_arena_set_pair(ax_arena *arena, const char *key, uint32_t key_size, const uint8_t *pair,
                      uint32_t pair_size);
/* A finished event or link field (11 or 13 of Span), tag included. 0 = dropped. */
int ax_arena_event(ax_arena *arena, const uint8_t *event, uint32_t size);
int ax_arena_has(const ax_arena *arena, const char *key, uint32_t key_size);

/* Largest size <= most at which UTF-8 text can be cut. */
static inline uint32_t ax_utf8_cut(const char *text, uint64_t size, uint32_t most) {
  if (size <= most) return (uint32_t)size;
  while (most > 0 && ((uint8_t)text[most] & 0xc0) == 0x80) most--;
  return most;
}

#endif
