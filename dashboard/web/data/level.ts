/**
 * How surely a call is joined to a device, in plain words: the levels of the resolver for people.
 */
import type { Tone } from "../ui/Badge.tsx";

export interface LevelWords {
  /** Beside a device's name where words have no room: is, is by derivation, is likely. */
  readonly mark: string;
  readonly short: string;
  readonly long: string;
  readonly tone: Tone;
}

const words: Readonly<Record<string, LevelWords>> = {
  "exact.sdk": {
    mark: "=",
    short: "exact",
    long: "The process itself said which device it used, and it was given that device.",
    tone: "ok",
  },
  "exact.single": {
    mark: "=",
    short: "exact",
    long: "The container has this one device and no other.",
    tone: "ok",
  },
  "exact.set": {
    mark: "=",
    short: "exact set",
    long: "The container has these devices, and the call names none of them: it belongs to all of them together.",
    tone: "ok",
  },
  "exact.uuidlist": {
    mark: "=",
    short: "exact",
    long: "The process was started with a list of devices by id, and the driver lists it on this one.",
    tone: "ok",
  },
  "exact.runtime": {
    mark: "=",
    short: "exact",
    long: "The driver has listed the process on this device alone since it began.",
    tone: "ok",
  },
  "derived.uuidlist": {
    mark: "≈",
    short: "derived",
    long: "The process was started with a list of devices by id; the driver has not yet confirmed it.",
    tone: "info",
  },
  "derived.pci": {
    mark: "≈",
    short: "derived",
    long: "The process counts devices in PCI order, so its number gives this device.",
    tone: "info",
  },
  "derived.workers": {
    mark: "≈",
    short: "derived",
    long: "The process computes on nothing itself; the processes that it started compute on these devices.",
    tone: "info",
  },
  "likely.homogeneous": {
    mark: "~",
    short: "likely",
    long: "All cards here are of one model, which CUDA usually counts in PCI order; nothing confirms it.",
    tone: "warn",
  },
  "identity.conflict": {
    mark: "✕",
    short: "conflict",
    long: "What the call says of its device contradicts what its container was given. No device is shown.",
    tone: "crit",
  },
  ambiguous: {
    mark: "?",
    short: "ambiguous",
    long: "It ran on one of several devices, and nothing tells which. None is shown as its device.",
    tone: "warn",
  },
  unattributed: {
    mark: "–",
    short: "unattributed",
    long: "Nothing tells which device it ran on.",
    tone: "idle",
  },
};

export function levelWords(level: string): LevelWords {
  return (
    words[level] ?? {
      mark: "·",
      short: level,
      long: `The agent's level is ${level}.`,
      tone: "info",
    }
  );
}

/** All marks with their words, for a title. */
export const levelMarks = [
  ...new Set(Object.values(words).map(({ mark, short }) => `${mark} ${short}`)),
].join(", ");
