/* The Python types Span and LlmSpan: construction, context manager, methods, attributes. */
#include "span.h"

/* Spans kept for reuse: 256 x 0.7 KB. None without the GIL: the allocator keeps memory per thread itself. */
#define SPARE_MAX 256

static ax_span *spare;
static int spares;

/* What a `with` block in a generator has as code flags; 0 where nothing is known. */
static int caller_flags(void) {
  int flags = 0;
#if PY_VERSION_HEX >= 0x030C0000
#if PY_VERSION_HEX >= 0x030D0000
  struct _PyInterpreterFrame *frame = PyThreadState_Get()->current_frame;
#else
  struct _PyInterpreterFrame *frame = PyThreadState_Get()->cframe->current_frame;
#endif
  PyObject *code = frame ? PyUnstable_InterpreterFrame_GetCode(frame) : NULL;
  if (code && PyCode_Check(code)) flags = ((PyCodeObject *)code)->co_flags;
  Py_XDECREF(code);
#else
  PyFrameObject *frame = PyEval_GetFrame();
  if (frame) {
    PyCodeObject *code = PyFrame_GetCode(frame);
    flags = code->co_flags;
    Py_DECREF(code);
  }
#endif
  return flags;
}

int ax_arguments(const char *function, const char *const *names, int required, int most,
                 PyObject *const *args, Py_ssize_t count, PyObject *keywords, PyObject **out) {
  if (count > most) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most %d arguments", function, most);
    return -1;
  }
  for (Py_ssize_t i = 0; i < count; i++) out[i] = args[i];
  for (int i = (int)count; i < most; i++) out[i] = NULL;
  Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
  for (Py_ssize_t i = 0; i < named; i++) {
    PyObject *key = PyTuple_GET_ITEM(keywords, i);
    int slot = 0;
    while (slot < most && PyUnicode_CompareWithASCIIString(key, names[slot]) != 0) slot++;
    if (slot == most || out[slot]) {
      PyErr_Format(PyExc_TypeError, "%s() got an unexpected argument '%U'", function, key);
      return -1;
    }
    out[slot] = args[count + i];
  }
  for (int i = 0; i < required; i++) {
    if (!out[i]) {
      PyErr_Format(PyExc_TypeError, "%s() misses argument '%s'", function, names[i]);
      return -1;
    }
  }
  return 0;
}

static ax_span *allocate(int llm) {
  PyTypeObject *type = llm ? &AxLlmSpanType : &AxSpanType;
  ax_span *span = AX_FREE ? NULL : spare;
  if (span) {
    spare = (ax_span *)span->name;
    spares--;
    PyObject_Init((PyObject *)span, type);
  } else {
    span = PyObject_GC_New(ax_span, type);
    if (!span) return NULL;
  }
  span->name = span->parent = span->restore = span->token = span->frame = NULL;
  span->trace_state = span->message = NULL;
  span->gpus = 0;
  span->state = AX_NEW;
  span->kind = 1;
  span->status = span->has_parent = span->remote = 0;
  span->llm = NULL;
  ax_arena_init(&span->arena);
  if (llm) {
    span->llm = ax_llm_new();
    if (!span->llm) {
      Py_DECREF(span);
      return (ax_span *)PyErr_NoMemory();
    }
  }
  return span;
}

static void take_keyword(ax_span *span, PyObject *key, PyObject *value, PyObject **model) {
  Py_ssize_t length = PyUnicode_GET_LENGTH(key);
  if (length == 6 && PyUnicode_CompareWithASCIIString(key, "parent") == 0) {
    Py_XSETREF(span->parent, value == Py_None ? NULL : Py_NewRef(value));
  } else if (length == 4 && PyUnicode_CompareWithASCIIString(key, "kind") == 0) {
    long kind = PyLong_Check(value) ? PyLong_AsLong(value) : 1;
    if (PyErr_Occurred()) PyErr_Clear();
    span->kind = kind >= 0 && kind <= 5 ? (uint8_t)kind : 1;
  } else if (span->llm && length == 5 && PyUnicode_CompareWithASCIIString(key, "model") == 0) {
    *model = value;
  } else {
    ax_span_set(span, key, value);
  }
}

PyObject *ax_span_create(PyObject *const *args, Py_ssize_t count, PyObject *keywords, int llm) {
  Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
  PyObject *name = count == 1 ? args[0] : NULL, *model = NULL;
  Py_ssize_t name_at = -1;
  if (count == 0) {
    for (Py_ssize_t i = 0; i < named && !name; i++) {
      if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, i), "name") == 0) {
        name = args[i];
        name_at = i;
      }
    }
  }
  if (!name) {
    PyErr_SetString(PyExc_TypeError, llm ? "llm_span() takes one positional argument, the name"
                                         : "span() takes one positional argument, the name");
    return NULL;
  }
  ax_span *span = allocate(llm);
  if (!span) return NULL;
  span->name = PyUnicode_CheckExact(name) ? Py_NewRef(name) : PyObject_Str(name);
  if (!span->name) {
    PyErr_Clear();
    span->name = PyUnicode_FromString(Py_TYPE(name)->tp_name);
    if (!span->name) {
      Py_DECREF(span);
      return NULL;
    }
  }
  for (Py_ssize_t i = 0; i < named; i++) {
    if (i != name_at) take_keyword(span, PyTuple_GET_ITEM(keywords, i), args[count + i], &model);
  }
  if (model && model != Py_None) ax_llm_model(span, model, NULL);
  return (PyObject *)span;
}

/*
 * What keeps an open span in a cycle: its token holds the context in which it is current. One that is ended has
 * given both back.
 */
static int span_traverse(ax_span *self, visitproc visit, void *arg) {
  Py_VISIT(self->parent);
  Py_VISIT(self->restore);
  Py_VISIT(self->token);
  Py_VISIT(self->frame);
  return 0;
}

static int span_clear(ax_span *self) {
  Py_CLEAR(self->token);
  Py_CLEAR(self->frame);
  Py_CLEAR(self->parent);
  return 0;
}

static void span_dealloc(ax_span *self) {
  PyObject_GC_UnTrack(self);
  /*
   * Spans left open hold each other in a row, by `restore` and by their tokens: unlinked in a loop, a long
   * row must not recurse. A token goes while `restore` still holds what it held.
   */
  Py_CLEAR(self->token);
  PyObject *next = self->restore;
  self->restore = NULL;
  while (next && ax_is_span(next) && Py_REFCNT(next) == 1) {
    Py_CLEAR(((ax_span *)next)->token);
    PyObject *after = ((ax_span *)next)->restore;
    ((ax_span *)next)->restore = NULL;
    Py_DECREF(next);
    next = after;
  }
  Py_XDECREF(next);
  Py_CLEAR(self->parent);
  Py_CLEAR(self->frame);
  Py_CLEAR(self->trace_state);
  Py_CLEAR(self->message);
  Py_CLEAR(self->name);
  ax_arena_free(&self->arena);
  ax_llm_free(self->llm);
  self->llm = NULL;
  if (!AX_FREE && spares < SPARE_MAX) {
    self->name = (PyObject *)spare;
    spare = self;
    spares++;
  } else {
    PyObject_GC_Del(self);
  }
}

/*
 * Makes current what was so before. By the token where that is possible: it costs half of setting a value, and a
 * context that had nothing in it is empty again. It is not in another context than that of __enter__.
 */
static void restore_current(ax_span *self) {
  if (self->token && PyContextVar_Reset(ax.current, self->token) == 0) return;
  PyErr_Clear();
  PyObject *token = PyContextVar_Set(ax.current, self->restore ? self->restore : Py_None);
  if (!token) PyErr_Clear();
  Py_XDECREF(token);
}

PyObject *ax_span_enter(ax_span *self, PyObject *Py_UNUSED(unused)) {
  if (self->state != AX_NEW) return Py_NewRef(self);
  PyObject *before = ax_span_begin(self);
  PyObject_GC_Track(self);
  if (caller_flags() & (CO_GENERATOR | CO_ASYNC_GENERATOR)) {
    PyObject *frame = (PyObject *)PyEval_GetFrame();
    PyObject *state =
        frame ? PyObject_CallFunctionObjArgs(ax.enter, (PyObject *)self, frame, NULL) : NULL;
    if (!state) PyErr_Clear();
    if (state && state != Py_None) {
      self->frame = state;
      Py_XDECREF(before);
      return Py_NewRef(self);
    }
    Py_XDECREF(state);
  }
  self->restore = before;
  self->token = PyContextVar_Set(ax.current, (PyObject *)self);
  if (!self->token) PyErr_Clear();
  return Py_NewRef(self);
}

/* Spans opened later in this context must not restore to a span that has ended. */
static void splice(ax_span *self, PyObject *current) {
  PyObject *at = Py_XNewRef(current), *below = Py_XNewRef(self->restore), *found = NULL;
  for (int i = 0; i < 64 && !found && at && ax_is_span(at); i++) {
    ax_span *above = (ax_span *)at;
    PyObject *next = NULL;
    Py_BEGIN_CRITICAL_SECTION(at);
    if (above->restore == (PyObject *)self) {
      found = above->restore;
      above->restore = Py_XNewRef(below);
      Py_CLEAR(above->token); /* it would bring back the one that ends */
    } else {
      next = Py_XNewRef(above->restore);
    }
    Py_END_CRITICAL_SECTION();
    Py_SETREF(at, next);
  }
  Py_XDECREF(found);
  Py_XDECREF(below);
  Py_XDECREF(at);
}

static void leave(ax_span *self) {
  if (self->frame) {
    PyObject *state = self->frame;
    self->frame = NULL;
    PyObject *done = PyObject_CallFunctionObjArgs(ax.leave, (PyObject *)self, state, NULL);
    if (!done) PyErr_Clear();
    Py_XDECREF(done);
    Py_DECREF(state);
    return;
  }
  PyObject *current = NULL;
  if (PyContextVar_Get(ax.current, NULL, &current) < 0) PyErr_Clear();
  if (current == (PyObject *)self) restore_current(self);
  else splice(self, current);
  Py_XDECREF(current);
  Py_CLEAR(self->token);
  Py_CLEAR(self->restore);
}

PyObject *ax_span_exit(ax_span *self, PyObject *const *args, Py_ssize_t count) {
  if (count != 3) {
    PyErr_SetString(PyExc_TypeError, "__exit__() takes three arguments");
    return NULL;
  }
  if (self->state != AX_OPEN) Py_RETURN_NONE;
  leave(self);
  ax_span_finish(self, args[1], 0);
  Py_RETURN_NONE;
}

/* A moment in ns since 1970 on the monotonic clock; 0 = now, or what makes no sense. */
static int64_t moment(PyObject *const *args, Py_ssize_t count, Py_ssize_t at) {
  if (count <= at || !PyLong_CheckExact(args[at])) return 0;
  int overflow;
  int64_t unix_ns = PyLong_AsLongLongAndOverflow(args[at], &overflow);
  return overflow || unix_ns <= 0 ? 0 : unix_ns - ax.offset;
}

PyObject *ax_begin_method(ax_span *self, PyObject *const *args, Py_ssize_t count) {
  PyObject *before = self->state == AX_NEW ? ax_span_begin(self) : NULL;
  int64_t start = before || self->state == AX_OPEN ? moment(args, count, 0) : 0;
  if (start) self->start = start;
  Py_XDECREF(before);
  Py_RETURN_NONE;
}

PyObject *ax_finish_method(ax_span *self, PyObject *const *args, Py_ssize_t count) {
  ax_span_finish(self, count > 0 ? args[0] : NULL, moment(args, count, 1));
  Py_RETURN_NONE;
}

static PyObject *hex_of(const ax_span *self, const uint8_t *bytes, int size) {
  static const char digits[] = "0123456789abcdef";
  char text[32];
  if (self->state < AX_OPEN) return PyUnicode_FromString("");
  for (int i = 0; i < size; i++) {
    text[2 * i] = digits[bytes[i] >> 4];
    text[2 * i + 1] = digits[bytes[i] & 15];
  }
  return PyUnicode_FromStringAndSize(text, 2 * size);
}

static PyObject *get_trace_id(ax_span *self, void *Py_UNUSED(closure)) {
  return hex_of(self, self->trace, 16);
}

static PyObject *get_span_id(ax_span *self, void *Py_UNUSED(closure)) {
  return hex_of(self, self->id, 8);
}

static PyObject *get_trace_state(ax_span *self, void *Py_UNUSED(closure)) {
  return self->trace_state ? Py_NewRef(self->trace_state) : PyUnicode_FromString("");
}

static PyObject *get_name(ax_span *self, void *Py_UNUSED(closure)) { return Py_NewRef(self->name); }

static int set_name(ax_span *self, PyObject *name, void *Py_UNUSED(closure)) {
  if (!name || !PyUnicode_CheckExact(name)) {
    PyErr_SetString(PyExc_TypeError, "a span's name is a str");
    return -1;
  }
  if (self->state != AX_ENDED) Py_XSETREF(self->name, Py_NewRef(name));
  return 0;
}

static PyObject *span_repr(ax_span *self) {
  PyObject *trace = get_trace_id(self, NULL), *id = get_span_id(self, NULL), *text = NULL;
  if (trace && id) {
    text = PyUnicode_FromFormat("<%s %R %U/%U>", self->llm ? "LlmSpan" : "Span", self->name, trace, id);
  }
  Py_XDECREF(trace);
  Py_XDECREF(id);
  return text;
}

AX_LOCKED_GET(get_name)
AX_LOCKED_GET(get_trace_id)
AX_LOCKED_GET(get_span_id)
AX_LOCKED_GET(get_trace_state)
AX_LOCKED_SET(set_name)

static PyObject *span_repr_locked(ax_span *self) {
  PyObject *text;
  Py_BEGIN_CRITICAL_SECTION(self);
  text = span_repr(self);
  Py_END_CRITICAL_SECTION();
  return text;
}

static PyGetSetDef attributes[] = {
    {"name", (getter)get_name_locked, (setter)set_name_locked, "Name of the operation.", NULL},
    {"trace_id", (getter)get_trace_id_locked, NULL, "32 hex digits, empty before the span begins.", NULL},
    {"span_id", (getter)get_span_id_locked, NULL, "16 hex digits, empty before the span begins.", NULL},
    {"trace_state", (getter)get_trace_state_locked, NULL, "W3C tracestate of the trace.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject AxSpanType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "axonize.Span",
    .tp_doc = "One timed operation. Use it as a context manager; every method is safe in any state.",
    .tp_basicsize = sizeof(ax_span),
    .tp_dealloc = (destructor)span_dealloc,
    .tp_repr = (reprfunc)span_repr_locked,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_traverse = (traverseproc)span_traverse,
    .tp_clear = (inquiry)span_clear,
    .tp_methods = ax_span_methods,
    .tp_getset = attributes,
};

PyTypeObject AxLlmSpanType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "axonize.LlmSpan",
    .tp_doc = "A span of one model call: counts tokens, and derives TTFT and tokens per second.",
    .tp_basicsize = sizeof(ax_span),
    .tp_base = &AxSpanType,
    .tp_dealloc = (destructor)span_dealloc,
    .tp_repr = (reprfunc)span_repr_locked,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_traverse = (traverseproc)span_traverse,
    .tp_clear = (inquiry)span_clear,
    .tp_methods = ax_llm_methods,
};
