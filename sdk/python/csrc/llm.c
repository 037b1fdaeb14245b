/* LlmSpan: token counting and what is derived from it. The arithmetic is that of _llm.py. */
#include "span.h"

#include "wire.h"

static int bucket_of(int64_t gap_ns) {
  uint64_t gap_us = gap_ns > 0 ? (uint64_t)gap_ns >> 10 : 0;
  if (gap_us < 4) return (int)gap_us;
  int octave = 63 - __builtin_clzll(gap_us);
  int index = 4 * (octave - 1) + (int)(gap_us >> (octave - 2) & 3);
  return index < AX_BUCKETS ? index : AX_BUCKETS - 1;
}

#define SPARE_MAX 64 /* blocks kept for reuse: 64 x 0.7 KB */

/* None without the GIL: the allocator keeps memory per thread itself. */
static ax_llm *spare[SPARE_MAX];
static int spares;

ax_llm *ax_llm_new(void) {
  ax_llm *llm = spares ? spare[--spares] : PyMem_Malloc(sizeof(ax_llm));
  if (!llm) return NULL;
  memset(llm, 0, sizeof *llm);
  llm->tokens_in = llm->tokens_out = -1;
  llm->shift = 20;
  return llm;
}

void ax_llm_free(ax_llm *llm) {
  if (!llm) return;
  if (!AX_FREE && spares < SPARE_MAX) spare[spares++] = llm;
  else PyMem_Free(llm);
}

/* Counts tokens in the timeline; bins double in width when the stream outgrows them. */
static void count_bin(ax_llm *llm, int64_t since, int64_t n) {
  uint64_t at = since > 0 ? (uint64_t)since >> llm->shift : 0;
  while (at >= AX_BINS) {
    for (int i = 0; i < AX_BINS / 2; i++) {
      uint64_t sum = (uint64_t)llm->bins[2 * i] + llm->bins[2 * i + 1];
      llm->bins[i] = sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
    }
    memset(llm->bins + AX_BINS / 2, 0, sizeof llm->bins / 2);
    llm->shift++;
    at >>= 1;
  }
  uint64_t sum = llm->bins[at] + (uint64_t)n;
  llm->bins[at] = sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

static double bucket_middle_ms(int index) {
  if (index < 4) return (index + 0.5) * 1024 / 1e6;
  int octave = index / 4 + 1, quarter = index % 4;
  double width = (double)(1ull << (octave - 2));
  return ((4 + quarter) * width + width / 2) * 1024 / 1e6;
}

static double percentile_ms(const ax_llm *llm, int from, double total, double share) {
  double left = share * total;
  int found = from;
  for (int i = from; i < AX_BUCKETS; i++) {
    if (!llm->buckets[i]) continue;
    found = i;
    left -= llm->buckets[i];
    if (left <= 0) break;
  }
  return bucket_middle_ms(found);
}

static inline void default_int(ax_arena *arena, const char *key, int64_t value) {
  uint32_t size = (uint32_t)strlen(key);
  if (!ax_arena_has(arena, key, size)) ax_arena_set_int(arena, key, size, value);
}

static inline void default_double(ax_arena *arena, const char *key, double value) {
  uint32_t size = (uint32_t)strlen(key);
  if (!ax_arena_has(arena, key, size)) ax_arena_set_double(arena, key, size, value);
}

static void derive_timeline(const ax_llm *llm, ax_arena *arena) {
  static const char key[] = "axonize.llm.timeline.tokens";
  uint8_t list[AX_BINS * 8], value[AX_BINS * 8 + 4], *at = list, *out = value;
  if (ax_arena_has(arena, key, sizeof key - 1)) return;
  int bins = AX_BINS;
  while (bins > 1 && !llm->bins[bins - 1]) bins--;
  for (int i = 0; i < bins; i++) {
    *at++ = 0x0a;
    *at++ = (uint8_t)(1 + ax_varint_size(llm->bins[i]));
    *at++ = 0x18;
    at = ax_put_varint(at, llm->bins[i]);
  }
  out = ax_put_field(out, 0x2a, list, (uint32_t)(at - list));
  ax_arena_set(arena, key, sizeof key - 1, value, (uint32_t)(out - value));
  default_double(arena, "axonize.llm.timeline.bin_ms", (double)((uint64_t)1 << llm->shift) / 1e6);
}

void ax_llm_derive(ax_span *span) {
  const ax_llm *llm = span->llm;
  ax_arena *arena = &span->arena;
  if (llm->tokens_in >= 0) {
    default_int(arena, "gen_ai.usage.input_tokens", llm->tokens_in);
    default_int(arena, "ai.llm.tokens.input", llm->tokens_in);
  }
  int64_t output = llm->tokens_out >= 0 ? llm->tokens_out : llm->recorded;
  if (llm->tokens_out >= 0 || llm->recorded > 0) {
    default_int(arena, "gen_ai.usage.output_tokens", output);
    default_int(arena, "ai.llm.tokens.output", output);
  }
  if (llm->recorded > 0) {
    double ttft = (double)(llm->first - span->start);
    default_double(arena, "gen_ai.response.time_to_first_chunk", ttft / 1e9);
    default_double(arena, "ai.llm.ttft_ms", ttft / 1e6);
    default_double(arena, "axonize.llm.last_token_ms", (double)(llm->last - span->start) / 1e6);
  }
  if (llm->recorded > 1 && llm->last > llm->first && output > 1) {
    double decode = (double)(llm->last - llm->first);
    default_double(arena, "ai.llm.tokens_per_second", (double)(output - 1) * 1e9 / decode);
  } else if (output > 0 && span->end > span->start) {
    double whole = (double)(span->end - span->start);
    default_double(arena, "ai.llm.tokens_per_second", (double)output * 1e9 / whole);
  }
  if (llm->recorded < 2) return;
  double gaps = 0;
  int from = AX_BUCKETS;
  for (int i = AX_BUCKETS - 1; i >= 0; i--) {
    if (!llm->buckets[i]) continue;
    gaps += llm->buckets[i];
    from = i;
  }
  if (gaps > 0) {
    default_double(arena, "axonize.llm.itl_p50_ms", percentile_ms(llm, from, gaps, 0.5));
    default_double(arena, "axonize.llm.itl_p99_ms", percentile_ms(llm, from, gaps, 0.99));
    derive_timeline(llm, arena);
  }
}

/* A count as the program gave it; -1 for what makes no sense. Never fails. */
static int64_t count_of(PyObject *value) {
  if (!PyLong_CheckExact(value)) {
    PyObject *number = PyObject_CallOneArg(ax.count, value);
    int64_t count = number ? PyLong_AsLongLong(number) : -1;
    Py_XDECREF(number);
    if (PyErr_Occurred()) PyErr_Clear();
    return count;
  }
  int overflow;
  int64_t count = PyLong_AsLongLongAndOverflow(value, &overflow);
  return overflow || count < 0 || count >= (int64_t)1 << 62 ? -1 : count;
}

static PyObject *record_token(ax_span *self, PyObject *const *args, Py_ssize_t given,
                              PyObject *keywords) {
  static const char *const names[] = {"n"};
  int64_t n = 1;
  ax_llm *llm = self->llm;
  if (!given && !keywords && self->state == AX_OPEN && llm->recorded) {
    /* One token more, as nearly every call is. A counter that is full stays so. */
    int64_t now = ax_monotonic(), since = now - llm->first;
    uint32_t *bucket = &llm->buckets[bucket_of(now - llm->last)];
    *bucket += *bucket != UINT32_MAX;
    uint64_t at = (uint64_t)since >> llm->shift;
    if (at < AX_BINS && llm->bins[at] != UINT32_MAX) llm->bins[at]++;
    else count_bin(llm, since, 1);
    llm->last = now;
    llm->recorded += llm->recorded < (int64_t)1 << 62;
    Py_RETURN_NONE;
  }
  if (given || keywords) {
    PyObject *value = NULL;
    if (ax_arguments("record_token", names, 0, 1, args, given, keywords, &value) < 0) return NULL;
    if (value) n = count_of(value);
  }
  if (self->state == AX_OPEN && n >= 1) {
    int64_t now = ax_monotonic();
    if (llm->recorded == 0) {
      llm->first = now;
      count_bin(llm, 0, n);
    } else {
      uint32_t *bucket = &llm->buckets[bucket_of(n == 1 ? now - llm->last : (now - llm->last) / n)];
      uint64_t sum = (uint64_t)*bucket + (uint64_t)n;
      *bucket = sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
      count_bin(llm, now - llm->first, n);
    }
    llm->last = now;
    if (llm->recorded < (int64_t)1 << 62) llm->recorded += n;
  }
  Py_RETURN_NONE;
}

static PyObject *set_tokens_input(ax_span *self, PyObject *const *args, Py_ssize_t given,
                                  PyObject *keywords) {
  static const char *const names[] = {"count"};
  PyObject *value;
  if (ax_arguments("set_tokens_input", names, 1, 1, args, given, keywords, &value) < 0) return NULL;
  if (self->state != AX_ENDED) self->llm->tokens_in = count_of(value);
  Py_RETURN_NONE;
}

static PyObject *set_tokens_output(ax_span *self, PyObject *const *args, Py_ssize_t given,
                                   PyObject *keywords) {
  static const char *const names[] = {"count"};
  PyObject *value;
  if (ax_arguments("set_tokens_output", names, 1, 1, args, given, keywords, &value) < 0) return NULL;
  if (self->state != AX_ENDED) self->llm->tokens_out = count_of(value);
  Py_RETURN_NONE;
}

static void set_named(ax_span *span, const char *key, PyObject *value) {
  Py_ssize_t size;
  if (PyUnicode_CheckExact(value) && PyUnicode_IS_COMPACT_ASCII(value)) {
    const char *text = ax_utf8(value, &size);
    uint32_t dropped = span->arena.dropped_attributes;
    if (span->state == AX_ENDED) return;
    ax_arena_set_text(&span->arena, key, (uint32_t)strlen(key), text, (uint64_t)size);
    ax_count_truncated(span->arena.dropped_attributes - dropped);
    return;
  }
  PyObject *name = PyUnicode_InternFromString(key);
  if (name) {
    ax_span_set(span, name, value);
    Py_DECREF(name);
  } else {
    PyErr_Clear();
  }
}

void ax_llm_model(ax_span *span, PyObject *name, PyObject *version) {
  set_named(span, "gen_ai.request.model", name);
  set_named(span, "ai.model.name", name);
  if (version) set_named(span, "ai.model.version", version);
}

static PyObject *set_model(ax_span *self, PyObject *const *args, Py_ssize_t given,
                           PyObject *keywords) {
  static const char *const names[] = {"name", "version"};
  PyObject *values[2] = {NULL, NULL};
  if (ax_arguments("set_model", names, 1, 2, args, given, keywords, values) < 0) return NULL;
  ax_llm_model(self, values[0], values[1]);
  Py_RETURN_NONE;
}

static PyObject *stream(ax_span *self, PyObject *const *args, Py_ssize_t given,
                        PyObject *keywords) {
  static const char *const names[] = {"source", "count"};
  PyObject *values[2] = {NULL, NULL};
  if (ax_arguments("stream", names, 1, 2, args, given, keywords, values) < 0) return NULL;
  PyObject *count = values[1] ? values[1] : Py_None;
  return PyObject_CallFunctionObjArgs(ax.counted, (PyObject *)self, values[0], count, NULL);
}

AX_LOCKED_KEYWORDS(record_token)
AX_LOCKED_KEYWORDS(set_tokens_input)
AX_LOCKED_KEYWORDS(set_tokens_output)
AX_LOCKED_KEYWORDS(set_model)

PyMethodDef ax_llm_methods[] = {
    {"record_token", AX_METHOD(record_token_locked), AX_FAST,
     "Notes that n output tokens arrived now. The first call sets the time to first token."},
    {"set_tokens_input", AX_METHOD(set_tokens_input_locked), AX_FAST,
     "Tokens of the prompt, cached ones included."},
    {"set_tokens_output", AX_METHOD(set_tokens_output_locked), AX_FAST,
     "Output tokens as the engine counted them; overrides what record_token counted."},
    {"set_model", AX_METHOD(set_model_locked), AX_FAST, "Names the model, and its version."},
    {"stream", AX_METHOD(stream), AX_FAST,
     "Passes a stream through and records a token, or count(item), per item."},
    {NULL, NULL, 0, NULL},
};
