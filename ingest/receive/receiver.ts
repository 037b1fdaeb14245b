/**
 * What both transports offer the composition root.
 */
export interface Receiver {
  address: { host: string; port: number };
  /** Takes no new requests, finishes those in flight within `drainMs`, closes every connection. */
  stop(): Promise<void>;
}

export interface ReceiverOptions {
  listen: { host: string; port: number };
  keylessLoopback: boolean;
}
