/* The life of a span: begin, current, attributes, end. See span.h for the rules. */
#include "span.h"

ax_state ax;

/* The attribute key as UTF-8 of at most AX_KEY_MAX bytes. A key that is no str is made one. */
static const char *key_text(PyObject *key, PyObject **made, uint32_t *size) {
  Py_ssize_t length;
  *made = NULL;
  if (!PyUnicode_CheckExact(key)) key = *made = PyObject_Str(key);
  const char *text = key ? ax_utf8(key, &length) : NULL;
  if (!text && key) {
    PyErr_Clear();
    PyObject *bytes = PyUnicode_AsEncodedString(key, "utf-8", "replace");
    Py_XSETREF(*made, bytes);
    text = bytes ? PyBytes_AS_STRING(bytes) : NULL;
    length = bytes ? PyBytes_GET_SIZE(bytes) : 0;
  }
  if (!text) {
    PyErr_Clear();
    return NULL;
  }
  *size = ax_utf8_cut(text, (uint64_t)length, AX_KEY_MAX);
  return text;
}

/* Values that C does not encode itself: the Python half makes a KeyValue of them. */
static void set_other(ax_span *span, PyObject *key, const char *text, uint32_t size, PyObject *value) {
  PyObject *plain = PyUnicode_CheckExact(key) ? Py_NewRef(key) : PyObject_Str(key);
  PyObject *pair = plain ? PyObject_CallFunctionObjArgs(ax.key_value, plain, value, NULL) : NULL;
  Py_XDECREF(plain);
  if (!pair || !PyBytes_CheckExact(pair) || PyBytes_GET_SIZE(pair) > AX_ARENA_MAX) {
    PyErr_Clear();
    span->arena.dropped_attributes++;
  } else {
    ax_arena_set_pair(&span->arena, text, size, (const uint8_t *)PyBytes_AS_STRING(pair),
                      (uint32_t)PyBytes_GET_SIZE(pair));
  }
  Py_XDECREF(pair);
}

void ax_span_set(ax_span *span, PyObject *key, PyObject *value) {
  if (span->state == AX_ENDED || value == Py_None) return;
  PyObject *made;
  uint32_t size, dropped = span->arena.dropped_attributes;
  const char *text = key_text(key, &made, &size);
  if (!text) {
    span->arena.dropped_attributes++;
    Py_XDECREF(made);
    return;
  }
  if (PyUnicode_CheckExact(value)) {
    Py_ssize_t length;
    const char *content = ax_utf8(value, &length);
    if (content) {
      ax_arena_set_text(&span->arena, text, size, content, (uint64_t)length);
    } else {
      PyErr_Clear();
      set_other(span, key, text, size, value);
    }
  } else if (PyBool_Check(value)) {
    ax_arena_set_bool(&span->arena, text, size, value == Py_True);
  } else if (PyFloat_CheckExact(value)) {
    ax_arena_set_double(&span->arena, text, size, PyFloat_AS_DOUBLE(value));
  } else if (PyLong_CheckExact(value)) {
    int overflow;
    int64_t number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow) set_other(span, key, text, size, value);
    else ax_arena_set_int(&span->arena, text, size, number);
  } else {
    set_other(span, key, text, size, value);
  }
  ax_count_truncated(span->arena.dropped_attributes - dropped);
  Py_XDECREF(made);
}

/* Takes the bytes that a hook made of an event (NULL with an error set: counts as dropped). */
void ax_span_event(ax_span *span, PyObject *encoded) {
  int taken = 0;
  if (encoded && PyBytes_CheckExact(encoded) && PyBytes_GET_SIZE(encoded) <= AX_ARENA_MAX) {
    taken = ax_arena_event(&span->arena, (const uint8_t *)PyBytes_AS_STRING(encoded),
                           (uint32_t)PyBytes_GET_SIZE(encoded));
  } else {
    PyErr_Clear();
    span->arena.dropped_events++;
  }
  ax_count_truncated(!taken);
}

static int hex_digit(uint32_t letter) {
  if (letter >= '0' && letter <= '9') return (int)(letter - '0');
  if (letter >= 'a' && letter <= 'f') return (int)(letter - 'a' + 10);
  return -1;
}

/* `size` bytes of lower-case hex from an attribute of a SpanContext. 0 when it is anything else. */
static int read_hex(PyObject *context, const char *attribute, uint8_t *out, Py_ssize_t size) {
  PyObject *text = PyObject_GetAttrString(context, attribute);
  int ok = text && PyUnicode_CheckExact(text) && PyUnicode_GET_LENGTH(text) == 2 * size;
  for (Py_ssize_t i = 0; ok && i < size; i++) {
    int high = hex_digit(PyUnicode_READ_CHAR(text, 2 * i));
    int low = hex_digit(PyUnicode_READ_CHAR(text, 2 * i + 1));
    ok = high >= 0 && low >= 0;
    if (ok) out[i] = (uint8_t)(high << 4 | low);
  }
  if (PyErr_Occurred()) PyErr_Clear();
  Py_XDECREF(text);
  return ok;
}

static int adopt_context(ax_span *span, PyObject *context) {
  if (!read_hex(context, "trace_id", span->trace, 16)) return 0;
  if (!read_hex(context, "span_id", span->parent_id, 8)) return 0;
  PyObject *state = PyObject_GetAttrString(context, "trace_state");
  if (state && PyUnicode_CheckExact(state) && PyUnicode_GET_LENGTH(state)) {
    span->trace_state = Py_NewRef(state);
  }
  Py_XDECREF(state);
  PyErr_Clear();
  return span->remote = 1;
}

static void put_random(uint8_t *out) {
  uint64_t number;
  do number = ax_random();
  while (!number);
  memcpy(out, &number, 8);
}

/* Below another span, which may be in use elsewhere. 0: that one has not begun itself. */
static int adopt_span(ax_span *span, ax_span *above) {
  int begun = 0;
  Py_BEGIN_CRITICAL_SECTION((PyObject *)above);
  if (above->state >= AX_OPEN) {
    memcpy(span->trace, above->trace, 16);
    memcpy(span->parent_id, above->id, 8);
    span->trace_state = Py_XNewRef(above->trace_state);
    begun = 1;
  }
  Py_END_CRITICAL_SECTION();
  return begun;
}

PyObject *ax_span_begin(ax_span *span) {
  PyObject *parent = span->parent, *current = NULL;
  span->parent = NULL;
  span->state = AX_BEGINNING;
  if (PyContextVar_Get(ax.current, NULL, &current) < 0) PyErr_Clear();
  if (!parent) parent = Py_XNewRef(current);
  if (parent && parent != (PyObject *)span && ax_is_span(parent)) {
    span->has_parent = (uint8_t)adopt_span(span, (ax_span *)parent);
  } else if (parent && (PyObject *)Py_TYPE(parent) == ax.context_type) {
    span->has_parent = (uint8_t)adopt_context(span, parent);
  }
  if (!span->has_parent) {
    put_random(span->trace);
    put_random(span->trace + 8);
  }
  if (PyErr_Occurred()) PyErr_Clear();
  Py_XDECREF(parent);
  put_random(span->id);
  span->generation = ax.generation;
  span->state = AX_OPEN;
  span->start = ax_monotonic();
  return current;
}

static const char *text_of(PyObject *text, PyObject **made, Py_ssize_t *size) {
  *made = NULL;
  const char *bytes = ax_utf8(text, size);
  if (bytes) return bytes;
  PyErr_Clear();
  *made = PyUnicode_AsEncodedString(text, "utf-8", "replace");
  if (!*made) {
    PyErr_Clear();
    *size = 0;
    return "";
  }
  *size = PyBytes_GET_SIZE(*made);
  return PyBytes_AS_STRING(*made);
}

/* Calls a hook of the exporter, which another thread may be about to change; `once`: never again. */
static void call_hook(PyObject **slot, int once) {
  PyObject *hook = NULL;
  Py_BEGIN_CRITICAL_SECTION(ax.module);
  hook = Py_XNewRef(*slot);
  if (once) Py_CLEAR(*slot);
  else ax.need_start = 0;
  Py_END_CRITICAL_SECTION();
  PyObject *result = hook ? PyObject_CallNoArgs(hook) : NULL;
  if (!result) PyErr_Clear();
  Py_XDECREF(result);
  Py_XDECREF(hook);
}

/* Writes the span into the ring and wakes the exporter where it is time to. */
static void record(ax_span *span) {
  PyObject *made[3] = {NULL, NULL, NULL};
  Py_ssize_t name_size = 0, state_size = 0, message_size = 0;
  const char *name = text_of(span->name, &made[0], &name_size), *state = "", *message = "";
  if (span->trace_state) state = text_of(span->trace_state, &made[1], &state_size);
  if (span->status && span->message) message = text_of(span->message, &made[2], &message_size);
  ax_record out = {
      .name_size = ax_utf8_cut(name, (uint64_t)name_size, AX_NAME_MAX),
      .state_size = ax_utf8_cut(state, (uint64_t)state_size, 512),
      .message_size = ax_utf8_cut(message, (uint64_t)message_size, AX_MESSAGE_MAX),
      .arena_size = span->arena.used,
      .start = span->start + ax.offset,
      .end = span->end + ax.offset,
      .dropped_attributes = span->arena.dropped_attributes,
      .dropped_events = span->arena.dropped_events,
      .gpus = span->gpus,
      .kind = span->kind,
      .status = span->status,
      .has_parent = span->has_parent,
      .remote = span->remote,
  };
  memcpy(out.trace, span->trace, 16);
  memcpy(out.id, span->id, 8);
  memcpy(out.parent, span->parent_id, 8);
  ax_take(&ax.writing);
  uint64_t waiting = ax_ring_put(&ax.ring, &out, name, state, message, span->arena.data);
  ax_give(&ax.writing);
  for (int i = 0; i < 3; i++) Py_XDECREF(made[i]);
  if (waiting && (ax.need_start || waiting == ax.wake_at)) call_hook(&ax.wake, 0);
}

static void take_error(ax_span *span, PyObject *error) {
  PyObject *when = PyLong_FromLongLong(span->end + ax.offset);
  PyObject *event =
      when ? PyObject_CallFunctionObjArgs(ax.exception_event, error, when, NULL) : NULL;
  ax_span_event(span, event);
  Py_XDECREF(event);
  Py_XDECREF(when);
  span->status = 2;
  PyObject *message = PyObject_CallOneArg(ax.exception_message, error);
  if (message && PyUnicode_CheckExact(message)) Py_XSETREF(span->message, Py_NewRef(message));
  Py_XDECREF(message);
  PyErr_Clear();
  PyObject *name = PyObject_CallOneArg(ax.type_name, error);
  PyObject *key = PyUnicode_InternFromString("error.type");
  if (name && key) ax_span_set(span, key, name);
  Py_XDECREF(name);
  Py_XDECREF(key);
  PyErr_Clear();
}

static void derive_gpus(ax_span *span) {
  static const char key[] = "axonize.gpu.ordinals";
  uint8_t list[64 * 4], value[64 * 4 + 4], *at = list;
  if (ax_arena_has(&span->arena, key, sizeof key - 1)) return;
  for (int i = 0; i < 64; i++) {
    if (!(span->gpus >> i & 1)) continue;
    const uint8_t item[4] = {0x0a, 2, 0x18, (uint8_t)i};
    memcpy(at, item, 4);
    at += 4;
  }
  uint32_t size = (uint32_t)(at - list), length = 1;
  value[0] = 0x2a;
  if (size < 0x80) {
    value[1] = (uint8_t)size;
  } else {
    value[1] = (uint8_t)(size | 0x80);
    value[2] = (uint8_t)(size >> 7);
    length = 2;
  }
  memcpy(value + 1 + length, list, size);
  ax_arena_set(&span->arena, key, sizeof key - 1, value, 1 + length + size);
}

/* Readings of devices begin with the first span that names one. */
void ax_gpus_used(void) {
  if (ax.watching && ax.enabled && atomic_exchange(&ax.watching, 0)) call_hook(&ax.gpu_hook, 1);
}

void ax_span_finish(ax_span *span, PyObject *error, int64_t end) {
  if (span->state != AX_OPEN) return;
  span->end = end ? end : ax_monotonic();
  if (span->end < span->start) span->end = span->start;
  span->state = AX_CLOSING;
  if (error && error != Py_None && PyObject_TypeCheck(error, (PyTypeObject *)PyExc_Exception)) {
    take_error(span, error);
  }
  if (span->gpus) derive_gpus(span);
  if (span->llm) ax_llm_derive(span);
  span->state = AX_ENDED;
  /* A span that a fork copied belongs to the process that began it. */
  if (ax.enabled && span->generation == ax.generation) record(span);
}
