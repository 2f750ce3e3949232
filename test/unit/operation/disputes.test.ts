/** Disputes beside refunds: what a provider tells of them in turn, and what may go back of a payment in all. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyChange, type Change, isUnsettled, type PaymentView } from "../../../src/operation/reducer/change";
import { reduce } from "../../../src/operation/reducer/reduce";
import type { ProviderDispute, ProviderRefund, Snapshot } from "../../../src/provider/seam";

const CAPTURED = 100;

const PAID: PaymentView = {
  status: "confirmed",
  amountMinor: CAPTURED,
  currency: "EUR",
  captureMethod: "automatic",
  capturedMinor: CAPTURED,
  refundedMinor: 0,
  failure: null,
  nextAction: null,
  providerReference: "pay_1",
  operations: [],
  disputes: [],
  items: [],
};

function says(disputes: readonly ProviderDispute[], refunds: readonly ProviderRefund[] = []): Snapshot {
  const payment = { reference: "pay_1", amountMinor: CAPTURED, currency: "EUR", capturedMinor: CAPTURED } as const;
  return { ...payment, status: "captured", nextAction: null, failure: null, captures: [], refunds, disputes };
}

const dispute = (state: ProviderDispute["state"], amountMinor = CAPTURED, reference = "dp_1"): ProviderDispute => {
  return { reference, amountMinor, state, reason: "fraudulent", dueAt: 9 };
};
const refund = (amountMinor: number, state: ProviderRefund["state"], reference = "re_1"): ProviderRefund => {
  return { reference, nonce: null, amountMinor, state, failure: null };
};

/** The payment after all that its provider has said, one word after the other, and what was committed. */
function heard(...snapshots: readonly Snapshot[]): { view: PaymentView; changes: Change[] } {
  const changes: Change[] = [];
  let view = PAID;
  for (const snapshot of snapshots) {
    for (let change = reduce(view, snapshot); change !== null; change = reduce(view, snapshot)) {
      changes.push(change);
      view = applyChange(view, change);
    }
  }
  return { view, changes };
}

const told = (changes: readonly Change[]) => changes.flatMap(({ event }) => event?.type ?? []);

describe("a dispute", () => {
  it.each([
    ["is opened, and won", ["open", "won"], ["dispute.opened", "dispute.closed"]],
    ["is opened, and lost", ["open", "lost"], ["dispute.opened", "dispute.closed"]],
    ["is an inquiry that comes to nothing", ["inquiry", "won"], ["dispute.opened", "dispute.closed"]],
    [
      "is an inquiry that becomes a dispute, and is lost",
      ["inquiry", "open", "lost"],
      ["dispute.opened", "dispute.opened", "dispute.closed"],
    ],
    ["is told of twice, and late", ["open", "open", "lost", "open", "lost"], ["dispute.opened", "dispute.closed"]],
  ] as const)("%s", (_, states, events) => {
    const { view, changes } = heard(...states.map((state) => says([dispute(state)])));
    expect(told(changes)).toEqual(events);
    expect(view.disputes).toEqual([dispute(states.at(-1) ?? "open")]);
    expect(view.items).toEqual([]);
  });

  it.each(["inquiry", "open", "won"] as const)("that is %s takes nothing, beside a refund of all", (state) => {
    expect(heard(says([dispute(state)], [refund(CAPTURED, "succeeded")])).view.items).toEqual([]);
  });

  it.each([
    ["all of it was given back before", [refund(CAPTURED, "succeeded")], dispute("lost")],
    ["a part of it may still be given back", [refund(40, "pending")], dispute("lost", 61)],
    ["refunds and it are more by one", [refund(30, "succeeded"), refund(30, "pending", "re_2")], dispute("lost", 41)],
  ])("that is lost is an item where %s", (_, refunds, lost) => {
    const { view } = heard(says([dispute("open", lost.amountMinor)]), says([lost], refunds));
    expect(view.items).toMatchObject([{ kind: "over_refunded", reference: "pay_1", isResolved: false }]);
  });

  it("that is lost is none where refunds and it are just what was captured", () => {
    expect(heard(says([dispute("lost", 60)], [refund(40, "succeeded")])).view.items).toEqual([]);
  });

  it("that is lost is an item again once still more has gone back than when a person resolved it", () => {
    const first = says([dispute("lost")], [refund(10, "succeeded")]);
    const { view } = heard(first);
    const resolved = { ...view, items: view.items.map((item) => ({ ...item, isResolved: true })) };
    expect(reduce(resolved, first)).toBeNull();
    const more = says([dispute("lost")], [refund(10, "succeeded"), refund(5, "succeeded", "re_2")]);
    const adopted = reduce(resolved, more);
    const after = adopted && applyChange(resolved, adopted);
    const change = after && reduce(after, more);
    expect(change?.item?.detail).toBe(
      "0.15 EUR refunded, 0 EUR in open refunds and 1 EUR in lost disputes are more than the 1 EUR captured",
    );
  });
});

const amounts = fc.integer({ min: 1, max: 2 * CAPTURED });
const snapshots = fc.record({
  disputes: fc.uniqueArray(
    fc.record({
      reference: fc.constantFrom("dp_1", "dp_2", "dp_3"),
      amountMinor: amounts,
      state: fc.constantFrom("inquiry", "open", "won", "lost"),
    }),
    { selector: ({ reference }) => reference },
  ),
  refunds: fc.uniqueArray(
    fc.record({
      reference: fc.constantFrom("re_1", "re_2", "re_3"),
      amountMinor: amounts,
      state: fc.constantFrom("pending", "succeeded", "failed"),
    }),
    { selector: ({ reference }) => reference },
  ),
});

const sum = (parts: readonly { readonly amountMinor: number }[]) =>
  parts.reduce((total, { amountMinor }) => total + amountMinor, 0);

// A failure prints the seed, and the path to its smallest counterexample.
it("refunds, those under way too, and lost disputes are never more than was captured without an item that says so", () => {
  let overs = 0;
  fc.assert(
    fc.property(fc.array(snapshots, { minLength: 1, maxLength: 6 }), (words) => {
      const { view } = heard(
        ...words.map(({ disputes, refunds }) =>
          says(
            disputes.map(({ state, amountMinor, reference }) => dispute(state, amountMinor, reference)),
            refunds.map(({ amountMinor, state, reference }) => refund(amountMinor, state, reference)),
          ),
        ),
      );
      const refunds = view.operations.filter(({ state }) => state === "succeeded" || isUnsettled(state));
      const isOver = sum([...refunds, ...view.disputes.filter(({ state }) => state === "lost")]) > CAPTURED;
      if (isOver) overs++;
      expect(view.refundedMinor).toBeLessThanOrEqual(CAPTURED);
      expect(view.items.some(({ kind }) => kind === "over_refunded") || !isOver).toBe(true);
    }),
    { numRuns: 300 },
  );
  expect(overs).toBeGreaterThan(30);
});
