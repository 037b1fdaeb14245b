/**
 * `npm start`: the web app if it has to be built, then Axonize in this same process.
 *
 * Only what serves the web app waits for it. Help, version and configuration are printed at once,
 * a migration needs no browser, and what is mistyped is said before anything is done.
 */
import { StartError } from "@axonize/core/runtime/error";
import { readCommand } from "../standalone/command-line.ts";
import { buildWeb } from "./build-web.ts";

if (willServe()) await buildWeb();
await import("../standalone/main.ts");

function willServe(): boolean {
  try {
    return readCommand(process.argv.slice(2), process.env, "").kind === "start";
  } catch (error) {
    if (error instanceof StartError) return false; // main.ts reads it again, and says it
    throw error;
  }
}
