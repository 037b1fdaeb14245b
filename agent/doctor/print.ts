/**
 * Findings as text for a person at a terminal: one line each, the line that mends it below, and a last
 * line that says what it comes to.
 */
import type { Finding } from "./finding.ts";

const marks = { ok: "ok     ", warning: "warning", error: "ERROR  " } as const;

export function findingsText(findings: readonly Finding[], node: string): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const indent = " ".repeat(width + 13);
  const lines = findings.flatMap(({ check, level, message, mend }) => [
    `  ${marks[level]}  ${check.padEnd(width)}  ${wrapped(message, indent)}`,
    ...(mend === undefined ? [] : [`${indent}→ ${wrapped(mend, `${indent}  `)}`]),
  ]);
  return [
    `What the Axonize agent can see on ${node}:`,
    "",
    ...lines,
    "",
    summary(findings),
    "",
  ].join("\n");
}

const textWidth = 76;

/** Lines of words, each after the first behind `indent`. */
function wrapped(text: string, indent: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + word.length >= textWidth) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].join(`\n${indent}`);
}

/** 0: all well. 1: something is told less well. 2: readings or owners are missing. */
export function exitCodeOf(findings: readonly Finding[]): 0 | 1 | 2 {
  if (findings.some(({ level }) => level === "error")) return 2;
  return findings.some(({ level }) => level === "warning") ? 1 : 0;
}

function summary(findings: readonly Finding[]): string {
  const count = (level: Finding["level"]): number =>
    findings.filter((finding) => finding.level === level).length;
  const [errors, warnings] = [count("error"), count("warning")];
  if (errors === 0 && warnings === 0) return "Everything that the agent needs is there.";
  const parts = [
    ...(errors > 0
      ? [`${errors} ${errors === 1 ? "error" : "errors"}: readings or owners are missing`]
      : []),
    ...(warnings > 0
      ? [`${warnings} ${warnings === 1 ? "warning" : "warnings"}: some things are told less well`]
      : []),
  ];
  return `${parts.join("; ")}. Each has the line that mends it.`;
}
