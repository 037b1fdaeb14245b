/**
 * How surely a call is joined to a device, in plain words: the levels of the resolver for people.
 */
import type { Tone } from "../ui/Badge.tsx";

export interface LevelWords {
  readonly short: string;
  readonly long: string;
  readonly tone: Tone;
}

const words: Readonly<Record<string, LevelWords>> = {
  "exact.sdk": {
    short: "exact",
    long: "The process itself said which device it used, and it was given that device.",
    tone: "ok",
  },
  "exact.single": {
    short: "exact",
    long: "The container has this one device and no other.",
    tone: "ok",
  },
  "exact.set": {
    short: "exact set",
    long: "The container has these devices, and the call names none of them: it belongs to all of them together.",
    tone: "ok",
  },
  "exact.uuidlist": {
    short: "exact",
    long: "The process was started with a list of devices by id, and the driver lists it on this one.",
    tone: "ok",
  },
  "exact.runtime": {
    short: "exact",
    long: "The driver has listed the process on this device alone since it began.",
    tone: "ok",
  },
  "derived.uuidlist": {
    short: "derived",
    long: "The process was started with a list of devices by id; the driver has not yet confirmed it.",
    tone: "info",
  },
  "derived.pci": {
    short: "derived",
    long: "The process counts devices in PCI order, so its number gives this device.",
    tone: "info",
  },
  "derived.workers": {
    short: "derived",
    long: "The process computes on nothing itself; the processes that it started compute on these devices.",
    tone: "info",
  },
  "likely.homogeneous": {
    short: "likely",
    long: "All cards here are of one model, which CUDA usually counts in PCI order; nothing confirms it.",
    tone: "warn",
  },
  "identity.conflict": {
    short: "conflict",
    long: "What the call says of its device contradicts what its container was given. No device is shown.",
    tone: "crit",
  },
  ambiguous: {
    short: "ambiguous",
    long: "It ran on one of several devices, and nothing tells which. None is shown as its device.",
    tone: "warn",
  },
  unattributed: {
    short: "unattributed",
    long: "Nothing tells which device it ran on.",
    tone: "idle",
  },
};

export function levelWords(level: string): LevelWords {
  return words[level] ?? { short: level, long: `The agent's level is ${level}.`, tone: "info" };
}
