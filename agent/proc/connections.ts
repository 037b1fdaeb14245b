/**
 * The kernel's tables of TCP connections, /proc/net/tcp and tcp6: which socket is at the other end of a
 * loopback connection. Pure.
 */

/**
 * The inode of the socket whose own port is `localPort` and whose peer's port is `remotePort`, both ends on
 * loopback. undefined: none, or (a socket being closed has inode 0) no longer anyone's.
 */
export function inodeOf(table: string, localPort: number, remotePort: number): number | undefined {
  const local = `:${hex(localPort)}`;
  const remote = `:${hex(remotePort)}`;
  for (const line of table.split("\n")) {
    // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …
    if (!line.includes(local)) continue;
    const fields = line.trim().split(/\s+/);
    const [, from = "", to = ""] = fields;
    if (!from.endsWith(local) || !to.endsWith(remote)) continue;
    if (!isLoopback(from) || !isLoopback(to)) continue;
    const inode = Number(fields[9]);
    if (Number.isSafeInteger(inode) && inode > 0) return inode;
  }
  return undefined;
}

function hex(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, "0");
}

/** Addresses are printed as 32-bit words in the machine's order: 127.0.0.1 is 0100007F on all we run on. */
function isLoopback(address: string): boolean {
  const bytes = address.slice(0, address.indexOf(":"));
  if (bytes.length === 8) return bytes.endsWith("7F");
  return (
    bytes === "00000000000000000000000001000000" || // ::1
    (bytes.startsWith("0000000000000000FFFF0000") && bytes.endsWith("7F")) // ::ffff:127.x.x.x
  );
}
