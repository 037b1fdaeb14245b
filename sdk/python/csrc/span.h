/*
 * Span objects and the state that they share with the module. Everything here runs under the GIL, or
 * under what free.h says takes its place.
 *
 * An open span is in a cycle with its context: the collector tracks it from __enter__ on. Python code (hooks)
 * is called only off the hot path: odd values, events, exceptions, spans inside generators.
 */
#ifndef AXONIZE_SPAN_H
#define AXONIZE_SPAN_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "arena.h"
#include "clock.h"
#include "free.h"
#include "ring.h"

#define AX_BUCKETS 104
#define AX_BINS 64

typedef struct {
  int64_t first, last, recorded, tokens_in, tokens_out; /* counts: -1 = not given */
  uint32_t shift, reserved; /* a bin of the timeline is 2^shift ns */
  uint32_t buckets[AX_BUCKETS], bins[AX_BINS];
} ax_llm;

/* BEGINNING: it has no ids yet. CLOSING: ending, while hooks still add to it. */
enum { AX_NEW, AX_BEGINNING, AX_OPEN, AX_CLOSING, AX_ENDED };

typedef struct {
  PyObject_HEAD
  PyObject *name, *parent, *trace_state, *message;
  PyObject *restore; /* what was current before, while this one is */
  PyObject *token;   /* of the context variable, for the same; NULL where `restore` has changed since */
  PyObject *frame;   /* instead of both, in a generator: what the Python half needs to leave it */
  int64_t start, end; /* monotonic ns */
  uint64_t gpus, generation;
  uint8_t trace[16], id[8], parent_id[8];
  uint8_t state, kind, status, has_parent, remote;
  ax_llm *llm; /* only in LlmSpan */
  ax_arena arena;
} ax_span;

typedef struct {
  /* Hooks into the package's Python half, set by connect(). */
  PyObject *current, *context_type, *key_value, *event, *exception_event, *exception_message,
      *type_name, *enter, *leave, *counted, *count;
  PyObject *module;          /* its critical section is that of the two hooks below */
  PyObject *wake, *gpu_hook; /* gpu_hook: called by the first span that names a device */
  PyObject *drained;         /* memory of the last drain, used again once nobody looks at it */
  ax_ring ring;
  atomic_flag writing; /* see free.h */
  atomic_flag reading; /* one drains, or changes where the ring lies */
  _Atomic int enabled, need_start, marking, watching; /* watching: gpu_hook is to be called */
  _Atomic uint64_t wake_at, truncated;
  uint64_t generation; /* changes in a forked child, before it has threads */
  _Atomic int64_t offset; /* realtime - monotonic */
} ax_state;

extern ax_state ax;
extern PyTypeObject AxSpanType, AxLlmSpanType;

#define ax_is_span(object) (Py_TYPE(object) == &AxSpanType || Py_TYPE(object) == &AxLlmSpanType)

/* Attributes and events that were left out. */
static inline void ax_count_truncated(uint64_t count) {
  if (count) ax.truncated += count;
}

int64_t ax_realtime_offset(void);
uint64_t ax_random(void);
void ax_seed(void);

/* A new span; takes attributes from keywords. `llm` chooses the type. */
PyObject *ax_span_create(PyObject *const *args, Py_ssize_t count, PyObject *keywords, int llm);

/* Puts positional and keyword arguments in order. -1 with TypeError, as a Python function would. */
int ax_arguments(const char *function, const char *const *names, int required, int most,
                 PyObject *const *args, Py_ssize_t count, PyObject *keywords, PyObject **out);

/* Hot-path parts that both files of the type use. */
void ax_span_set(ax_span *span, PyObject *key, PyObject *value);
void ax_span_event(ax_span *span, PyObject *encoded);
void ax_span_finish(ax_span *span, PyObject *error, int64_t end); /* end: monotonic, 0 = now */
void ax_gpus_used(void);
/* Takes ids and the start time. Returns what was current before, a new reference or NULL. */
PyObject *ax_span_begin(ax_span *span);
void ax_llm_derive(ax_span *span);
void ax_llm_model(ax_span *span, PyObject *name, PyObject *version);
ax_llm *ax_llm_new(void);
void ax_llm_free(ax_llm *llm);
PyObject *ax_span_enter(ax_span *self, PyObject *unused);
PyObject *ax_span_exit(ax_span *self, PyObject *const *args, Py_ssize_t count);
PyObject *ax_begin_method(ax_span *self, PyObject *const *args, Py_ssize_t count);
PyObject *ax_finish_method(ax_span *self, PyObject *const *args, Py_ssize_t count);
extern PyMethodDef ax_span_methods[], ax_llm_methods[];
/* Puts faster `__enter__` and `__exit__` into the ready type where that helps. -1 with an error. */
int ax_special_ready(void);

/* UTF-8 of a str without a call where it is ASCII; NULL with an error for lone surrogates. */
static inline const char *ax_utf8(PyObject *text, Py_ssize_t *size) {
  if (PyUnicode_IS_COMPACT_ASCII(text)) {
    *size = PyUnicode_GET_LENGTH(text);
    return (const char *)PyUnicode_DATA(text);
  }
  return PyUnicode_AsUTF8AndSize(text, size);
}

#define AX_METHOD(function) ((PyCFunction)(void (*)(void))(function))
#define AX_FAST (METH_FASTCALL | METH_KEYWORDS)

#endif
