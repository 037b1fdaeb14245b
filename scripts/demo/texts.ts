/**
 * The few sentences that the demo's users write and its models answer, invented for it, and the
 * `gen_ai.input.messages` form of them. They exist so that captured content has something to show.
 */
import type { Random } from "./random.ts";
import type { Attributes } from "./otlp.ts";

export const questions = [
  "My parcel says delivered, but nothing is here. What now?",
  "Summarise yesterday's stand-up notes in three bullets.",
  "Why does my invoice show VAT twice?",
  "Write a friendly reminder to a customer who is two weeks late.",
  "Which of our plans includes single sign-on?",
  "Translate this release note into Spanish and keep it short.",
  "Plan a two-day trip to Lisbon with a small child.",
  "Explain what a p99 latency is to somebody from sales.",
  "Can I change the delivery address of order 48-1193?",
  "Give me a SQL query for weekly active users by country.",
] as const;

export const answers = [
  "I am sorry about that. Please check with your neighbours first; if it does not turn up by tomorrow, I will open a trace with the carrier.",
  "Three points: the migration is done, the load test moves to Thursday, and the on-call rota needs one more person.",
  "The second line is a correction of last month's rate, not a second charge. The total is right.",
  "Sure, here is a draft that is warm but clear about the date.",
  "Single sign-on is part of the Team plan and above.",
  "A p99 of two seconds means that one call in a hundred took longer than two seconds.",
] as const;

const message = (role: string, content: string, extra: object = {}) => ({
  role,
  parts: [{ type: "text", content }],
  ...extra,
});

export function conversation(rng: Random): Attributes {
  return {
    "gen_ai.input.messages": JSON.stringify([
      message("system", "You are a helpful assistant. Be brief."),
      message("user", rng.pick(questions)),
    ]),
    "gen_ai.output.messages": JSON.stringify([
      message("assistant", rng.pick(answers), { finish_reason: "stop" }),
    ]),
  };
}
