/*
 * What takes the place of the interpreter's lock in a free-threaded Python (3.13t, 3.14t); in every other
 * one all of this is nothing.
 *
 * Two locks. Each method of a span runs in a critical section of that span, so that a span may be used
 * from several threads; CPython gives it up whenever the thread may wait, so it cannot deadlock, and what
 * was read before such a call is read again or held by a reference. The ring has one writer at a time
 * under a spin lock: held for one copy of a record, by a thread that calls nobody meanwhile. A fork stops
 * all threads where they could give a lock away, so a child finds it free.
 */
#ifndef AXONIZE_FREE_H
#define AXONIZE_FREE_H

#include <Python.h>

#ifdef Py_GIL_DISABLED

#include <sched.h>
#include <stdatomic.h>

#define AX_FREE 1
#define AX_PER_THREAD _Thread_local

/* A copy takes 10 ns to 10 us; whoever waits for longer waits for a thread that is not running. */
static inline void ax_take(atomic_flag *lock) {
  for (int tries = 0; atomic_flag_test_and_set_explicit(lock, memory_order_acquire); tries++) {
    if (tries >= 100) sched_yield();
  }
}

static inline void ax_give(atomic_flag *lock) {
  atomic_flag_clear_explicit(lock, memory_order_release);
}

#else

#define AX_FREE 0
#define AX_PER_THREAD
#define ax_take(lock) ((void)0)
#define ax_give(lock) ((void)0)

#ifndef Py_BEGIN_CRITICAL_SECTION /* before 3.13 */
#define Py_BEGIN_CRITICAL_SECTION(object) {
#define Py_END_CRITICAL_SECTION() }
#endif

#endif

/* `AX_LOCKED_*(f)` makes `f_locked`, which is f in a critical section of self. */
#define AX_LOCKED(result, name, parameters, arguments)  \
  static result name##_locked parameters {              \
    result done;                                        \
    Py_BEGIN_CRITICAL_SECTION(self);                    \
    done = name arguments;                              \
    Py_END_CRITICAL_SECTION();                          \
    return done;                                        \
  }
#define AX_LOCKED_KEYWORDS(name)                                                                 \
  AX_LOCKED(PyObject *, name,                                                                    \
            (ax_span * self, PyObject *const *args, Py_ssize_t count, PyObject *keywords),       \
            (self, args, count, keywords))
#define AX_LOCKED_FAST(name) \
  AX_LOCKED(PyObject *, name, (ax_span * self, PyObject *const *args, Py_ssize_t count), (self, args, count))
#define AX_LOCKED_ONE(name) \
  AX_LOCKED(PyObject *, name, (ax_span * self, PyObject *argument), (self, argument))
#define AX_LOCKED_GET(name) AX_LOCKED(PyObject *, name, (ax_span * self, void *closure), (self, closure))
#define AX_LOCKED_SET(name) \
  AX_LOCKED(int, name, (ax_span * self, PyObject *value, void *closure), (self, value, closure))

#endif
