/**
 * What both transports offer the composition root.
 */
export interface Receiver {
  address: { host: string; port: number };
  /** From now on clients are told to go elsewhere (GOAWAY, `Connection: close`) and still served. */
  drain(): void;
  /** Takes no new requests, finishes those in flight within `drainMs`, closes every connection. */
  stop(): Promise<void>;
}

export interface ReceiverOptions {
  listen: { host: string; port: number };
  keylessLoopback: boolean;
  /** Default: the limit of that name. */
  drainMs?: number;
}
