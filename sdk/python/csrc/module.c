/*
 * axonize._core: the module. Clock, ids, the ring's life, and draining without the GIL.
 *
 * `connect` gets the hooks from the package's Python half once; nothing works before it.
 */
#include "span.h"

#define GIL_BYTES_MAX (256 * 1024) /* of ring, about 50 us */
#define KEPT_BYTES_MAX (1024 * 1024) /* of a drain's memory: 2,048 spans of 5 attributes take 830 KB */

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

int64_t ax_realtime_offset(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - ax_monotonic();
}

static uint64_t rotate(uint64_t value, int bits) { return value << bits | value >> (64 - bits); }

/* One for all threads, or one for each where several run at once. */
static AX_PER_THREAD struct {
  uint64_t state[4], generation; /* generation: of the process, plus one; 0 = not seeded */
} ids;

/* xoshiro256++: 256 bits of state, so that two processes' sequences do not meet. */
uint64_t ax_random(void) {
  if (AX_FREE && ids.generation != ax.generation + 1) ax_seed();
  uint64_t *s = ids.state, result = rotate(s[0] + s[3], 23) + s[0], t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate(s[3], 45);
  return result;
}

void ax_seed(void) {
  if (getentropy(ids.state, sizeof ids.state) != 0) {
    /* No entropy source (a chroot of an old kernel): distinct, if guessable. Ids are no secrets. */
    for (int i = 0; i < 4; i++) {
      ids.state[i] = ((uint64_t)ax_monotonic() ^ (uint64_t)getpid() << 32) + 0x9e3779b97f4a7c15u * (i + 1);
    }
  }
  ids.state[0] |= 1;
  ids.generation = ax.generation + 1;
}

/* Events count gaps only above 1 ms, so that children never seem to begin before their parents. */
static void refresh_offset(void) {
  int64_t offset = ax_realtime_offset(), gap = offset - ax.offset;
  if (gap > 1000000 || gap < -1000000) ax.offset = offset;
}

static PyObject *connect_hooks(PyObject *Py_UNUSED(module), PyObject *args) {
  PyObject **slots[] = {&ax.current,         &ax.context_type,      &ax.key_value, &ax.event,
                        &ax.exception_event, &ax.exception_message, &ax.type_name, &ax.enter,
                        &ax.leave,           &ax.counted,           &ax.count};
  const Py_ssize_t wanted = (Py_ssize_t)(sizeof slots / sizeof *slots);
  if (PyTuple_GET_SIZE(args) != wanted || !PyContextVar_CheckExact(PyTuple_GET_ITEM(args, 0))) {
    PyErr_SetString(PyExc_TypeError, "connect() takes the hooks of this version");
    return NULL;
  }
  for (Py_ssize_t i = 0; i < wanted; i++) {
    Py_XSETREF(*slots[i], Py_NewRef(PyTuple_GET_ITEM(args, i)));
  }
  Py_RETURN_NONE;
}

static int connected(void) {
  if (ax.current) return 1;
  PyErr_SetString(PyExc_RuntimeError, "axonize._core is not connected");
  return 0;
}

static PyObject *span(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count,
                      PyObject *keywords) {
  return connected() ? ax_span_create(args, count, keywords, 0) : NULL;
}

static PyObject *llm_span(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count,
                          PyObject *keywords) {
  return connected() ? ax_span_create(args, count, keywords, 1) : NULL;
}

/* The right to read the ring and to change where it lies: one has it, and nobody waits for it. */
static int take_reading(void) { return !atomic_flag_test_and_set(&ax.reading); }

static void give_reading(void) { atomic_flag_clear(&ax.reading); }

/* A ring in a file in place of the private one; before enable(). OSError where that cannot be had. */
static PyObject *share(PyObject *Py_UNUSED(module), PyObject *args) {
  unsigned long long bytes;
  const char *path, *owner;
  Py_ssize_t owner_size;
  if (!PyArg_ParseTuple(args, "sKy#", &path, &bytes, &owner, &owner_size)) return NULL;
  if (owner_size > (Py_ssize_t)AX_RING_OWNER_MAX) owner_size = AX_RING_OWNER_MAX + 1;
  ax_ring made = {0};
  int mine = take_reading(), idle = mine && !ax_ring_pending(&ax.ring);
  int open = idle && ax_ring_open_file(&made, path, bytes, owner, (uint32_t)owner_size);
  if (open) {
    ax_take(&ax.writing);
    ax_ring before = ax.ring;
    ax.ring = made;
    ax_give(&ax.writing);
    if (before.data) ax_ring_close(&before);
  }
  if (mine) give_reading();
  if (open) Py_RETURN_NONE;
  if (idle) return PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
  PyErr_SetString(PyExc_OSError, "the ring is in use");
  return NULL;
}

/* Back to private memory. What the file still holds stays in it. */
static PyObject *leave_file(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused)) {
  int left = 0;
  if (!take_reading()) Py_RETURN_FALSE;
  if (ax.ring.file) {
    ax.enabled = 0;
    ax_take(&ax.writing);
    ax_ring_close(&ax.ring);
    ax_give(&ax.writing);
    left = 1;
  }
  give_reading();
  return PyBool_FromLong(left);
}

static PyObject *commit(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused)) {
  if (!take_reading()) Py_RETURN_NONE;
  if (ax.ring.data) ax_ring_commit(&ax.ring);
  give_reading();
  Py_RETURN_NONE;
}

static PyObject *enable(PyObject *Py_UNUSED(module), PyObject *args) {
  unsigned long long bytes, wake_at;
  PyObject *wake, *before;
  if (!PyArg_ParseTuple(args, "KKO", &bytes, &wake_at, &wake)) return NULL;
  ax_take(&ax.writing);
  int open = ax.ring.data || ax_ring_open(&ax.ring, bytes);
  ax_give(&ax.writing);
  if (!open) return PyErr_NoMemory();
  Py_BEGIN_CRITICAL_SECTION(ax.module);
  before = ax.wake;
  ax.wake = Py_NewRef(wake);
  ax.wake_at = wake_at;
  ax.need_start = ax.enabled = 1;
  Py_END_CRITICAL_SECTION();
  Py_XDECREF(before);
  Py_RETURN_NONE;
}

static PyObject *disable(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused)) {
  ax.enabled = 0;
  Py_RETURN_NONE;
}

static PyObject *watch_gpus(PyObject *Py_UNUSED(module), PyObject *hook) {
  int watching = hook != Py_None;
  PyObject *before;
  Py_BEGIN_CRITICAL_SECTION(ax.module);
  before = ax.gpu_hook;
  ax.gpu_hook = watching ? Py_NewRef(hook) : NULL;
  ax.marking = ax.watching = watching;
  Py_END_CRITICAL_SECTION();
  Py_XDECREF(before);
  Py_RETURN_NONE;
}

/*
 * Memory for a drain. Taken anew it would be mapped, faulted in page by page and unmapped for every batch,
 * which cost a seventh of all that a span costs.
 */
static PyObject *drain_memory(uint64_t capacity) {
  PyObject *kept = ax.drained;
  /* Without the GIL a count of one does not say that nobody else is about to look. */
  if (!AX_FREE && kept && Py_REFCNT(kept) == 1 && (uint64_t)PyBytes_GET_SIZE(kept) >= capacity) return Py_NewRef(kept);
  PyObject *out = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)capacity);
  if (!AX_FREE && out && capacity <= KEPT_BYTES_MAX) Py_XSETREF(ax.drained, Py_NewRef(out));
  return out;
}

/* The first bytes of it as a memoryview. Takes the reference. */
static PyObject *part_of(PyObject *memory, size_t size) {
  PyObject *view = PyMemoryView_FromObject(memory);
  Py_DECREF(memory);
  PyObject *part = view ? PySequence_GetSlice(view, 0, (Py_ssize_t)size) : NULL;
  Py_XDECREF(view);
  return part;
}

/* Encodes what waits; the caller is the only reader. */
static PyObject *drain_ring(uint64_t spans_max, uint64_t bytes_max) {
  refresh_offset();
  uint64_t pending = ax.ring.data ? ax_ring_pending(&ax.ring) : 0, count = 0;
  if (!pending) return Py_BuildValue("y#Ky#", "", (Py_ssize_t)0, 0ull, "", (Py_ssize_t)0);
  uint64_t used = atomic_load(&ax.ring.head) - atomic_load(&ax.ring.tail);
  if (bytes_max > 64u << 20) bytes_max = 64u << 20;
  if (spans_max > 1u << 30) spans_max = 1u << 30;
  /* An encoded span is at most 64 bytes longer than its record; at least one always fits. */
  uint64_t capacity = used + 64 * pending;
  if (spans_max < pending) {
    /* Part of the ring: so many spans of average size and a quarter more, or one of the largest. */
    uint64_t part = spans_max * (used / pending + 64) / 4 * 5 + AX_RECORD_MAX;
    if (part < capacity) capacity = part;
  }
  if (capacity > bytes_max + AX_RECORD_MAX) capacity = bytes_max + AX_RECORD_MAX;
  PyObject *out = drain_memory(capacity);
  if (!out) return NULL;
  uint8_t *bytes = (uint8_t *)PyBytes_AS_STRING(out);
  size_t size;
  uint64_t marks_max = spans_max < pending ? spans_max : pending, marked = 0;
  int marking = ax.marking;
  PyObject *marks = PyBytes_FromStringAndSize(NULL, marking ? (Py_ssize_t)(marks_max * sizeof(ax_mark)) : 0);
  if (!marks) {
    Py_DECREF(out);
    return NULL;
  }
  ax_mark *places = marking ? (ax_mark *)PyBytes_AS_STRING(marks) : NULL;
  /* No more than is pending now: another thread may add while the lock is away. A batch of usual
   * size takes 10 us: giving the lock away and asking for it again costs everybody more than that. */
  PyThreadState *saved = used > GIL_BYTES_MAX ? PyEval_SaveThread() : NULL;
  size = ax_ring_drain(&ax.ring, bytes, (size_t)capacity, marks_max, &count, places, &marked);
  if (saved) PyEval_RestoreThread(saved);
  PyObject *spans = part_of(out, size);
  if (!spans || (places && _PyBytes_Resize(&marks, (Py_ssize_t)(marked * sizeof(ax_mark))) < 0)) {
    Py_XDECREF(spans);
    Py_XDECREF(marks);
    return NULL;
  }
  return Py_BuildValue("NKN", spans, (unsigned long long)count, marks);
}

static PyObject *drain(PyObject *Py_UNUSED(module), PyObject *args) {
  unsigned long long spans_max, bytes_max;
  if (!PyArg_ParseTuple(args, "KK", &spans_max, &bytes_max)) return NULL;
  if (!take_reading()) return Py_BuildValue("y#Ky#", "", (Py_ssize_t)0, 0ull, "", (Py_ssize_t)0);
  PyObject *drained = drain_ring(spans_max, bytes_max);
  give_reading();
  return drained;
}

static PyObject *stats(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused)) {
  ax_take(&ax.writing);
  unsigned long long pending = ax_ring_pending(&ax.ring), recorded = ax.ring.produced, dropped = ax.ring.dropped;
  ax_give(&ax.writing);
  return Py_BuildValue("{sKsKsKsK}", "recorded", recorded, "dropped", dropped, "truncated",
                       (unsigned long long)ax.truncated, "pending", pending);
}

static PyObject *clock_now(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused)) {
  return PyLong_FromLongLong(ax_monotonic());
}

static PyObject *system_clock(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused)) {
  ax_clock_open(1);
  Py_RETURN_NONE;
}

/* In a forked child: an empty ring (the parent sends what was in it), other ids, no exporter yet. */
static PyObject *after_fork(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused)) {
  ax.generation++;
  ax_seed();
  atomic_flag_clear(&ax.writing);
  atomic_flag_clear(&ax.reading);
  /* A ring in a file belongs to the parent: the child takes its hands off. */
  if (ax.ring.file) {
    ax.enabled = 0;
    ax_ring_close(&ax.ring);
  }
  if (ax.ring.data) ax_ring_reset(&ax.ring);
  ax.truncated = 0;
  ax.need_start = 1;
  Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"connect", connect_hooks, METH_VARARGS, "Sets the hooks of the Python half."},
    {"span", AX_METHOD(span), AX_FAST,
     "span(name, *, parent=None, kind=1, **attributes)\n\nA span for a with block."},
    {"llm_span", AX_METHOD(llm_span), AX_FAST,
     "llm_span(name, *, model=None, parent=None, kind=1, **attributes)\n\nA span of one model call."},
    {"enable", enable, METH_VARARGS, "enable(bytes_max, wake_at, wake)"},
    {"share", share, METH_VARARGS, "share(path, bytes_max, owner): the ring lives in a new file."},
    {"unshare", leave_file, METH_NOARGS, "Leaves the file; whether there was one."},
    {"commit", commit, METH_NOARGS, "What was drained needs to be kept no longer."},
    {"disable", disable, METH_NOARGS, "Stops queueing; what is queued can still be drained."},
    {"drain", drain, METH_VARARGS, "drain(spans_max, bytes_max) -> (spans, count, marks); spans are bytes or a view of them"},
    {"watch_gpus", watch_gpus, METH_O,
     "Marks spans that name devices in what drain returns; calls once when the first one does."},
    {"stats", stats, METH_NOARGS, "Counters since the process began."},
    {"clock", clock_now, METH_NOARGS, "The monotonic ns that spans are timed by."},
    {"system_clock", system_clock, METH_NOARGS, "Reads the kernel's clock each time from now on."},
    {"after_fork", after_fork, METH_NOARGS, "Starts a forked child afresh."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "axonize._core",
    .m_doc = "The hot path in C; see _pure.py for the same in Python.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__core(void) {
  if (PyType_Ready(&AxSpanType) < 0 || ax_special_ready() < 0) return NULL;
  if (PyType_Ready(&AxLlmSpanType) < 0) return NULL;
  PyObject *module = PyModule_Create(&definition);
  if (!module) return NULL;
  ax.module = module;
  /* What ties the counter to the kernel's clock is for one thread at a time. */
  ax_clock_open(AX_FREE);
  ax_seed();
  ax.offset = ax_realtime_offset();
#ifdef Py_GIL_DISABLED
  PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED);
#endif
  if (PyModule_AddObjectRef(module, "Span", (PyObject *)&AxSpanType) < 0 ||
      PyModule_AddObjectRef(module, "LlmSpan", (PyObject *)&AxLlmSpanType) < 0 ||
      PyModule_AddStringConstant(module, "IMPLEMENTATION", "c") < 0) {
    Py_DECREF(module);
    return NULL;
  }
  return module;
}
