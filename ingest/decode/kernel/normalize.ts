/**
 * From what a span said to canonical values: the same rules as `normalize/normalize.ts`, which says
 * why. What words of senders mean (providers, services, names, operations) is asked once per word.
 */
import * as layout from "./layout";
import * as said from "./said";
import * as scan from "./scan";

/** Has the word's note and operation written down. */
declare function note(word: u32): void;

export let engine: u32 = 0;
export let basis: u32 = 0;

/** What a word means as provider, service, name and event, as bits (`word-notes.ts`). */
export function noteOf(word: u32): u32 {
  const place = (<usize>word) << 2;
  const known = load<u32>(<usize>load<u32>(layout.state_notes) + place);
  if (known != 0) return known;
  note(word);
  return load<u32>(<usize>load<u32>(layout.state_notes) + place);
}

/** Completes what was said; false where that takes more. */
export function normalize(name: u32): bool {
  const provider = said.rankOf(layout.field_provider);
  if (provider == layout.vercelProvider) return false;
  engine = findEngine();
  const ttft = said.value(layout.field_ttft);
  basis = ttft != ttft ? 0 : findBasis();
  if (load<u8>(layout.engines + <usize>engine * 2 + 1) != 0) {
    const ownPrefill = said.value(layout.field_prefill) - said.value(layout.field_queue);
    said.setValue(layout.field_prefill, max<f64>(0, ownPrefill));
  }
  if (engine == layout.sglang) {
    const stage = (noteOf(name) >> layout.note_stage) & 0x7f;
    if (stage != 0) said.setValue(stage - 1, <f64>scan.duration);
  }
  said.setValue(layout.field_itl, timePerToken());
  if (said.label(layout.field_provider) == 0) {
    said.setLabel(layout.field_provider, engineName());
  }
  said.setLabel(layout.field_operation, findOperation(name));
  return true;
}

/** The engine's interned name. */
export function engineName(): u32 {
  return load<u32>(layout.engineNames + ((<usize>engine) << 2));
}

function findEngine(): u32 {
  const evidence = load<u32>(layout.said_evidence);
  if (evidence != 0) return said.engineOf(evidence - 1);
  const own = load<u32>(layout.state_engine);
  if (own != 0) return own;
  const provider = said.label(layout.field_provider);
  const byProvider = provider == 0 ? 0 : noteOf(provider) & 0xf;
  if (byProvider != 0) return byProvider;
  if (!hasEngineTtft()) return 0;
  return (noteOf(load<u32>(layout.state_service)) >> layout.note_service) & 0xf;
}

function hasEngineTtft(): bool {
  const rank = said.rankOf(layout.field_ttft);
  return rank != said.noRank && said.basisOf(rank) == layout.basis_engine;
}

function findBasis(): u32 {
  const rank = said.rankOf(layout.field_ttft);
  const own = rank == said.noRank ? 0 : said.basisOf(rank);
  const home = rank == layout.homelessTtft ? load<u8>(layout.engines + <usize>engine * 2) : 0;
  return home != 0 ? home : own != 0 ? own : layout.basis_client;
}

function timePerToken(): f64 {
  const itl = said.value(layout.field_itl);
  if (itl == itl) {
    const rank = said.rankOf(layout.field_itl);
    if (rank == said.noRank || said.unitOf(rank) != layout.unit_perSecond) return itl;
  }
  const e2e = said.value(layout.field_e2e);
  const whole = e2e != e2e ? <f64>scan.duration : e2e;
  const generated = whole - said.value(layout.field_ttft);
  const outputs = said.value(layout.field_outputTokens);
  if (outputs > 1 && generated >= 0) return said.round(generated / (outputs - 1));
  return itl;
}

function findOperation(name: u32): u32 {
  const word = said.label(layout.field_operation);
  if (word != 0) {
    noteOf(word);
    return load<u32>(<usize>load<u32>(layout.state_operations) + ((<usize>word) << 2));
  }
  const isRequest =
    engine != 0 && (noteOf(name) & ((1 << (layout.note_requests - 1)) << engine)) != 0;
  return isRequest || hasEngineTtft() ? load<u32>(layout.state_textCompletion) : 0;
}
