/* Whether the counter may be used, and what it is worth in ns. See clock.h. No Python in here. */
#define _GNU_SOURCE
#include "clock.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define TIE_NS 10000000           /* 10 ms: a clock that is slewed by 500 ppm is 5 us off by then */
#define RATE_NS 2000000           /* over less, the jitter of two readings is too much of it */
#define RATE_NS_MAX 3600000000000 /* over more, the machine may have slept */
#define READING_TICKS_MAX 2000    /* a reading that took longer was interrupted */

ax_clock_state ax_clock;

static int64_t kernel_clock(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The kernel keeps time by the counter only where all cores' agree and no power state stops them. */
static int kernel_uses_counter(void) {
#if defined(__x86_64__) && defined(__linux__)
  char name[8] = {0};
  int file = open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t size = read(file, name, sizeof name - 1);
  close(file);
  if (size < 3 || strncmp(name, "tsc", 3) != 0 || (name[3] && name[3] != '\n')) return 0;
  /* A sandbox may have made reading the counter a fault. */
  int allowed = 0;
  return prctl(PR_GET_TSC, &allowed) == 0 && allowed == PR_TSC_ENABLE;
#else
  return 0;
#endif
}

void ax_clock_open(int system) {
  memset(&ax_clock, 0, sizeof ax_clock);
  ax_clock.usable = !system && kernel_uses_counter();
}

#if defined(__x86_64__)
/* The most that can have been told until `ticks`. */
static int64_t latest(uint64_t ticks) {
  const ax_clock_state *clock = &ax_clock;
  int64_t since = (int64_t)(ticks - clock->ticks);
  if (!clock->good_for || since <= 0) return 0;
  uint64_t most = (uint64_t)since < clock->good_for ? (uint64_t)since : clock->good_for;
  return clock->ns + (int64_t)(most * clock->scale >> 32);
}

static void tie(uint64_t ticks, int64_t now) {
  ax_clock_state *clock = &ax_clock;
  int64_t ns = now - clock->kernel, count = (int64_t)(ticks - clock->ticks);
  int64_t told = latest(ticks);
  if (clock->ticks && count > 0 && ns < RATE_NS_MAX) {
    if (!clock->rate && ns < RATE_NS) return;
    double rate = (double)ns / (double)count, off = rate - clock->rate;
    if (!clock->rate) clock->rate = rate;
    /* Suspended, moved to another machine, or set by hand: learnt anew from here on. */
    else if (off > clock->rate / 1000 || -off > clock->rate / 1000) clock->rate = 0;
    else if (ns >= RATE_NS) clock->rate += off / 8;
  } else {
    clock->rate = 0;
  }
  clock->ticks = ticks;
  clock->kernel = now;
  clock->ns = told > now ? told : now;
  /* Ticks times scale are at most 10 ms times 2^32, or 2^56. */
  int fits = clock->rate > 0.05 && clock->rate < 4;
  clock->good_for = fits ? (uint64_t)(TIE_NS / clock->rate) : 0;
  clock->scale = fits ? (uint64_t)(clock->rate * 4294967296.0) : 0;
}
#endif

int64_t ax_clock_ask(void) {
#if defined(__x86_64__)
  if (ax_clock.usable) {
    uint64_t before = __builtin_ia32_rdtsc();
    int64_t now = kernel_clock();
    uint64_t took = __builtin_ia32_rdtsc() - before;
    int64_t told = latest(before + took);
    if (took <= READING_TICKS_MAX) tie(before + took / 2, now);
    return now > told ? now : told;
  }
#endif
  return kernel_clock();
}
