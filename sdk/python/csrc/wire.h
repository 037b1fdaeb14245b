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

/*
 * Names and values are a few bytes, of a length that the compiler does not know: two moves that overlap,
 * where a call of memcpy is 6 ns. A span of five attributes is ten such copies.
 */
static inline uint8_t *ax_put_bytes(uint8_t *out, const void *data, uint32_t size) {
  const uint8_t *in = data;
  if (size > 32) {
    memcpy(out, in, size);
  } else if (size >= 16) {
    uint64_t first[2], last[2];
    memcpy(first, in, 16);
    memcpy(last, in + size - 16, 16);
    memcpy(out, first, 16);
    memcpy(out + size - 16, last, 16);
  } else if (size >= 8) {
    uint64_t first, last;
    memcpy(&first, in, 8);
    memcpy(&last, in + size - 8, 8);
    memcpy(out, &first, 8);
    memcpy(out + size - 8, &last, 8);
  } else if (size >= 4) {
    uint32_t first, last;
    memcpy(&first, in, 4);
    memcpy(&last, in + size - 4, 4);
    memcpy(out, &first, 4);
    memcpy(out + size - 4, &last, 4);
  } else if (size) {
    out[0] = in[0];
    out[size / 2] = in[size / 2];
    out[size - 1] = in[size - 1];
  }
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
