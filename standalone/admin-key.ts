/**
 * The admin key: from the configuration, else made once and kept in `<data dir>/admin-key` for its
 * owner's eyes only. It never appears in a log or on the console.
 */
import { randomBytes } from "node:crypto";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { StartError } from "@axonize/core/runtime/error";

export interface AdminKey {
  key: string;
  /** Where a person finds it; undefined when it came from the configuration. */
  file: string | undefined;
}

export async function readAdminKey(
  dataDir: string,
  configured: string | undefined,
): Promise<AdminKey> {
  if (configured !== undefined) return { key: configured, file: undefined };
  const file = join(dataDir, "admin-key");
  try {
    const key = (await readFile(file, "utf8")).trim();
    if (key.length < 16) {
      throw new StartError(
        `The admin key in ${file} is shorter than 16 characters. Delete the file to get a new one, or set AXONIZE_ADMIN_KEY.`,
      );
    }
    await chmod(file, 0o600);
    return { key, file };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const key = `axadm_${randomBytes(24).toString("base64url")}`;
  await writeFile(file, `${key}\n`, { mode: 0o600, flag: "wx" });
  return { key, file };
}
