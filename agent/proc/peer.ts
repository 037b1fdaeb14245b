/**
 * Who is at the other end of a loopback connection: the connection's socket in the kernel's table, then
 * the process that has that socket open. For hosts without Kubernetes, where a sender need not say who it is.
 *
 * Ask once a connection and not once a request; answers are remembered by port and inode. A socket that
 * several processes share (after a fork) belongs to the oldest. Another user's descriptors need root or
 * CAP_SYS_PTRACE; without it there is no answer.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as yieldToLoop } from "node:timers/promises";
import type { Clock } from "@axonize/core/runtime/clock";
import { inodeOf } from "./connections.ts";
import { maxConnectionTableBytes, maxPeers, peerMissMs, processesPerTurn } from "./limits.ts";
import { createProc, type Proc, type ProcessFacts } from "./proc.ts";

export type Peer = Pick<
  ProcessFacts,
  "pid" | "startTime" | "ownPid" | "command" | "containerId" | "podUid"
> & { readonly bootId: string };

/** The process whose socket has `peerPort` and is connected to our `ownPort`. */
export type PeerResolver = (ownPort: number, peerPort: number) => Promise<Peer | undefined>;

interface Known {
  readonly inode: number | undefined;
  readonly peer: Peer | undefined;
  readonly atMs: number;
}

export function createPeerResolver(
  deps: { clock: Clock },
  options: { procRoot: string },
): PeerResolver {
  const { procRoot } = options;
  const proc = createProc(deps, { root: procRoot });
  const known = new Map<string, Known>();
  /** Most senders open several connections: who had one is asked first. */
  const recent = new Set<number>();

  const find = async (ownPort: number, peerPort: number): Promise<Known> => {
    const atMs = deps.clock.monotonic();
    const inode = await findInode(procRoot, peerPort, ownPort);
    if (inode === undefined) return { inode, peer: undefined, atMs };
    const pid =
      [...recent].find((each) => holds(procRoot, each, inode)) ??
      (await searchAll(proc, procRoot, inode));
    const peer = pid === undefined ? undefined : peerOf(proc, pid);
    if (peer) recent.add(peer.pid);
    if (recent.size > processesPerTurn) recent.delete(first(recent));
    return { inode, peer, atMs };
  };
  let last: Promise<unknown> = Promise.resolve();

  return async (ownPort, peerPort) => {
    const key = `${ownPort} ${peerPort}`;
    const run = async (): Promise<Peer | undefined> => {
      const before = known.get(key);
      if (before && (await isStill(before, proc, deps.clock, procRoot, ownPort, peerPort))) {
        return before.peer;
      }
      const found = await find(ownPort, peerPort);
      known.delete(key);
      known.set(key, found);
      if (known.size > maxPeers) known.delete(first(known.keys()));
      return found.peer;
    };
    // One search at a time: many connections at once cost the loop no more than one.
    const next = last.then(run);
    last = next.catch(() => undefined); // the caller hears of it; the next in line does not care
    return await next;
  };
}

async function isStill(
  before: Known,
  proc: Proc,
  clock: Clock,
  procRoot: string,
  ownPort: number,
  peerPort: number,
): Promise<boolean> {
  if (before.peer === undefined) return clock.monotonic() - before.atMs < peerMissMs;
  // Ports are used again: the same inode and a living process make it the same connection.
  const inode = await findInode(procRoot, peerPort, ownPort);
  return inode === before.inode && proc.isAlive(before.peer);
}

async function findInode(
  procRoot: string,
  localPort: number,
  remotePort: number,
): Promise<number | undefined> {
  for (const name of ["tcp", "tcp6"]) {
    const table = await readTable(join(procRoot, "net", name));
    const inode = inodeOf(table, localPort, remotePort);
    if (inode !== undefined) return inode;
  }
  return undefined;
}

async function readTable(path: string): Promise<string> {
  try {
    const table = await readFile(path, "latin1");
    return table.length > maxConnectionTableBytes ? "" : table;
  } catch {
    return ""; // no IPv6 in this kernel, or no /proc here
  }
}

async function searchAll(proc: Proc, procRoot: string, inode: number): Promise<number | undefined> {
  const owners: number[] = [];
  let looked = 0;
  for (const name of safely(() => readdirSync(procRoot), [])) {
    if (!/^\d+$/.test(name)) continue;
    if (holds(procRoot, Number(name), inode)) owners.push(Number(name));
    looked += 1;
    if (looked % processesPerTurn === 0) await yieldToLoop();
  }
  return oldest(proc, owners);
}

/** Children inherit descriptors; the one that opened it is older. */
function oldest(proc: Proc, pids: readonly number[]): number | undefined {
  const born = (pid: number): number => proc.facts(pid)?.startTime ?? Infinity;
  return pids.toSorted((a, b) => born(a) - born(b) || a - b)[0];
}

function holds(procRoot: string, pid: number, inode: number): boolean {
  const folder = join(procRoot, String(pid), "fd");
  const wanted = `socket:[${inode}]`;
  return safely(() => readdirSync(folder), []).some(
    (name) => safely(() => readlinkSync(join(folder, name)), "") === wanted,
  );
}

/** What is gone, or is not ours to read, holds nothing that we could tell. */
function safely<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

function peerOf(proc: Proc, pid: number): Peer | undefined {
  const facts = proc.facts(pid);
  if (!facts) return undefined;
  const { startTime, ownPid, command, containerId, podUid } = facts;
  const bootId = proc.bootId() ?? "";
  return { pid, startTime, ownPid, command, containerId, podUid, bootId };
}

function first<T>(items: Iterable<T>): T {
  for (const item of items) return item;
  throw new Error("assertion failed: an empty cache has no oldest entry");
}
