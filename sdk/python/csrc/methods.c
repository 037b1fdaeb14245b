/* The methods of every span: attributes, devices, status, events. Life and types are in type.c. */
#include "span.h"

static PyObject *set_attribute(ax_span *self, PyObject *const *args, Py_ssize_t count,
                               PyObject *keywords) {
  static const char *const names[] = {"key", "value"};
  PyObject *values[2];
  if (count == 2 && !keywords) {
    ax_span_set(self, args[0], args[1]);
    Py_RETURN_NONE;
  }
  if (ax_arguments("set_attribute", names, 2, 2, args, count, keywords, values) < 0) return NULL;
  ax_span_set(self, values[0], values[1]);
  Py_RETURN_NONE;
}

/* Ordinal of "cuda:3", "3", "cuda" or 3; -1 for anything else. */
static long ordinal_of(PyObject *device) {
  if (PyLong_CheckExact(device)) {
    int overflow;
    long number = PyLong_AsLongAndOverflow(device, &overflow);
    return overflow ? -1 : number;
  }
  if (!PyUnicode_Check(device)) return -1;
  if (PyUnicode_CompareWithASCIIString(device, "cuda") == 0) return 0;
  Py_ssize_t length = PyUnicode_GET_LENGTH(device), at = 0;
  static const char prefix[] = "cuda:";
  while (at < 5 && at < length && PyUnicode_READ_CHAR(device, at) == (Py_UCS4)prefix[at]) at++;
  if (at != 5) at = 0;
  if (length - at < 1 || length - at > 3) return -1;
  long number = 0;
  for (; at < length; at++) {
    Py_UCS4 letter = PyUnicode_READ_CHAR(device, at);
    if (letter < '0' || letter > '9') return -1;
    number = number * 10 + (long)(letter - '0');
  }
  return number;
}

static void add_gpu(ax_span *self, PyObject *device) {
  long ordinal = ordinal_of(device);
  if (ordinal >= 0 && ordinal < 64) self->gpus |= (uint64_t)1 << ordinal;
}

/* A finished event or link field: for the OpenTelemetry bridge, which brings times of its own. */
static PyObject *add_encoded(ax_span *self, PyObject *encoded) {
  if (self->state != AX_ENDED) ax_span_event(self, encoded);
  Py_RETURN_NONE;
}

static PyObject *set_gpus(ax_span *self, PyObject *const *args, Py_ssize_t count,
                          PyObject *keywords) {
  static const char *const names[] = {"devices"};
  PyObject *devices;
  if (ax_arguments("set_gpus", names, 1, 1, args, count, keywords, &devices) < 0) return NULL;
  if (self->state == AX_ENDED) Py_RETURN_NONE;
  if (PyUnicode_Check(devices) || PyLong_Check(devices)) {
    add_gpu(self, devices);
    if (self->gpus) ax_gpus_used();
    Py_RETURN_NONE;
  }
  PyObject *list = PySequence_List(devices);
  for (Py_ssize_t i = 0; list && i < PyList_GET_SIZE(list); i++) {
    add_gpu(self, PyList_GET_ITEM(list, i));
  }
  if (!list) PyErr_Clear();
  Py_XDECREF(list);
  if (self->gpus) ax_gpus_used();
  Py_RETURN_NONE;
}

static PyObject *set_status(ax_span *self, PyObject *const *args, Py_ssize_t count,
                            PyObject *keywords) {
  static const char *const names[] = {"status", "description"};
  PyObject *values[2];
  if (ax_arguments("set_status", names, 1, 2, args, count, keywords, values) < 0) return NULL;
  long status = PyLong_Check(values[0]) ? PyLong_AsLong(values[0]) : -1;
  if (PyErr_Occurred()) PyErr_Clear();
  if (self->state == AX_ENDED || status < 0 || status > 2) Py_RETURN_NONE;
  PyObject *text = values[1] && values[1] != Py_None ? PyObject_Str(values[1]) : NULL;
  if (PyErr_Occurred()) PyErr_Clear();
  self->status = (uint8_t)status;
  Py_XSETREF(self->message, text);
  Py_RETURN_NONE;
}

static PyObject *record_exception(ax_span *self, PyObject *const *args, Py_ssize_t count,
                                  PyObject *keywords) {
  static const char *const names[] = {"error"};
  PyObject *error;
  if (ax_arguments("record_exception", names, 1, 1, args, count, keywords, &error) < 0) return NULL;
  if (self->state == AX_ENDED) Py_RETURN_NONE;
  PyObject *when = PyLong_FromLongLong(ax_monotonic() + ax.offset);
  PyObject *event =
      when ? PyObject_CallFunctionObjArgs(ax.exception_event, error, when, NULL) : NULL;
  if (self->state != AX_ENDED) ax_span_event(self, event);
  PyErr_Clear();
  Py_XDECREF(event);
  Py_XDECREF(when);
  Py_RETURN_NONE;
}

static PyObject *add_event(ax_span *self, PyObject *const *args, Py_ssize_t count,
                           PyObject *keywords) {
  static const char *const names[] = {"name", "attributes"};
  PyObject *values[2];
  if (ax_arguments("add_event", names, 1, 2, args, count, keywords, values) < 0) return NULL;
  if (self->state == AX_ENDED) Py_RETURN_NONE;
  PyObject *attributes = values[1] ? values[1] : Py_None;
  PyObject *when = PyLong_FromLongLong(ax_monotonic() + ax.offset);
  PyObject *event =
      when ? PyObject_CallFunctionObjArgs(ax.event, values[0], when, attributes, NULL) : NULL;
  if (self->state != AX_ENDED) ax_span_event(self, event);
  PyErr_Clear();
  Py_XDECREF(event);
  Py_XDECREF(when);
  Py_RETURN_NONE;
}

AX_LOCKED_ONE(ax_span_enter)
AX_LOCKED_FAST(ax_span_exit)
AX_LOCKED_FAST(ax_begin_method)
AX_LOCKED_FAST(ax_finish_method)
AX_LOCKED_ONE(add_encoded)
AX_LOCKED_KEYWORDS(set_attribute)
AX_LOCKED_KEYWORDS(set_gpus)
AX_LOCKED_KEYWORDS(set_status)
AX_LOCKED_KEYWORDS(record_exception)
AX_LOCKED_KEYWORDS(add_event)

PyMethodDef ax_span_methods[] = {
    {"__enter__", AX_METHOD(ax_span_enter_locked), METH_NOARGS, NULL},
    {"__exit__", AX_METHOD(ax_span_exit_locked), METH_FASTCALL, NULL},
    {"_begin", AX_METHOD(ax_begin_method_locked), METH_FASTCALL, NULL},
    {"_finish", AX_METHOD(ax_finish_method_locked), METH_FASTCALL, NULL},
    {"_add", AX_METHOD(add_encoded_locked), METH_O, NULL},
    {"set_attribute", AX_METHOD(set_attribute_locked), AX_FAST,
     "Sets one attribute; a second value for a key replaces the first. None is ignored."},
    {"set_gpus", AX_METHOD(set_gpus_locked), AX_FAST,
     "Names the devices that this span used, as cuda:0 or 0: the process's own numbering."},
    {"set_status", AX_METHOD(set_status_locked), AX_FAST,
     "Sets the outcome. An exception that leaves the span sets ERROR whatever was set."},
    {"record_exception", AX_METHOD(record_exception_locked), AX_FAST,
     "Adds an exception as an event; does not change the status."},
    {"add_event", AX_METHOD(add_event_locked), AX_FAST, "Adds a named moment with attributes."},
    {NULL, NULL, 0, NULL},
};
