/**
 * The open intervals on disk, so that an agent that starts again goes on with them. Written whole: a file
 * beside, fsync, rename, fsync of the folder; a file that cannot be read is no state, which costs gaps and
 * nothing else. A full disk stops the writing and not the agent.
 */
import { open, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Log } from "@axonize/core/runtime/log";
import { errorMessage } from "@axonize/core/runtime/error";
import type { OpenIntervals } from "../identity/history.ts";
import { maxStateBytes } from "./limits.ts";

export interface IdentityState {
  readonly node: string;
  /** Moment of the newest observation. */
  readonly lastMs: number;
  readonly driver: DriverState;
  readonly open: OpenIntervals;
}

/** What tells one load of the driver from the next. */
export interface DriverState {
  readonly bootId: string;
  readonly driverVersion: string;
  readonly loads: number;
  /** Energy counters when they were last seen; they fall only when the driver is loaded anew. */
  readonly energyMillijoules: Readonly<Record<string, number>>;
}

export interface StateFile {
  read(): Promise<IdentityState | undefined>;
  /** Answers whether it is on disk. */
  write(state: IdentityState): Promise<boolean>;
}

const version = 1;

export function createStateFile(deps: { log: Log }, options: { folder: string }): StateFile {
  const path = join(options.folder, "identity.json");
  let failing = false;
  return {
    async read() {
      try {
        return parse(await readBounded(path));
      } catch (error) {
        const isNew = (error as NodeJS.ErrnoException).code === "ENOENT"; // what fs rejects with
        if (!isNew) {
          deps.log.warn({ event: "agent.identity_state", path, error: errorMessage(error) });
        }
        return undefined;
      }
    },
    async write(state) {
      try {
        await writeWhole(path, JSON.stringify({ version, ...state }, undefinedAsNull));
        failing = false;
        return true;
      } catch (error) {
        // Told once: a full disk would repeat it every second.
        if (!failing) {
          deps.log.error({ event: "agent.identity_state", path, error: errorMessage(error) });
        }
        failing = true;
        return false;
      }
    },
  };
}

async function readBounded(path: string): Promise<string> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  if (size > maxStateBytes) throw new Error(`it has ${size} bytes, more than ${maxStateBytes}`);
  return await file.readFile("utf8");
}

async function writeWhole(path: string, text: string): Promise<void> {
  const beside = `${path}.new`;
  {
    await using file = await open(beside, "w", 0o600);
    await file.writeFile(text);
    await file.sync();
  }
  await rename(beside, path);
  await using folder = await open(dirname(path), "r");
  await folder.sync();
}

/** Written by this program alone, so its version and its parts are enough to know it by. */
function parse(text: string): IdentityState {
  const state = nullAsUndefined(JSON.parse(text)) as IdentityState & { version: number }; // checked next
  const layers = ["placement", "resource", "allocation", "usage", "ordinal"] as const;
  const isState =
    state.version === version &&
    typeof state.lastMs === "number" &&
    typeof state.node === "string" &&
    typeof state.driver?.loads === "number" &&
    layers.every((layer) => Array.isArray(state.open?.[layer]));
  if (!isState) throw new Error("it is no state of this version");
  return state;
}

/** JSON drops undefined, and records are compared whole. No record has null of its own. */
function undefinedAsNull(_: string, value: unknown): unknown {
  return value === undefined ? null : value;
}
function nullAsUndefined(value: unknown): unknown {
  if (value === null) return undefined;
  if (Array.isArray(value)) return value.map(nullAsUndefined);
  if (typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([k, each]) => [k, nullAsUndefined(each)]));
}
