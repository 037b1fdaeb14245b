/*
 * Believable load: a day of a serving GPU in 300 s of script time, repeated. Idle, prefill bursts,
 * a decode plateau, a throttled stretch, back to idle. Pure functions of (node, device, time), so that
 * two processes reading the same node with the same `start` see the same numbers.
 */
#include <math.h>
#include "fake.h"

#define DAY_S 300.0
/* The energy counter moves in steps of this, as the hardware's does. */
#define ENERGY_STEP_S 0.1

static double clamp(double value, double low, double high) {
  return value < low ? low : value > high ? high : value;
}

/* Smooth noise in -1..1, different for every lane. */
static double wobble(double t, double lane) {
  return (sin(t * 1.7 + lane * 2.1) + sin(t * 0.37 + lane * 5.3) + sin(t * 4.9 + lane)) / 3;
}

double script_seconds(const struct node *node) {
  if (node->fixed_s >= 0) return node->fixed_s;
  double t = (wall_seconds() - node->start_s) * node->speed;
  return t < 0 ? 0 : t;
}

struct shape { double busy, prefill, decode, throttle; };

static struct shape shape_at(const struct node *node, double t, double lane) {
  if (node->load == LOAD_IDLE) return (struct shape){0, 0, 0, 0};
  if (node->load == LOAD_STEADY) return (struct shape){node->steady, 0, node->steady, 0};
  double at = fmod(t + lane * 23, DAY_S);
  if (at < 40 || at >= 280) return (struct shape){0, 0, 0, 0};
  if (at < 100) { /* bursts: 2.5 s of prefill every 6 s */
    double burst = fmod(at, 6) < 2.5 ? 1 : 0;
    return (struct shape){0.25 + 0.7 * burst, burst, 0.2, 0};
  }
  if (at < 230) return (struct shape){0.86 + 0.08 * wobble(t, lane), 0.12, 0.85, 0};
  return (struct shape){0.97, 0.45, 0.8, 1}; /* 230-280 s: at the power cap, hot */
}

static struct activity activity_of(const struct product *product, struct shape shape, double t, double lane, double noise) {
  struct activity activity = {0};
  double n = shape.busy > 0 ? noise * wobble(t * 3, lane) : 0;
  activity.gpu = clamp(shape.busy + 0.04 * n, 0, 1);
  activity.sm = clamp(shape.busy * 0.82 + shape.prefill * 0.12 + 0.03 * n, 0, 1);
  activity.occupancy = clamp(activity.sm * 0.45 + 0.02 * n, 0, 1);
  activity.tensor = clamp(shape.prefill * 0.62 + shape.decode * 0.11 + 0.02 * n, 0, 1);
  activity.memory_bw = clamp(shape.decode * 0.74 + shape.prefill * 0.15 + 0.03 * n, 0, 1);
  activity.memory_used = shape.busy > 0 ? 0.82 + 0.06 * clamp(shape.decode + 0.2 * n, 0, 1) : 0.78;
  double drive = clamp(0.25 * activity.gpu + 0.75 * activity.tensor + 0.45 * activity.memory_bw, 0, 1);
  double power = product->idle_w + (product->power_limit_w - product->idle_w) * drive;
  /* Idle is not flat either: a sensor's last digits move. */
  if (shape.busy == 0) power += noise * 0.9 * wobble(t * 3, lane);
  activity.power_w = shape.throttle > 0 ? product->power_limit_w - 1.5 + wobble(t, lane) : power;
  activity.temperature_c = 31 + 44 * drive + (shape.throttle > 0 ? 11 : 0);
  double clock = shape.busy == 0 ? 0.17 : shape.throttle > 0 ? 0.74 + 0.03 * n : 1;
  activity.sm_mhz = floor(product->max_sm_mhz * clamp(clock, 0.1, 1) / 15) * 15;
  /* idle 0x1, software power cap 0x4, hardware thermal 0x40 */
  activity.throttle = shape.busy == 0 ? 0x1 : shape.throttle > 0 ? 0x4 | 0x40 : 0;
  return activity;
}

struct activity activity_of_gpu(const struct node *node, unsigned int gpu, double t) {
  double noise = node->load == LOAD_DAY ? 1 : 0;
  return activity_of(node->gpus[gpu].product, shape_at(node, t, gpu), t, gpu, noise);
}

struct activity activity_of_slice(const struct node *node, unsigned int gpu, unsigned int slot, double t) {
  double lane = gpu + 0.31 * (slot + 1), noise = node->load == LOAD_DAY ? 1 : 0;
  return activity_of(node->gpus[gpu].product, shape_at(node, t, lane), t, lane, noise);
}

bool is_lost(const struct node *node, unsigned int gpu, double t) {
  if (node->gpus[gpu].lost) return true;
  return node->xid79_gpu == (int)gpu && t >= node->xid79_s;
}

/* The integral of power since the driver was loaded; remembered, so that a call adds new steps only. */
unsigned long long energy_mj(const struct node *node, unsigned int gpu, double t) {
  static struct { const struct product *product; double start, until, joules, reload; } known[MAX_GPUS];
  double reload = node->reload_s > 0 ? clamp((node->reload_s - node->start_s) * node->speed, 0, t) : 0;
  const struct product *product = node->gpus[gpu].product;
  if (known[gpu].product != product || known[gpu].start != node->start_s || known[gpu].reload != reload ||
      known[gpu].until > t) {
    known[gpu].product = product;
    known[gpu].start = node->start_s;
    known[gpu].reload = known[gpu].until = reload;
    known[gpu].joules = 0;
  }
  while (known[gpu].until + ENERGY_STEP_S <= t) {
    known[gpu].joules += activity_of_gpu(node, gpu, known[gpu].until).power_w * ENERGY_STEP_S;
    known[gpu].until += ENERGY_STEP_S;
  }
  return (unsigned long long)(known[gpu].joules * 1000);
}
