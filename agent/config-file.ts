/**
 * The pool's configuration from a file, now and whenever it changes. The folder is watched, because a
 * mounted ConfigMap and every careful editor replace the file; where watching fails, a look now and then
 * does it. A file that cannot be read or does not fit changes nothing, and is said once.
 */
import { watch, type FSWatcher } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { every, type Clock } from "@axonize/core/runtime/clock";
import { errorMessage } from "@axonize/core/runtime/error";
import type { Log } from "@axonize/core/runtime/log";
import { poolConfigFrom } from "./pool-config.ts";
import type { PoolConfig } from "@axonize/core/contract/agent";

/** Looked at in any case this often: some file systems tell no changes. */
const lookMs = 5_000;
/** Larger than this is no configuration of ours, which takes 400 B. */
const maxFileBytes = 64 * 1024;

export interface ConfigFile extends AsyncDisposable {
  /** Looks now. Resolves when what was found is applied. */
  look(): Promise<void>;
}

/** `defaults`: what a key that the file does not name means. */
export async function watchConfigFile(
  deps: { readonly clock: Clock; readonly log: Log },
  options: {
    readonly path: string;
    readonly defaults: PoolConfig;
    readonly apply: (config: PoolConfig) => void;
  },
): Promise<ConfigFile> {
  const { clock, log } = deps;
  const { path } = options;
  const closing = new AbortController();
  let seen: string | undefined;
  let told = "";
  const refuse = (reason: string): void => {
    if (reason !== told) log.warn({ event: "config.refused", path, reason });
    told = reason;
  };
  const lookOnce = async (): Promise<void> => {
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      refuse(errorMessage(error));
      return;
    }
    if (text === seen) return;
    seen = text;
    if (text.length > maxFileBytes) {
      refuse(`it has ${text.length} characters`);
      return;
    }
    const parsed = poolConfigFrom(text, options.defaults);
    if (!parsed.ok) {
      refuse(parsed.reason);
      return;
    }
    told = "";
    log.info({ event: "config.applied", path, config: parsed.config });
    options.apply(parsed.config);
  };
  // One after another: a look that began before a change must not apply what it read after it.
  let last = Promise.resolve();
  const look = async (): Promise<void> => {
    last = last.then(lookOnce);
    await last;
  };
  await look();
  const watcher = watchFolder(path, () => void look(), refuse);
  const looking = every(
    { clock, ms: lookMs, signal: closing.signal, onError: (error) => refuse(errorMessage(error)) },
    look,
  );
  return {
    look,
    async [Symbol.asyncDispose]() {
      closing.abort();
      watcher?.close();
      await Promise.all([looking, last]);
    },
  };
}

function watchFolder(
  path: string,
  onChange: () => void,
  refuse: (reason: string) => void,
): FSWatcher | undefined {
  try {
    const watcher = watch(dirname(path), { persistent: false }, onChange);
    watcher.on("error", (error) => refuse(errorMessage(error)));
    return watcher;
  } catch (error) {
    // The folder is not there: the look now and then finds it when it is.
    refuse(errorMessage(error));
    return undefined;
  }
}
