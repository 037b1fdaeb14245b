/**
 * Cleaning up after an owner that may die at any time: a shell that waits for its input to close,
 * which the kernel does when the owner ends, and then removes what processes leave behind.
 *
 * The same shell cleans up after an orderly stop, so that the path for the bad case is walked every
 * time. It ends no processes; those end by their parent death signal or with their PID namespace.
 */
import { spawn } from "node:child_process";

export interface Guard {
  /** Cleans up now; resolves when everything is gone. Call it after the processes have ended. */
  cleanUp(): Promise<void>;
}

export interface GuardOptions {
  /** The directory to remove. */
  readonly dir: string;
  /** cgroup directories (below every controller) whose names a node has used. */
  readonly cgroupName?: string;
}

/**
 * Empty cgroups are removed from the leaves up. Processes that the kernel is just killing may hold
 * files and cgroups for a moment, hence the tries.
 */
const script = `
cat >/dev/null
tries=0
while [ $tries -lt 100 ]; do
  if [ -n "$2" ]; then
    find /sys/fs/cgroup -depth -type d -path "*/$2/*" -exec rmdir {} + 2>/dev/null
    find /sys/fs/cgroup -depth -type d -name "$2" -exec rmdir {} + 2>/dev/null
  fi
  rm -rf "$1" 2>/dev/null
  left=$([ -z "$2" ] || find /sys/fs/cgroup -type d -name "$2" 2>/dev/null)
  if [ ! -e "$1" ] && [ -z "$left" ]; then exit 0; fi
  tries=$((tries + 1))
  sleep 0.1
done
exit 1
`;

export function startGuard(options: GuardOptions): Guard {
  const child = spawn("sh", ["-c", script, "guard", options.dir, options.cgroupName ?? ""], {
    stdio: ["pipe", "ignore", "ignore"],
    // A session of its own: Ctrl-C and the end of the terminal must not take it along.
    detached: true,
    cwd: "/",
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on("exit", resolve);
    child.on("error", reject);
  });
  // Claimed here, so that a failing spawn is reported by cleanUp and not as an unhandled rejection.
  ended.catch(() => undefined);
  // The guard must not keep its owner alive.
  child.unref();
  const { stdin } = child;
  if ("unref" in stdin && typeof stdin.unref === "function") stdin.unref();
  return {
    cleanUp: async () => {
      child.ref();
      stdin.end();
      const code = await ended;
      if (code !== 0)
        throw new Error(`${options.dir} could not be removed (guard ended with ${code})`);
    },
  };
}
