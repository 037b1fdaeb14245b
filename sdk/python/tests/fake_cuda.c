/*
 * A stand-in for the CUDA driver (libcuda.so.1) with the real names and codes, for tests without a GPU.
 *
 * FAKE_CUDA_DEVICES lists `32 hex digits|name`, separated by ';', in CUDA's order. Before cuInit every
 * call answers 3, as the driver does; cuInit is the program's to call: a marker file named by
 * FAKE_CUDA_INITS gets one byte per call. Built with -DOLD it lacks cuDeviceGetUuid_v2, as drivers
 * before 470 do, and its cuDeviceGetUuid tells the parent of a partition.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { char bytes[16]; } CUuuid;
static pid_t up;

static int ready(void) { return up == getpid() ? 0 : 3; }

int cuInit(unsigned flags) {
  const char *path = getenv("FAKE_CUDA_INITS");
  int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
  if (file >= 0) {
    if (write(file, "i", 1) != 1) perror("FAKE_CUDA_INITS");
    close(file);
  }
  up = getpid();
  return flags ? 1 : 0;
}

static const char *entry(int ordinal) {
  const char *at = getenv("FAKE_CUDA_DEVICES");
  if (!at || !*at) return NULL;
  while (ordinal-- > 0 && at) at = strchr(at, ';') ? strchr(at, ';') + 1 : NULL;
  return at;
}

int cuDeviceGetCount(int *count) {
  if (ready()) return ready();
  for (*count = 0; entry(*count); ++*count) continue;
  return 0;
}

int cuDeviceGet(int *device, int ordinal) {
  if (ready()) return ready();
  if (ordinal < 0 || !entry(ordinal)) return 101;
  *device = ordinal;
  return 0;
}

int cuDeviceGetName(char *name, int size, int device) {
  if (ready()) return ready();
  const char *at = entry(device), *bar = at ? strchr(at, '|') : NULL;
  if (!bar) return 101;
  snprintf(name, (size_t)size, "%.*s", (int)strcspn(bar + 1, ";"), bar + 1);
  return 0;
}

static int uuid_of(CUuuid *out, int device) {
  const char *at = entry(device);
  if (ready()) return ready();
  if (!at) return 101;
  for (int i = 0; i < 16; i++) {
    unsigned byte;
    if (sscanf(at + 2 * i, "%2x", &byte) != 1) return 101;
    out->bytes[i] = (char)byte;
  }
  return 0;
}

#ifdef OLD
int cuDeviceGetUuid(CUuuid *out, int device) { return uuid_of(out, device); }
#else
int cuDeviceGetUuid_v2(CUuuid *out, int device) { return uuid_of(out, device); }
#endif
