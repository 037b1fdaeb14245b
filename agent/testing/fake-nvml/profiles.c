/*
 * The cards the false driver can be: figures of the public data sheets and of the MIG guide's tables.
 * SM counts and memory per slice are what those tables print; nothing here was read from hardware.
 */
#include <string.h>
#include "fake.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* name, profile id, slices, placement size, SMs, copy engines, decoders, MiB */
static const struct mig_profile a100_profiles[] = {
  {"1g.10gb", 19, 1, 1, 14, 1, 0, 9728},    {"1g.10gb+me", 20, 1, 1, 14, 1, 1, 9728},
  {"1g.20gb", 15, 1, 2, 14, 1, 1, 19968},   {"2g.20gb", 14, 2, 2, 28, 2, 1, 19968},
  {"3g.40gb", 9, 3, 4, 42, 3, 2, 40192},    {"4g.40gb", 5, 4, 4, 56, 4, 2, 40192},
  {"7g.80gb", 0, 7, 8, 98, 7, 5, 80384},
};
static const struct mig_profile h100_profiles[] = {
  {"1g.10gb", 19, 1, 1, 16, 1, 1, 9984},    {"1g.10gb+me", 20, 1, 1, 16, 1, 1, 9984},
  {"1g.20gb", 15, 1, 2, 26, 1, 1, 20096},   {"2g.20gb", 14, 2, 2, 32, 2, 2, 20096},
  {"3g.40gb", 9, 3, 4, 60, 3, 3, 40448},    {"4g.40gb", 5, 4, 4, 64, 4, 4, 40448},
  {"7g.80gb", 0, 7, 8, 132, 8, 7, 80896},
};
static const struct mig_profile h200_profiles[] = {
  {"1g.18gb", 19, 1, 1, 16, 1, 1, 16384},   {"1g.35gb", 15, 1, 2, 26, 1, 1, 33280},
  {"2g.35gb", 14, 2, 2, 32, 2, 2, 33280},   {"3g.71gb", 9, 3, 4, 60, 3, 3, 71168},
  {"4g.71gb", 5, 4, 4, 64, 4, 4, 71168},    {"7g.141gb", 0, 7, 8, 132, 8, 7, 143360},
};
static const struct mig_profile b200_profiles[] = {
  {"1g.23gb", 19, 1, 1, 18, 1, 1, 21888},   {"1g.45gb", 15, 1, 2, 30, 1, 1, 44800},
  {"2g.45gb", 14, 2, 2, 36, 2, 2, 44800},   {"3g.90gb", 9, 3, 4, 70, 3, 3, 91136},
  {"4g.90gb", 5, 4, 4, 72, 4, 4, 91136},    {"7g.180gb", 0, 7, 8, 148, 8, 7, 182784},
};

static const struct product products[] = {
  {.key = "a100", .name = "NVIDIA A100-SXM4-80GB", .architecture = 7, .cc_major = 8, .cc_minor = 0,
   .sm_count = 108, .pci_device_id = 0x20B210DE, .memory_mb = 81920, .reserved_mb = 613,
   .power_limit_w = 400, .idle_w = 56, .max_sm_mhz = 1410, .memory_mhz = 1593, .brand = 14, .ecc = true,
   .mig = true, .nvlinks = 12, .nvlink_mib_s = 25000, .pcie_generation = 4,
   .profiles = a100_profiles, .profile_count = COUNT(a100_profiles), .max_slices = 7},
  {.key = "h100", .name = "NVIDIA H100 80GB HBM3", .architecture = 9, .cc_major = 9, .cc_minor = 0,
   .sm_count = 132, .pci_device_id = 0x233010DE, .memory_mb = 81559, .reserved_mb = 551,
   .power_limit_w = 700, .idle_w = 70, .max_sm_mhz = 1980, .memory_mhz = 2619, .brand = 14, .ecc = true,
   .gpm = true, .mig = true, .nvlinks = 18, .nvlink_mib_s = 25000, .pcie_generation = 5,
   .profiles = h100_profiles, .profile_count = COUNT(h100_profiles), .max_slices = 7},
  {.key = "h200", .name = "NVIDIA H200", .architecture = 9, .cc_major = 9, .cc_minor = 0,
   .sm_count = 132, .pci_device_id = 0x233510DE, .memory_mb = 143771, .reserved_mb = 619,
   .power_limit_w = 700, .idle_w = 76, .max_sm_mhz = 1980, .memory_mhz = 3201, .brand = 14, .ecc = true,
   .gpm = true, .mig = true, .nvlinks = 18, .nvlink_mib_s = 25000, .pcie_generation = 5,
   .profiles = h200_profiles, .profile_count = COUNT(h200_profiles), .max_slices = 7},
  {.key = "b200", .name = "NVIDIA B200", .architecture = 10, .cc_major = 10, .cc_minor = 0,
   .sm_count = 148, .pci_device_id = 0x290110DE, .memory_mb = 183359, .reserved_mb = 720,
   .power_limit_w = 1000, .idle_w = 140, .max_sm_mhz = 1965, .memory_mhz = 3996, .brand = 14, .ecc = true,
   .gpm = true, .mig = true, .nvlinks = 18, .nvlink_mib_s = 50000, .pcie_generation = 5,
   .profiles = b200_profiles, .profile_count = COUNT(b200_profiles), .max_slices = 7},
  {.key = "l40s", .name = "NVIDIA L40S", .architecture = 8, .cc_major = 8, .cc_minor = 9,
   .sm_count = 142, .pci_device_id = 0x26B910DE, .memory_mb = 46068, .reserved_mb = 600,
   .power_limit_w = 350, .idle_w = 33, .max_sm_mhz = 2520, .memory_mhz = 9001, .brand = 14, .ecc = true,
   .pcie_generation = 4},
  {.key = "t4", .name = "Tesla T4", .architecture = 6, .cc_major = 7, .cc_minor = 5,
   .sm_count = 40, .pci_device_id = 0x1EB810DE, .memory_mb = 15360, .reserved_mb = 450,
   .power_limit_w = 70, .idle_w = 10, .max_sm_mhz = 1590, .memory_mhz = 5001, .brand = 2, .ecc = true,
   .pcie_generation = 3},
};

const struct product *product_by_key(const char *key) {
  for (size_t i = 0; i < COUNT(products); i += 1)
    if (strcmp(products[i].key, key) == 0) return &products[i];
  return NULL;
}

const struct mig_profile *mig_profile_by_name(const struct product *product, const char *name) {
  for (unsigned int i = 0; i < product->profile_count; i += 1)
    if (strcmp(product->profiles[i].name, name) == 0) return &product->profiles[i];
  return NULL;
}

/* Whole nodes in the control file's own language; `node <name>` takes one. */
static const struct { const char *name, *text; } nodes[] = {
  {"a100", "gpu 0 a100\n"},
  {"h100", "gpu 0 h100\n"},
  {"h200", "gpu 0 h200\n"},
  {"b200", "gpu 0 b200\n"},
  {"l40s", "gpu 0 l40s\n"},
  {"t4", "gpu 0 t4\n"},
  {"a100-mig7",
   "gpu 0 a100 mig=1\n"
   "slice 0 0 1g.10gb gi=7\nslice 0 1 1g.10gb gi=8\nslice 0 2 1g.10gb gi=9\nslice 0 3 1g.10gb gi=10\n"
   "slice 0 4 1g.10gb gi=11\nslice 0 5 1g.10gb gi=12\nslice 0 6 1g.10gb gi=13\n"},
  {"mixed-8",
   "gpu 0 h100 mig=1\nslice 0 0 3g.40gb gi=1 start=0\nslice 0 1 2g.20gb gi=5 start=4\n"
   "slice 0 3 1g.10gb gi=9 start=6\n"
   "gpu 1 h100\ngpu 2 h200 mig=1\nslice 2 0 3g.71gb gi=1 start=0\nslice 2 1 3g.71gb gi=2 start=4\n"
   "gpu 3 b200\ngpu 4 a100 mig=1\nslice 4 0 3g.40gb gi=2 start=0\nslice 4 2 1g.10gb gi=9 start=4\n"
   "slice 4 3 1g.10gb gi=10 start=5\n"
   "gpu 5 a100\ngpu 6 l40s\ngpu 7 t4\n"},
};

const char *node_text(const char *name) {
  for (size_t i = 0; i < COUNT(nodes); i += 1)
    if (strcmp(nodes[i].name, name) == 0) return nodes[i].text;
  return NULL;
}
