/**
 * Whether all facet values of a span are in ClickHouse or in the open batch; new ones are added by
 * `facets.ts`. Its scopes that were used last stand in a small table, by quarter of an hour.
 */
import * as layout from "./layout";
import { engineName } from "./normalize";
import * as said from "./said";
import * as scan from "./scan";

let known: usize = 0;
let knownCount: u32 = 0;
let open: usize = 0;
let openCount: u32 = 0;

export function areFacetsKnown(): bool {
  const bucket = scan.minute / 15;
  const entry = layout.facetScopes + <usize>(bucket & (layout.facetEntries - 1)) * 32;
  if (
    load<u32>(entry) != bucket * 900 ||
    load<u32>(entry, 4) != load<u32>(layout.state_tenant) ||
    load<u32>(entry, 8) != load<u32>(layout.state_retention)
  ) {
    return false;
  }
  known = load<u32>(entry, 12);
  knownCount = load<u32>(entry, 16);
  open = load<u32>(entry, 20);
  openCount = load<u32>(entry, 24);
  const operation = said.label(layout.field_operation);
  const own = said.label(layout.field_model);
  // An instance serves its model in calls, not in its start-up or its tool spans.
  const model = own == 0 && operation != 0 ? load<u32>(layout.state_model) : own;
  return (
    isKnown(load<u32>(layout.state_service), layout.facet_service) &&
    isKnown(load<u32>(layout.state_environment), layout.facet_environment) &&
    isKnown(load<u32>(layout.state_namespace), layout.facet_namespace) &&
    isKnown(load<u32>(layout.state_pod), layout.facet_pod) &&
    isKnown(load<u32>(layout.state_node), layout.facet_node) &&
    isKnown(model, layout.facet_model) &&
    isKnown(said.label(layout.field_provider), layout.facet_provider) &&
    isKnown(engineName(), layout.facet_engine) &&
    isKnown(operation, layout.facet_operation)
  );
}

function isKnown(id: u32, bit: u32): bool {
  if (id == 0) return true;
  const place = (<usize>id) << 1;
  const has = id < knownCount ? <u32>load<u16>(known + place) : 0;
  return ((has | (id < openCount ? <u32>load<u16>(open + place) : 0)) & bit) != 0;
}
