/**
 * `flock` by libc, because Node has none: a ring's owner holds it for life, so a file that can be locked is
 * a dead process's. The lock works across containers, where pids say nothing, and ends with the file handle.
 */
import koffi from "koffi";

const exclusive = 2;
const withoutWaiting = 4;

let flock: ((fd: number, operation: number) => number) | undefined;

/** Whether the file is ours now. It never waits. */
export function tryLock(fd: number): boolean {
  // The program itself: Node is linked to libc, whichever it is.
  flock ??= koffi.load(null).func("int flock(int, int)");
  return flock(fd, exclusive | withoutWaiting) === 0;
}
