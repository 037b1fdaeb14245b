/**
 * `npm run cluster -- up|down|status|kubectl …|helm …|build`: a test cluster for a person.
 *
 * Reads the command line, runs the command, turns what stops it into one paragraph.
 */
import { join } from "node:path";
import { errorMessage, StartError } from "@axonize/core/runtime/error";
import { parseUp } from "./arguments.ts";
import { createCommands } from "./commands.ts";

const usage = `Usage: npm run cluster -- COMMAND

  up                       start a cluster, with metrics-server and the images of this working tree
     --gpus                its node has GPUs that are made up, and the example application's image
     --kwok, --no-images   with kwok; without images
  down                     stop it and remove everything it had
  status                   what runs
  kubectl ARGS, helm ARGS  the programs, set up for the cluster
  build                    build its programs and nothing else

Needs Linux, root and Go 1.26.4 or newer. See docs/testbed.md.
`;

const [command = "help", ...args] = process.argv.slice(2);
const commands = createCommands({
  stateDir: join(import.meta.dirname, "../../.cache/cluster"),
  say: (line) => process.stderr.write(`${line}\n`),
  print: (text) => process.stdout.write(text),
});

async function run(): Promise<number> {
  switch (command) {
    case "up":
      return await commands.up(parseUp(args));
    case "down":
      return await commands.down();
    case "status":
      return await commands.status();
    case "kubectl":
    case "helm":
      return await commands.pass(command, args);
    case "build":
      return await commands.build();
    case "own":
      return await commands.own(parseUp(args));
    default:
      process.stdout.write(usage);
      return command === "help" || command === "--help" ? 0 : 2;
  }
}

try {
  process.exitCode = await run();
} catch (error) {
  // What a person can act on is a paragraph; anything else is a bug, with its stack.
  process.stderr.write(
    `${error instanceof StartError ? errorMessage(error) : String((error as Error).stack)}\n`,
  );
  process.exitCode = 1;
}
