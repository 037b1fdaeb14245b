/*
 * `__enter__` and `__exit__` of a span, up to Python 3.13. There a `with` statement asks the type's two
 * descriptors before it calls either: ordinary methods answer with bound methods, two objects that the
 * collector tracks, and are called through three layers. That was a quarter of an empty span. These answer
 * with an object that is kept for reuse and called at once. From 3.14 on the interpreter binds nothing.
 */
#include "span.h"

#if PY_VERSION_HEX >= 0x030E0000

int ax_special_ready(void) { return 0; }

#else

#include <stddef.h>

/* Of both kinds; none without the GIL, as with spans. */
#define SPARE_MAX 64

typedef struct {
  PyObject_HEAD
  vectorcallfunc call;
  vectorcallfunc bound; /* of what this one hands out for a span */
  const char *name;
} ax_special;

typedef struct {
  PyObject_HEAD
  vectorcallfunc call;
  ax_special *special;
  ax_span *span; /* while it is spare: the next one */
} ax_bound;

static PyTypeObject special_type, bound_type;
static ax_bound *spare;
static int spares;

AX_LOCKED_ONE(ax_span_enter)
AX_LOCKED_FAST(ax_span_exit)

/* How many positional arguments; -1 with TypeError where there are others. */
static Py_ssize_t positional(const char *name, size_t flagged, PyObject *keywords) {
  if (!keywords || PyTuple_GET_SIZE(keywords) == 0) return PyVectorcall_NARGS(flagged);
  PyErr_Format(PyExc_TypeError, "%s() takes no keyword arguments", name);
  return -1;
}

static PyObject *call_enter(PyObject *self, PyObject *const *Py_UNUSED(args), size_t flagged,
                            PyObject *keywords) {
  Py_ssize_t count = positional("__enter__", flagged, keywords);
  if (count == 0) return ax_span_enter_locked(((ax_bound *)self)->span, NULL);
  if (count > 0) PyErr_SetString(PyExc_TypeError, "__enter__() takes no arguments");
  return NULL;
}

static PyObject *call_exit(PyObject *self, PyObject *const *args, size_t flagged, PyObject *keywords) {
  Py_ssize_t count = positional("__exit__", flagged, keywords);
  return count < 0 ? NULL : ax_span_exit_locked(((ax_bound *)self)->span, args, count);
}

static PyObject *bind(PyObject *self, PyObject *object, PyObject *Py_UNUSED(type)) {
  if (!object || !ax_is_span(object)) return Py_NewRef(self);
  ax_bound *made = AX_FREE ? NULL : spare;
  if (made) {
    spare = (ax_bound *)made->span;
    spares--;
    PyObject_Init((PyObject *)made, &bound_type);
  } else {
    made = PyObject_New(ax_bound, &bound_type);
    if (!made) return NULL;
  }
  made->call = ((ax_special *)self)->bound;
  made->special = (ax_special *)Py_NewRef(self);
  made->span = (ax_span *)Py_NewRef(object);
  return (PyObject *)made;
}

static void bound_dealloc(ax_bound *self) {
  ax_span *span = self->span;
  ax_special *special = self->special;
  if (!AX_FREE && spares < SPARE_MAX) {
    self->span = (ax_span *)spare;
    spare = self;
    spares++;
  } else {
    PyObject_Free(self);
  }
  Py_DECREF(special);
  Py_DECREF(span);
}

/* `type(span).__enter__(span)`, as contextlib.ExitStack calls it. */
static PyObject *call_unbound(PyObject *self, PyObject *const *args, size_t flagged,
                              PyObject *keywords) {
  ax_special *special = (ax_special *)self;
  Py_ssize_t count = positional(special->name, flagged, keywords);
  if (count < 0) return NULL;
  if (count == 0 || !ax_is_span(args[0])) {
    PyErr_Format(PyExc_TypeError, "%s() needs a span", special->name);
    return NULL;
  }
  PyObject *bound = bind(self, args[0], NULL);
  PyObject *result = bound ? special->bound(bound, args + 1, (size_t)count - 1, NULL) : NULL;
  Py_XDECREF(bound);
  return result;
}

static PyObject *bound_repr(ax_bound *self) {
  return PyUnicode_FromFormat("<bound method %s of %R>", self->special->name, self->span);
}

static PyObject *special_repr(ax_special *self) {
  return PyUnicode_FromFormat("<method %s of axonize spans>", self->name);
}

static PyTypeObject bound_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "axonize._core.bound_method",
    .tp_basicsize = sizeof(ax_bound),
    .tp_dealloc = (destructor)bound_dealloc,
    .tp_repr = (reprfunc)bound_repr,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(ax_bound, call),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
};

static PyTypeObject special_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "axonize._core.method",
    .tp_basicsize = sizeof(ax_special),
    .tp_repr = (reprfunc)special_repr,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(ax_special, call),
    .tp_descr_get = bind,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
};

static int add(const char *name, vectorcallfunc bound) {
  ax_special *made = PyObject_New(ax_special, &special_type);
  if (!made) return -1;
  made->call = call_unbound;
  made->bound = bound;
  made->name = name;
  int failed = PyDict_SetItemString(AxSpanType.tp_dict, name, (PyObject *)made);
  Py_DECREF(made);
  return failed;
}

int ax_special_ready(void) {
  if (PyType_Ready(&special_type) < 0 || PyType_Ready(&bound_type) < 0) return -1;
  if (add("__enter__", call_enter) < 0 || add("__exit__", call_exit) < 0) return -1;
  PyType_Modified(&AxSpanType);
  return 0;
}

#endif
