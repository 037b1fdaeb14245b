/**
 * Memory for finished blocks, used again once ClickHouse has them: a fresh buffer of some megabytes
 * costs a page fault every 4 KiB, which is a tenth of all that writing spans costs. A block whose
 * insert failed is not given back; nothing needs to be freed for it.
 */
import { idleBlockBytes, leastIdleBlock } from "./limits.ts";

export interface BlockMemory {
  /** Not cleared. */
  take(bytes: number): Uint8Array;
  /** Nobody reads it any more. */
  give(block: Uint8Array): void;
}

export function createBlockMemory(): BlockMemory {
  const idle: ArrayBufferLike[] = [];
  let idleBytes = 0;
  return {
    take: (bytes) => {
      // What is at most half as large again; else memory would be held that nobody asked for.
      const at = idle.findIndex(
        ({ byteLength }) => byteLength >= bytes && byteLength <= bytes * 1.5 + leastIdleBlock,
      );
      const [found] = at === -1 ? [] : idle.splice(at, 1);
      if (found === undefined) {
        const room = bytes < leastIdleBlock ? bytes : Math.ceil(bytes * 1.125);
        return new Uint8Array(Buffer.allocUnsafeSlow(room).buffer, 0, bytes);
      }
      idleBytes -= found.byteLength;
      return new Uint8Array(found, 0, bytes);
    },
    give: ({ buffer }) => {
      if (buffer.byteLength < leastIdleBlock || buffer.byteLength > idleBlockBytes) return;
      idle.push(buffer);
      idleBytes += buffer.byteLength;
      while (idleBytes > idleBlockBytes) idleBytes -= idle.shift()?.byteLength ?? 0;
    },
  };
}
