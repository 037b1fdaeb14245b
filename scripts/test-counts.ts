/**
 * A node:test reporter that counts leaf tests and writes them as JSON to $AXONIZE_TEST_COUNTS.
 *
 * It prints nothing but a list of the failures at the end, which the spec reporter scatters.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { TestEvent } from "node:test/reporters";

export default async function* countTests(
  source: AsyncIterable<TestEvent>,
): AsyncGenerator<string> {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for await (const event of source) {
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    if (event.data.details.type === "suite") continue;
    // A file that crashed before its first test reports itself as a failed test of its own name.
    if (event.type === "test:fail") counts.failed += 1;
    else if (event.data.skip !== undefined || event.data.todo !== undefined) counts.skipped += 1;
    else if (!isFile(event.data.name)) counts.passed += 1;
  }
  const file = process.env["AXONIZE_TEST_COUNTS"];
  if (file) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, JSON.stringify(counts));
  }
  yield "";
}

const isFile = (name: string): boolean => name.endsWith(".test.ts");
