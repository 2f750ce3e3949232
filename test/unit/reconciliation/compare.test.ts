/** What a provider lists, held against what is stored here. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { STATUSES, type Status } from "../../../src/payment/lifecycle";
import type { ListedEntry, Listing } from "../../../src/provider/listing";
import type { ProviderRefund, ProviderStatus, Snapshot } from "../../../src/provider/seam";
import {
  compareAbsence,
  compareEntry,
  compareSnapshot,
  type Difference,
  isSamePayment,
  type OwnPayment,
  stands,
} from "../../../src/reconciliation/compare";

const CONFIRMED: OwnPayment = {
  id: 7,
  reference: "pi_7",
  status: "confirmed",
  amountMinor: 1_000,
  currency: "EUR",
  capturedMinor: 1_000,
  captureMethod: "automatic",
  refunds: [],
  disputes: [],
};

const own = (more: Partial<OwnPayment> = {}): OwnPayment => ({ ...CONFIRMED, ...more });
const unpaid = (status: Status, more: Partial<OwnPayment> = {}) => own({ status, capturedMinor: 0, ...more });

interface Listed extends Partial<Omit<ListedEntry, "payment">> {
  status?: ProviderStatus;
  capturedMinor?: number;
  refundedMinor?: number;
}

/** The payment as the provider lists it. */
function listed({ status = "captured", capturedMinor, refundedMinor = 0, ...more }: Listed = {}): ListedEntry {
  const reference = more.reference ?? "pi_7";
  return {
    ...{ reference, paymentReference: reference, paymentId: 7, amountMinor: 1_000, currency: "EUR", createdAt: 1 },
    ...more,
    payment: { status, capturedMinor: capturedMinor ?? (status === "captured" ? 1_000 : 0), refundedMinor },
  };
}

/** A refund or a dispute of the payment. */
const part = (reference: string, more: Partial<ListedEntry> = {}): ListedEntry => {
  return { ...listed({ reference, paymentReference: "pi_7", amountMinor: 300 }), payment: null, ...more };
};

const refund = (reference: string | null, amountMinor: number, state: OwnPayment["refunds"][number]["state"]) => {
  return { reference, amountMinor, state };
};

const words = (differences: readonly Difference[]) =>
  differences.map(({ kind, paymentId, reference, detail }) => `${kind} ${paymentId} ${reference}: ${detail}`);

interface Case {
  readonly when: string;
  readonly listing?: Listing;
  readonly entry: ListedEntry;
  readonly own: OwnPayment | undefined;
  /** Without it, nothing differs. */
  readonly differs?: string;
}

const CASES: Case[] = [
  { when: "both are the same", entry: listed(), own: own() },
  {
    when: "nobody here knows a payment that was captured",
    entry: listed({ paymentId: null }),
    own: undefined,
    differs: "missing_here 0 pi_7: The provider captured 10 EUR of a payment that is not known here",
  },
  {
    when: "nobody here knows a payment that was captured, of nothing",
    entry: listed({ capturedMinor: 0 }),
    own: undefined,
    differs: "missing_here 0 pi_7: The provider captured 0 EUR of a payment that is not known here",
  },
  {
    when: "nobody here knows a payment that is held",
    entry: listed({ status: "authorized" }),
    own: undefined,
    differs: "missing_here 0 pi_7: The provider holds 10 EUR for a payment that is not known here",
  },
  {
    when: "nobody here knows a payment that is under way",
    entry: listed({ status: "processing" }),
    own: undefined,
    differs: "missing_here 0 pi_7: The provider is at work on a payment of 10 EUR that is not known here",
  },
  {
    when: "nobody here knows a payment that was captured in part, and given up",
    entry: listed({ status: "cancelled", capturedMinor: 400 }),
    own: undefined,
    differs: "missing_here 0 pi_7: The provider captured 4 EUR of a payment that is not known here",
  },
  ...(["open", "requires_action", "failed", "cancelled", "expired"] as const).map((status) => ({
    when: `nobody here knows a payment that is ${status}, of which nothing has moved`,
    entry: listed({ status }),
    own: undefined,
  })),
  {
    when: "the payment has another name here",
    entry: listed({ reference: "pi_8" }),
    own: own(),
    differs:
      "missing_here 7 pi_8: The provider captured 10 EUR of a payment that has the name pi_7 at the provider here",
  },
  {
    when: "the payment has no name here",
    entry: listed(),
    own: own({ reference: null }),
    differs: "missing_here 7 pi_7: The provider captured 10 EUR of a payment that has no name at the provider here",
  },
  {
    when: "an attempt that came to nothing has another name",
    entry: listed({ reference: "pi_8", status: "open" }),
    own: own(),
  },
  {
    when: "the amount is another",
    entry: listed({ amountMinor: 900 }),
    own: own(),
    differs: "amount_mismatch 7 pi_7: The provider has 9 EUR where the payment is of 10 EUR",
  },
  {
    when: "the currency is another",
    entry: listed({ currency: "USD" }),
    own: own(),
    differs: "amount_mismatch 7 pi_7: The provider has 10 USD where the payment is of 10 EUR",
  },
  {
    when: "another amount was captured",
    entry: listed({ capturedMinor: 600 }),
    own: own(),
    differs: "amount_mismatch 7 pi_7: The provider captured 6 EUR, and not 10 EUR",
  },
  { when: "as much was captured as here", entry: listed({ capturedMinor: 600 }), own: own({ capturedMinor: 600 }) },
  {
    when: "more was given back than here",
    entry: listed({ refundedMinor: 300 }),
    own: own(),
    differs: "amount_mismatch 7 pi_7: The provider gave back 3 EUR, and not 0 EUR",
  },
  {
    when: "less was given back than here",
    entry: listed({ refundedMinor: 100 }),
    own: own({ refunds: [refund("re_1", 300, "succeeded")] }),
    differs: "amount_mismatch 7 pi_7: The provider gave back 1 EUR, and not 3 EUR",
  },
  {
    when: "a refund is under way that the provider counts already",
    entry: listed({ refundedMinor: 300 }),
    own: own({ refunds: [refund("re_1", 300, "pending")] }),
  },
  {
    when: "a refund is under way that the provider does not count yet",
    entry: listed(),
    own: own({ refunds: [refund(null, 300, "unknown")] }),
  },
  {
    when: "a refund has failed",
    entry: listed(),
    own: own({ refunds: [refund("re_1", 300, "failed"), refund(null, 300, "declined")] }),
  },
  {
    when: "more was given back than here, where a refund has failed",
    entry: listed({ refundedMinor: 200 }),
    own: own({ refunds: [refund("re_1", 300, "failed")] }),
    differs: "amount_mismatch 7 pi_7: The provider gave back 2 EUR, and not 0 EUR",
  },
  {
    when: "a part was captured there of what is authorised here",
    entry: listed({ status: "authorized", capturedMinor: 400 }),
    own: unpaid("authorized"),
    differs: "amount_mismatch 7 pi_7: The provider captured 4 EUR, and not 0 EUR",
  },
  { when: "a listed payment says nothing of itself", entry: part("pi_7"), own: undefined },
  {
    when: "more was given back than was captured, and all of it is known here",
    entry: listed({ refundedMinor: 1_400 }),
    own: own({ status: "refunded", refunds: [refund("re_1", 1_000, "succeeded"), refund("re_2", 400, "succeeded")] }),
  },
  {
    when: "the payment has expired here, and was captured",
    entry: listed(),
    own: unpaid("expired"),
    differs: "late_success 7 pi_7: The provider captured 10 EUR of a payment that is expired",
  },
  {
    when: "the payment has expired here, and was captured, of nothing",
    entry: listed({ capturedMinor: 0 }),
    own: unpaid("expired"),
    differs: "late_success 7 pi_7: The provider captured 0 EUR of a payment that is expired",
  },
  {
    when: "the payment was cancelled here, and is held",
    entry: listed({ status: "authorized" }),
    own: unpaid("cancelled"),
    differs: "late_success 7 pi_7: The provider holds 10 EUR for a payment that is cancelled",
  },
  {
    when: "the payment has failed here, and a part of it was captured and given up",
    entry: listed({ status: "cancelled", capturedMinor: 400 }),
    own: unpaid("failed"),
    differs: "late_success 7 pi_7: The provider captured 4 EUR of a payment that is failed",
  },
  {
    when: "the payment has failed here, and is of another amount there",
    entry: listed({ status: "open", amountMinor: 900 }),
    own: unpaid("failed"),
    differs: "amount_mismatch 7 pi_7: The provider has 9 EUR where the payment is of 10 EUR",
  },
  {
    when: "the payment is confirmed here, and was cancelled there",
    entry: listed({ status: "cancelled" }),
    own: own(),
    differs: "status_mismatch 7 pi_7: The provider says cancelled, and the payment is confirmed here",
  },
  {
    when: "a refund is known here",
    listing: "refunds",
    entry: part("re_1"),
    own: own({ refunds: [refund("re_1", 300, "pending")] }),
  },
  {
    when: "a refund has failed that is known here",
    listing: "refunds",
    entry: part("re_1"),
    own: own({ refunds: [refund("re_1", 300, "failed")] }),
  },
  {
    when: "a refund is not known here",
    listing: "refunds",
    entry: part("re_1"),
    own: own({ refunds: [refund("re_2", 300, "succeeded"), refund(null, 300, "unknown")] }),
    differs: "unknown_refund 7 re_1: The provider has a refund of 3 EUR that is missing here; its payment is confirmed",
  },
  {
    when: "a refund is of another amount",
    listing: "refunds",
    entry: part("re_1"),
    own: own({ refunds: [refund("re_1", 200, "succeeded")] }),
    differs: "amount_mismatch 7 re_1: The provider has a refund of 3 EUR, and not of 2 EUR",
  },
  {
    when: "a refund is of another currency",
    listing: "refunds",
    entry: part("re_1", { currency: "USD" }),
    own: own({ refunds: [refund("re_1", 300, "succeeded")] }),
    differs: "amount_mismatch 7 re_1: The provider has a refund of 3 USD, and not of 3 EUR",
  },
  {
    when: "a refund is of a payment that is not known here",
    listing: "refunds",
    entry: part("re_1", { paymentId: null }),
    own: undefined,
    differs: "unknown_refund 0 re_1: The provider has a refund of 3 EUR of the payment pi_7, which is not known here",
  },
  {
    when: "a refund is of a payment that has another name here",
    listing: "refunds",
    entry: part("re_1", { paymentReference: "pi_8" }),
    own: own({ refunds: [refund("re_1", 300, "succeeded")] }),
    differs:
      "unknown_refund 7 re_1: The provider has a refund of 3 EUR of the payment pi_8, which has the name pi_7 at the provider here",
  },
  {
    when: "a dispute is known here",
    listing: "disputes",
    entry: part("dp_1"),
    own: own({ disputes: ["dp_2", "dp_1"] }),
  },
  {
    when: "a dispute is not known here",
    listing: "disputes",
    entry: part("dp_1"),
    own: unpaid("expired", { disputes: ["dp_2"] }),
    differs:
      "unknown_dispute 7 dp_1: The provider has a dispute over 3 EUR that is missing here; its payment is expired",
  },
  {
    when: "a dispute is of a payment that is not known here",
    listing: "disputes",
    entry: part("dp_1"),
    own: undefined,
    differs:
      "unknown_dispute 0 dp_1: The provider has a dispute over 3 EUR of the payment pi_7, which is not known here",
  },
];

describe("an entry", () => {
  it.each(CASES)("$when", ({ listing = "payments", entry, own, differs }) => {
    expect(words(compareEntry(listing, entry, own))).toEqual(differs === undefined ? [] : [differs]);
  });
});

it("an entry is of the payment that it names where the provider's names are the same", () => {
  expect(isSamePayment(listed(), own())).toBe(true);
  expect(isSamePayment(part("re_1"), own())).toBe(true);
  expect(isSamePayment(listed({ reference: "pi_8" }), own())).toBe(false);
  expect(isSamePayment(listed(), own({ reference: null }))).toBe(false);
  expect(isSamePayment(listed(), undefined)).toBe(false);
});

describe("the statuses that go with each other", () => {
  /** By the status at the provider, those here: written down here, from what each means for the money. */
  const AGREE: Record<ProviderStatus, string> = {
    open: "pending requires_action processing failed cancelled expired",
    requires_action: "requires_action failed cancelled expired",
    processing: "processing",
    authorized: "authorized",
    captured: "confirmed refunded",
    failed: "failed cancelled expired",
    cancelled: "failed cancelled expired",
    expired: "failed cancelled expired",
  };

  it.each(Object.entries(AGREE))("with %s are %s", (status, expected) => {
    const agreeing = STATUSES.filter((one) => {
      const isPaid = one === "confirmed" || one === "refunded";
      const refunds = one === "refunded" ? [refund("re_1", 1_000, "succeeded")] : [];
      const payment = own({ status: one, capturedMinor: isPaid ? 1_000 : 0, refunds });
      const refundedMinor = one === "refunded" ? 1_000 : 0;
      return (
        compareEntry("payments", listed({ status: status as ProviderStatus, refundedMinor }), payment).length === 0
      );
    });
    expect(agreeing.join(" ")).toBe(expected);
  });
});

describe("a payment that its provider does not know", () => {
  it.each(["requires_action", "processing", "authorized", "confirmed", "refunded"] as const)(
    "differs where it is %s",
    (status) => {
      expect(words(compareAbsence(own({ status })))).toEqual([
        `missing_there 7 pi_7: The provider does not know this payment of 10 EUR, which is ${status} here`,
      ]);
    },
  );

  it.each(["pending", "failed", "cancelled", "expired"] as const)("is missed by nobody where it is %s", (status) => {
    expect(compareAbsence(unpaid(status))).toEqual([]);
  });

  it("is none where the provider was never told of it", () => {
    expect(compareAbsence(own({ reference: null }))).toEqual([]);
  });
});

describe("a snapshot", () => {
  const refundOf = (reference: string, amountMinor: number, state: ProviderRefund["state"]): ProviderRefund => {
    return { reference, nonce: null, amountMinor, state, failure: null };
  };
  const snapshot = (more: Partial<Snapshot> = {}): Snapshot => ({
    ...{ reference: "pi_7", status: "captured", amountMinor: 1_000, currency: "EUR", capturedMinor: 1_000 },
    ...{ nextAction: null, failure: null, captures: [], refunds: [], disputes: [] },
    ...more,
  });

  it("that says what is here differs in nothing", () => {
    expect(compareSnapshot(snapshot(), own())).toEqual([]);
  });

  it("differs in the payment alone, of whose refunds those count that have succeeded", () => {
    const refunds = [
      refundOf("re_1", 300, "succeeded"),
      refundOf("re_2", 100, "pending"),
      refundOf("re_3", 50, "failed"),
    ];
    const disputes = [{ reference: "dp_1", amountMinor: 500, state: "open", reason: null, dueAt: null }] as const;
    expect(words(compareSnapshot(snapshot({ refunds, disputes }), own()))).toEqual([
      "amount_mismatch 7 pi_7: The provider gave back 3 EUR, and not 0 EUR",
    ]);
  });

  it("of another payment is of none that is here", () => {
    expect(words(compareSnapshot(snapshot({ reference: "pi_8" }), own()))).toEqual([
      "missing_here 7 pi_8: The provider captured 10 EUR of a payment that has the name pi_7 at the provider here",
    ]);
  });
});

describe("what differs at another look", () => {
  const one: Difference = { kind: "status_mismatch", paymentId: 7, reference: "pi_7", detail: "Then" };
  const other: Difference = { ...one, detail: "Now" };

  it("stands where it differed the same way before", () => {
    expect(stands([one], [one], 1)).toBe(true);
    expect(stands([one, other], [other], 1)).toBe(true);
    expect(stands([one], [], 1)).toBe(true);
  });

  it("is still moving where any of it is new", () => {
    expect(stands([], [one], 0)).toBe(false);
    expect(stands([one], [other], 1)).toBe(false);
    expect(stands([one], [one, other], 1)).toBe(false);
  });

  it.each(["kind", "paymentId", "reference"] as const)("is told apart by its %s", (name) => {
    const changed = { ...one, [name]: name === "paymentId" ? 8 : "late_success" } as Difference;
    expect(stands([one], [changed], 1)).toBe(false);
  });

  it("stands at the fifth look, whatever it is", () => {
    expect(stands([one], [other], 3)).toBe(false);
    expect(stands([one], [other], 4)).toBe(true);
  });
});

/** A payment at a provider and here, alike; and what may be done to make them differ, each in a way of its own. */
type Twist = keyof typeof TWISTS;
interface World {
  readonly entries: readonly (readonly [Listing, ListedEntry])[];
  readonly own: ReadonlyMap<number, OwnPayment>;
}
interface Pair {
  readonly payment: ListedEntry;
  readonly parts: readonly (readonly [Listing, ListedEntry])[];
  readonly own: OwnPayment | undefined;
}

function alike(id: number, amountMinor: number, refunded: number): Pair {
  const reference = `pi_${id}`;
  const refunds = refunded > 0 ? [refund(`re_${id}`, refunded, "succeeded")] : [];
  const payment = listed({
    reference,
    paymentId: id,
    amountMinor,
    capturedMinor: amountMinor,
    refundedMinor: refunded,
  });
  const about = { paymentReference: reference, paymentId: id };
  const status = refunded === amountMinor ? ("refunded" as const) : ("confirmed" as const);
  return {
    payment,
    parts: [
      ...refunds.map(() => ["refunds", part(`re_${id}`, { ...about, amountMinor: refunded })] as const),
      ["disputes", part(`dp_${id}`, { ...about, amountMinor })],
    ],
    own: own({ id, reference, amountMinor, capturedMinor: amountMinor, status, refunds, disputes: [`dp_${id}`] }),
  };
}

/** Each with the kinds that it must lead to, of a payment that has no refund, and of one that has. */
const TWISTS = {
  none: { twist: (pair: Pair) => pair, kinds: [], withRefund: [] },
  forgotten: {
    twist: (pair: Pair) => ({ ...pair, own: undefined }),
    kinds: ["missing_here", "unknown_dispute"],
    withRefund: ["missing_here", "unknown_dispute", "unknown_refund"],
  },
  renamed: {
    twist: (pair: Pair) => ({ ...pair, own: pair.own && { ...pair.own, reference: "pi_other" } }),
    kinds: ["missing_here", "unknown_dispute"],
    withRefund: ["missing_here", "unknown_dispute", "unknown_refund"],
  },
  dearer: {
    twist: (pair: Pair) => ({ ...pair, payment: { ...pair.payment, amountMinor: pair.payment.amountMinor + 1 } }),
    kinds: ["amount_mismatch"],
    withRefund: ["amount_mismatch"],
  },
  expired: {
    twist: (pair: Pair) => ({ ...pair, own: pair.own && { ...pair.own, status: "expired" as const } }),
    kinds: ["late_success"],
    withRefund: ["late_success"],
  },
  stuck: {
    twist: (pair: Pair) => ({ ...pair, own: pair.own && { ...pair.own, status: "processing" as const } }),
    kinds: ["status_mismatch"],
    withRefund: ["status_mismatch"],
  },
  undisputed: {
    twist: (pair: Pair) => ({ ...pair, own: pair.own && { ...pair.own, disputes: [] } }),
    kinds: ["unknown_dispute"],
    withRefund: ["unknown_dispute"],
  },
  unrefunded: {
    twist: (pair: Pair) => ({ ...pair, own: pair.own && { ...pair.own, refunds: [], status: "confirmed" as const } }),
    kinds: [],
    withRefund: ["amount_mismatch", "unknown_refund"],
  },
} satisfies Record<string, { twist: (pair: Pair) => Pair; kinds: string[]; withRefund: string[] }>;

const twists = fc.constantFrom(...(Object.keys(TWISTS) as Twist[]));
const drawn = fc.array(
  fc.record({ amountMinor: fc.integer({ min: 2, max: 5_000 }), share: fc.integer({ min: 0, max: 2 }), twist: twists }),
  { maxLength: 12 },
);

function worldOf(payments: readonly { amountMinor: number; share: number; twist: Twist }[]) {
  const expected: string[] = [];
  const pairs = payments.map(({ amountMinor, share, twist }, index): Pair => {
    const id = index + 1;
    const refunded = Math.floor((amountMinor * share) / 2);
    const { kinds, withRefund } = TWISTS[twist];
    const references: Record<string, string> = { unknown_refund: `re_${id}`, unknown_dispute: `dp_${id}` };
    for (const kind of refunded > 0 ? withRefund : kinds) expected.push(`${kind} ${references[kind] ?? `pi_${id}`}`);
    return TWISTS[twist].twist(alike(id, amountMinor, refunded));
  });
  const entries = pairs.flatMap(({ payment, parts }) => [["payments", payment] as const, ...parts]);
  const world: World = { entries, own: new Map(pairs.flatMap((pair) => (pair.own ? [[pair.own.id, pair.own]] : []))) };
  return { world, expected: expected.sort() };
}

/** All that is found on some pages: what each entry comes to, named once. */
const found = ({ own }: World, entries: World["entries"]): string[] => {
  const names = entries.flatMap(([listing, entry]) =>
    compareEntry(listing, entry, own.get(entry.paymentId ?? 0)).map(({ kind, reference }) => `${kind} ${reference}`),
  );
  return [...new Set(names)].sort();
};

// A failure prints the seed, and the path to its smallest counterexample.
describe("a provider's ledger and ours", () => {
  it("differ in just what was changed, each named once; in nothing where nothing was", () => {
    fc.assert(
      fc.property(drawn, (payments) => {
        const { world, expected } = worldOf(payments);
        const all = world.entries.flatMap(([listing, entry]) =>
          compareEntry(listing, entry, world.own.get(entry.paymentId ?? 0)),
        );
        expect(all.map(({ kind, reference }) => `${kind} ${reference}`).sort()).toEqual(expected);
        if (payments.every(({ twist }) => twist === "none")) expect(all).toEqual([]);
      }),
    );
  });

  it("differ in the same whatever the order of the pages, and however often they come", () => {
    fc.assert(
      fc.property(drawn, fc.infiniteStream(fc.nat()), (payments, picks) => {
        const { world, expected } = worldOf(payments);
        const shuffled = [...world.entries, ...world.entries]
          .map((entry) => ({ entry, at: picks.next().value ?? 0 }))
          .sort((a, b) => a.at - b.at)
          .map(({ entry }) => entry);
        expect(found(world, shuffled)).toEqual(expected);
      }),
    );
  });
});
