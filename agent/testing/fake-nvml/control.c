/*
 * The control file: one statement a line, read again whenever the file changes, so that a test or a
 * demo moves the node under a running reader. README.md in this folder lists the statements.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "fake.h"

static struct node fresh; /* 100s of KiB: too large for a caller's stack. Guarded by the call lock. */
static struct timespec seen_time;
static ino_t seen_inode;
static off_t seen_size = -1;
static double first_seen;
static bool named; /* the node of the environment has been read: it needs no second look */

double wall_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void complain(const char *line) { fprintf(stderr, "fake-nvml: ignored: %s\n", line); }

/* A stable id in the form of a UUID from any text: FNV-1a twice, enough to be different. */
static void uuid_from(char *to, const char *prefix, const char *text) {
  unsigned long long a = 14695981039346656037ull, b = 1099511628211ull * 7919;
  for (const char *p = text; *p != 0; p += 1) {
    a = (a ^ (unsigned char)*p) * 1099511628211ull;
    b = (b + a) * 6364136223846793005ull + 1442695040888963407ull;
  }
  snprintf(to, TEXT, "%s%08x-%04x-5%03x-%04x-%012llx", prefix, (unsigned)(a >> 32), (unsigned)(a >> 16) & 0xFFFF,
           (unsigned)a & 0xFFF, 0x8000u | ((unsigned)(b >> 48) & 0x3FFF), b & 0xFFFFFFFFFFFFull);
}

/* `key=value` among the words; NULL when absent. */
static const char *option(char **words, unsigned int count, const char *key) {
  size_t length = strlen(key);
  for (unsigned int i = 0; i < count; i += 1)
    if (strncmp(words[i], key, length) == 0 && words[i][length] == '=') return words[i] + length + 1;
  return NULL;
}
static unsigned int number(char **words, unsigned int count, const char *key, unsigned int otherwise) {
  const char *text = option(words, count, key);
  return text == NULL ? otherwise : (unsigned int)strtoul(text, NULL, 0);
}

static bool add_gpu(struct node *node, char **words, unsigned int count) {
  unsigned int index = (unsigned int)strtoul(words[1], NULL, 10);
  const struct product *product = count > 2 ? product_by_key(words[2]) : NULL;
  if (index >= MAX_GPUS || product == NULL) return false;
  struct gpu *gpu = &node->gpus[index];
  memset(gpu, 0, sizeof *gpu);
  gpu->product = product;
  gpu->mig_enabled = product->mig && number(words, count, "mig", 0) == 1;
  gpu->mig_pending = product->mig && number(words, count, "pending", gpu->mig_enabled) == 1;
  gpu->minor = number(words, count, "minor", index);
  gpu->domain = number(words, count, "domain", index / 16);
  gpu->bus = number(words, count, "bus", 0x10 + index % 16 * 0xA);
  char seed[32];
  snprintf(seed, sizeof seed, "gpu-%u", index);
  uuid_from(gpu->uuid, "GPU-", seed);
  if (option(words, count, "uuid")) snprintf(gpu->uuid, TEXT, "%s", option(words, count, "uuid"));
  snprintf(gpu->serial, sizeof gpu->serial, "16500%08u", 21000 + index);
  if (index >= node->gpu_count) node->gpu_count = index + 1;
  return true;
}

static bool add_slice(struct node *node, char **words, unsigned int count) {
  if (count < 4) return false;
  unsigned int index = (unsigned int)strtoul(words[1], NULL, 10);
  unsigned int slot = (unsigned int)strtoul(words[2], NULL, 10);
  if (index >= node->gpu_count || slot >= MAX_SLOTS || node->gpus[index].product == NULL) return false;
  struct gpu *gpu = &node->gpus[index];
  /* A compute instance of a part of its GPU instance is written "1c.3g.40gb". */
  const char *dot = words[3][1] == 'c' ? words[3] + 3 : words[3];
  const struct mig_profile *profile = mig_profile_by_name(gpu->product, dot);
  if (profile == NULL) return false;
  struct slice *slice = &gpu->slices[slot];
  slice->present = true;
  slice->profile = profile;
  slice->gi = number(words, count, "gi", slot + 1);
  slice->ci = number(words, count, "ci", 0);
  slice->start = number(words, count, "start", slot);
  snprintf(slice->name, TEXT, "%.40s", words[3]);
  char seed[TEXT * 2];
  snprintf(seed, sizeof seed, "%s/%u/%u", gpu->uuid, slice->gi, slice->ci);
  uuid_from(slice->uuid, "MIG-", seed);
  if (option(words, count, "uuid")) snprintf(slice->uuid, TEXT, "%s", option(words, count, "uuid"));
  if (node->legacy_mig_uuid) {
    snprintf(seed, sizeof seed, "MIG-%.60s/%u/%u", gpu->uuid, slice->gi, slice->ci);
    memcpy(slice->uuid, seed, TEXT - 1);
  }
  return true;
}

static bool add_process(struct node *node, char **words, unsigned int count) {
  if (count < 4 || node->process_count == MAX_PROCESSES) return false;
  struct process *process = &node->processes[node->process_count++];
  process->gpu = (unsigned int)strtoul(words[1], NULL, 10);
  process->pid = (unsigned int)strtoul(words[2], NULL, 10);
  process->memory_unknown = strcmp(words[3], "?") == 0;
  process->memory_mb = strtoull(words[3], NULL, 10);
  const char *slot = option(words, count, "slot"), *kind = option(words, count, "kind");
  process->slot = slot == NULL ? -1 : atoi(slot);
  process->sm = number(words, count, "sm", 50);
  process->kind = kind == NULL || strcmp(kind, "compute") == 0 ? PROCESS_COMPUTE
                  : strcmp(kind, "mps") == 0                   ? PROCESS_MPS
                                                               : PROCESS_GRAPHICS;
  return true;
}

static bool add_cost(struct node *node, const char *function, unsigned int micros, bool spin) {
  if (node->cost_count == MAX_COSTS) return false;
  struct cost *cost = &node->costs[node->cost_count++];
  snprintf(cost->function, TEXT, "%s", function);
  cost->micros = micros;
  cost->spin = spin;
  return true;
}

/* The published medians: process list 4491 us, memory 11.6, utilisation 2.5, PCIe window 20 ms. */
static bool add_realistic_costs(struct node *node, bool spin) {
  return add_cost(node, "RunningProcess", 4491, spin) && add_cost(node, "PcieThroughput", 20000, spin) &&
         add_cost(node, "MemoryInfo", 12, spin) && add_cost(node, "UtilizationRates", 3, spin) &&
         add_cost(node, "GetFieldValues", 20, spin) && add_cost(node, "SampleGet", 60, spin) &&
         add_cost(node, "MetricsGet", 10, spin) && add_cost(node, "PowerUsage", 8, spin) &&
         add_cost(node, "EnergyConsumption", 8, spin);
}

static bool apply(struct node *node, char **words, unsigned int count);

static void read_text(struct node *node, const char *text) {
  char *copy = strdup(text), *line_state = NULL;
  for (char *line = strtok_r(copy, "\n", &line_state); line != NULL; line = strtok_r(NULL, "\n", &line_state)) {
    char original[256], *words[16], *word_state = NULL;
    snprintf(original, sizeof original, "%.255s", line);
    unsigned int count = 0;
    for (char *word = strtok_r(line, " \t", &word_state); word != NULL && count < 16 && word[0] != '#';
         word = strtok_r(NULL, " \t", &word_state))
      words[count++] = word;
    if (count > 0 && !apply(node, words, count)) complain(original);
  }
  free(copy);
}

static bool apply_setting(struct node *node, const char *key, const char *value) {
  if (strcmp(key, "driver") == 0) snprintf(node->driver, TEXT, "%s", value);
  else if (strcmp(key, "nvml") == 0) snprintf(node->nvml, TEXT, "%s", value);
  else if (strcmp(key, "cuda") == 0) node->cuda = atoi(value);
  else if (strcmp(key, "privileged") == 0) node->privileged = atoi(value) != 0;
  else if (strcmp(key, "upgraded") == 0) node->upgraded = atoi(value) != 0;
  else if (strcmp(key, "loaded") == 0) node->driver_loaded = atoi(value) != 0;
  else if (strcmp(key, "legacy-mig-uuid") == 0) node->legacy_mig_uuid = atoi(value) != 0;
  else if (strcmp(key, "speed") == 0) node->speed = atof(value);
  else if (strcmp(key, "start") == 0) node->start_s = atof(value);
  else if (strcmp(key, "reload") == 0) node->reload_s = atof(value);
  else if (strcmp(key, "time") == 0) node->fixed_s = atof(value);
  else return false;
  return true;
}

static bool apply(struct node *node, char **words, unsigned int count) {
  const char *what = words[0];
  if (count < 2) return false;
  if (strcmp(what, "gpu") == 0) return add_gpu(node, words, count);
  if (strcmp(what, "slice") == 0) return add_slice(node, words, count);
  if (strcmp(what, "process") == 0) return add_process(node, words, count);
  if (strcmp(what, "node") == 0) {
    const char *text = node_text(words[1]);
    if (text != NULL) read_text(node, text);
    return text != NULL;
  }
  if (strcmp(what, "lost") == 0) {
    unsigned int gpu = (unsigned int)atoi(words[1]);
    if (gpu >= node->gpu_count) return false;
    node->gpus[gpu].lost = true;
    return true;
  }
  if (strcmp(what, "cost") == 0) {
    bool spin = strcmp(words[count - 1], "spin") == 0;
    if (strcmp(words[1], "realistic") == 0) return add_realistic_costs(node, spin);
    return count >= 3 && add_cost(node, words[1], (unsigned int)atoi(words[2]), spin);
  }
  if (strcmp(what, "fail") == 0 && count >= 4 && node->failure_count < MAX_FAILURES) {
    struct failure *failure = &node->failures[node->failure_count++];
    failure->gpu = strcmp(words[1], "*") == 0 ? -1 : atoi(words[1]);
    snprintf(failure->function, TEXT, "%s", words[2]);
    failure->code = atoi(words[3]);
    return true;
  }
  if (strcmp(what, "event") == 0 && count >= 5 && node->event_count < MAX_EVENTS) {
    node->events[node->event_count++] = (struct scripted_event){
      .sequence = strtoull(words[1], NULL, 10), .gpu = (unsigned int)atoi(words[2]),
      .type = strtoull(words[3], NULL, 0),      .data = strtoull(words[4], NULL, 0),
      .gi = number(words, count, "gi", NVML_NO_INSTANCE), .ci = number(words, count, "ci", NVML_NO_INSTANCE)};
    return true;
  }
  if (strcmp(what, "load") == 0) {
    node->load = strcmp(words[1], "day") == 0 ? LOAD_DAY : strcmp(words[1], "idle") == 0 ? LOAD_IDLE : LOAD_STEADY;
    if (count >= 3) node->steady = atof(words[2]);
    return true;
  }
  if (strcmp(what, "xid79") == 0 && count >= 3) {
    node->xid79_gpu = atoi(words[1]);
    node->xid79_s = atof(words[2]);
    return true;
  }
  return apply_setting(node, what, words[1]);
}

static void defaults(struct node *node) {
  memset(node, 0, sizeof *node);
  bool old = strcmp(fake_generation, "r450") == 0;
  const char *driver = old                                        ? "450.119.04"
                       : strcmp(fake_generation, "r510") == 0     ? "510.108.03"
                       : strncmp(fake_generation, "r535", 4) == 0 ? "535.54.03"
                       : strcmp(fake_generation, "r550") == 0     ? "550.163.01"
                       : strcmp(fake_generation, "r570") == 0     ? "570.133.20"
                                                                  : "580.82.07";
  snprintf(node->driver, TEXT, "%s", driver);
  snprintf(node->nvml, TEXT, "%s.%s", old ? "11" : "13", driver);
  node->cuda = old ? 11000 : 13000;
  node->privileged = node->driver_loaded = true;
  node->legacy_mig_uuid = old;
  node->load = LOAD_DAY;
  node->speed = 1;
  node->fixed_s = -1;
  node->xid79_gpu = -1;
  if (first_seen == 0) first_seen = wall_seconds();
  node->start_s = first_seen;
}

/* AXONIZE_FAKE_NVML_POLL_US: benches look at the file seldom, so that the look is not what they measure. */
static bool looked_just_now(void) {
  static long poll_us = -1;
  static struct timespec last;
  if (poll_us < 0) poll_us = getenv("AXONIZE_FAKE_NVML_POLL_US") ? atol(getenv("AXONIZE_FAKE_NVML_POLL_US")) : 0;
  if (poll_us <= 0) return false;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  if ((now.tv_sec - last.tv_sec) * 1000000 + (now.tv_nsec - last.tv_nsec) / 1000 < poll_us) return true;
  last = now;
  return false;
}

void control_refresh(struct node *node) {
  if (looked_just_now()) return;
  const char *path = getenv("AXONIZE_FAKE_NVML_CONTROL");
  struct stat about;
  if (path == NULL || stat(path, &about) != 0) {
    if (named || seen_size != -1) return; /* the file vanished for a moment: the node stays as it was */
    const char *name = getenv("AXONIZE_FAKE_NVML_NODE");
    const char *text = node_text(name == NULL ? "mixed-8" : name);
    defaults(node);
    read_text(node, text == NULL ? "" : text);
    named = true;
    return;
  }
  if (about.st_ino == seen_inode && about.st_size == seen_size && about.st_mtim.tv_sec == seen_time.tv_sec &&
      about.st_mtim.tv_nsec == seen_time.tv_nsec)
    return;
  FILE *file = fopen(path, "r");
  if (file == NULL) return;
  char *text = calloc(1, (size_t)about.st_size + 1);
  size_t length = text == NULL ? 0 : fread(text, 1, (size_t)about.st_size, file);
  fclose(file);
  if (text == NULL || length != (size_t)about.st_size) {
    free(text);
    return; /* being written: the next call reads it */
  }
  defaults(&fresh);
  read_text(&fresh, text);
  free(text);
  *node = fresh;
  seen_inode = about.st_ino;
  seen_size = about.st_size;
  seen_time = about.st_mtim;
}
