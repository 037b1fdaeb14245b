/** The flags of `cluster up`: what is not one of them is refused, since a misspelt one would start another cluster. */
import { StartError } from "@axonize/core/runtime/error";

export interface UpOptions {
  readonly kwok: boolean;
  readonly images: boolean;
  /** A node with devices that are made up, and an application for them. */
  readonly gpus: boolean;
}

const flags = ["--gpus", "--kwok", "--no-images"] as const;

export function parseUp(args: readonly string[]): UpOptions {
  const unknown = args.find((arg) => !flags.some((flag) => flag === arg));
  if (unknown !== undefined) {
    throw new StartError(
      `\`cluster up\` has no ${JSON.stringify(unknown)}. It takes ${flags.join(", ")}.`,
    );
  }
  return {
    kwok: args.includes("--kwok"),
    images: !args.includes("--no-images"),
    gpus: args.includes("--gpus"),
  };
}

/** The flags that the cluster's owner, a process of its own, is started with. */
export function ownerArguments(options: UpOptions): string[] {
  return [...(options.kwok ? ["--kwok"] : []), ...(options.gpus ? ["--gpus"] : [])];
}
