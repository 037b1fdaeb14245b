/** Who has which node: the same for everybody who computes it, and one pool at most. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import {
  assignNodes,
  isSelected,
  selectorProblem,
  type LabelledNode,
  type NodeSelector,
  type SelectingPool,
} from "./assign.ts";

const seed = Date.now() % 2 ** 31;

test("selectors select as Kubernetes' do, and one that names nothing selects nothing", () => {
  const labels = { gpu: "h100", zone: "" };
  const cases: [NodeSelector, boolean][] = [
    [{ matchLabels: { gpu: "h100" } }, true],
    [{ matchLabels: { gpu: "h100", zone: "a" } }, false],
    [{ matchExpressions: [{ key: "gpu", operator: "In", values: ["h200", "h100"] }] }, true],
    [{ matchExpressions: [{ key: "gpu", operator: "NotIn", values: ["h100"] }] }, false],
    [{ matchExpressions: [{ key: "none", operator: "NotIn", values: ["h100"] }] }, true],
    [{ matchExpressions: [{ key: "zone", operator: "Exists" }] }, true],
    [{ matchExpressions: [{ key: "zone", operator: "DoesNotExist" }] }, false],
    [
      { matchLabels: { gpu: "h100" }, matchExpressions: [{ key: "none", operator: "Exists" }] },
      false,
    ],
    [{}, false],
  ];
  for (const [selector, expected] of cases) {
    assert.equal(isSelected(selector, labels), expected, JSON.stringify(selector));
  }
});

test("a selector that no label can match is told, with the word that is wrong", () => {
  assert.equal(selectorProblem({ matchLabels: { "nvidia.com/gpu.present": "true" } }), undefined);
  assert.equal(selectorProblem({ matchLabels: { plain: "" } }), undefined);
  const wrong: [NodeSelector, RegExp][] = [
    [{ matchLabels: { "a b": "x" } }, /"a b"/],
    [{ matchLabels: { "Upper.Case/x": "x" } }, /"Upper.Case\/x"/],
    [{ matchLabels: { "a/b/c": "x" } }, /"a\/b\/c"/],
    [{ matchLabels: { gpu: "no space" } }, /"no space"/],
    [{ matchExpressions: [{ key: "-x", operator: "Exists" }] }, /"-x"/],
  ];
  for (const [selector, words] of wrong) {
    assert.match(selectorProblem(selector) ?? "", words);
  }
});

const pool = fc.record({
  priority: fc.integer({ min: -2, max: 2 }),
  creationTimestamp: fc.constantFrom("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"),
  selector: fc
    .subarray(["a", "b", "c"], { minLength: 1 })
    .map((values): NodeSelector => ({ matchExpressions: [{ key: "k", operator: "In", values }] })),
  isDeleting: fc.boolean(),
});
const pools = fc
  .array(pool, { maxLength: 6 })
  .map((all): SelectingPool[] => all.map((each, index) => ({ ...each, name: `pool-${index}` })));
const nodes = fc
  .array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 12 })
  .map((values): LabelledNode[] =>
    values.map((k, index) => ({ uid: `u${index}`, name: `n${index}`, labels: { k } })),
  );

test(`a node is the best of those that select it, in whatever order they come (seed ${seed})`, () => {
  fc.assert(
    fc.property(pools, nodes, fc.nat(), (all, of, turn) => {
      const { poolOf, matched } = assignNodes(all, of);
      const turned = [...all.slice(turn % (all.length || 1)), ...all].slice(0, all.length * 2);
      const again = assignNodes(
        [...new Map(turned.toReversed().map((each) => [each.name, each])).values()],
        of.toReversed(),
      );
      assert.deepEqual(Object.fromEntries(again.poolOf), Object.fromEntries(poolOf));
      for (const node of of) {
        const wanting = all.filter(
          (each) => !each.isDeleting && isSelected(each.selector, node.labels),
        );
        const winner = all.find(({ name }) => name === poolOf.get(node.uid));
        assert.equal(winner === undefined, wanting.length === 0);
        for (const other of wanting) {
          assert.ok(matched.get(other.name)?.includes(node));
          if (winner === undefined || other === winner) continue;
          const rank = ({ priority, creationTimestamp, name }: SelectingPool) =>
            [-priority, Date.parse(creationTimestamp), name] as const;
          const [a, b] = [rank(winner), rank(other)];
          const isBetter =
            a[0] < b[0] || (a[0] === b[0] && (a[1] < b[1] || (a[1] === b[1] && a[2] < b[2])));
          assert.ok(isBetter, `${winner.name} has ${node.name}, ${other.name} ranks higher`);
        }
      }
    }),
    { seed, numRuns: 500 },
  );
});
