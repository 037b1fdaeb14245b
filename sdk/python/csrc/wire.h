/*
 * Protobuf writing: varints, tags and fixed-width numbers into memory that is known to be large enough.
 * No Python, no allocation; every caller computes sizes first.
 */
#ifndef AXONIZE_WIRE_H
#define AXONIZE_WIRE_H

#include <stdint.h>
#include <string.h>

static inline uint32_t ax_varint_size(uint64_t value) {
  uint32_t size = 1;
  while (value > 0x7f) {
    value >>= 7;
    size++;
  }
  return size;
}

static inline uint8_t *ax_put_varint(uint8_t *out, uint64_t value) {
  while (value > 0x7f) {
    *out++ = (uint8_t)(value | 0x80);
    value >>= 7;
  }
  *out++ = (uint8_t)value;
  return out;
}

static inline uint8_t *ax_put_bytes(uint8_t *out, const void *data, uint32_t size) {
  if (size) memcpy(out, data, size);
  return out + size;
}

/* A length-delimited field: tag byte, length, bytes. */
static inline uint8_t *ax_put_field(uint8_t *out, uint8_t tag, const void *data, uint32_t size) {
  *out++ = tag;
  out = ax_put_varint(out, size);
  return ax_put_bytes(out, data, size);
}

static inline uint32_t ax_field_size(uint32_t size) { return 1 + ax_varint_size(size) + size; }

static inline uint8_t *ax_put_fixed64(uint8_t *out, uint64_t value) {
  for (int i = 0; i < 8; i++) out[i] = (uint8_t)(value >> (8 * i));
  return out + 8;
}

static inline uint8_t *ax_put_fixed32(uint8_t *out, uint32_t value) {
  for (int i = 0; i < 4; i++) out[i] = (uint8_t)(value >> (8 * i));
  return out + 4;
}

#endif
