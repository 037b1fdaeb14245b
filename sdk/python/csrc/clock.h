/*
 * The clock that spans are timed by: CLOCK_MONOTONIC, read by the processor's counter where the kernel
 * itself keeps time by it. A call of the kernel's clock costs 22 ns, and half of a streamed request was
 * that; the counter costs 9.
 *
 * The counter is tied to the kernel's clock every 10 ms and asked for no longer than that, so it is off by
 * the jitter of one reading (under 1 us) and never runs backwards. Everything here runs under the GIL; in a
 * free-threaded Python the kernel is asked each time.
 */
#ifndef AXONIZE_CLOCK_H
#define AXONIZE_CLOCK_H

#include <stdint.h>

typedef struct {
  uint64_t ticks; /* of the counter, at `ns` */
  int64_t ns;     /* what was told then: never less than what was told before */
  int64_t kernel; /* what the kernel said then */
  uint64_t good_for; /* ticks after which the kernel is asked again; 0: the rate is not known */
  uint64_t scale; /* ns per tick, times 2^32 */
  double rate;    /* ns per tick, 0: not known */
  int usable;
} ax_clock_state;

extern ax_clock_state ax_clock;

/* Looks whether the counter may be used. `system`: it may not. */
void ax_clock_open(int system);
/* Asks the kernel, and ties the counter to its answer. */
int64_t ax_clock_ask(void);

static inline int64_t ax_monotonic(void) {
#if defined(__x86_64__)
  if (ax_clock.good_for) {
    uint64_t since = __builtin_ia32_rdtsc() - ax_clock.ticks;
    /* A counter that went back (a machine that was moved) is a large number here. */
    if (since < ax_clock.good_for) return ax_clock.ns + (int64_t)(since * ax_clock.scale >> 32);
  }
#endif
  return ax_clock_ask();
}

#endif
