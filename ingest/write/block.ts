/**
 * What the writer moves: finished bytes for one table and one partition, whoever made them.
 */
export interface Block {
  table: string;
  rows: number;
  /** One block of ClickHouse's Native format; columns are matched by name. */
  bytes: Uint8Array;
  /** Names the block for deduplication, whoever inserts it and when; default: a name of its own. */
  token?: string;
  /** To be called once ClickHouse has the block. */
  committed?(): void;
}

/** Something that collects rows of many requests: the trace decoder, the points decoder. */
export interface BlockSource {
  openRows(): number;
  openBytes(): number;
  /** Everything since the last take, one block per table and partition. */
  take(): readonly Block[];
}
