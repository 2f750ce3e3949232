import { describe, expect, it } from "vitest";
import {
  applyChange,
  type Change,
  type DisputeView,
  type OperationView,
  type PaymentView,
} from "../../../src/operation/reducer/change";
import { reduce, reportLateAuthorization } from "../../../src/operation/reducer/reduce";
import { refused, unanswered } from "../../../src/operation/reducer/unanswered";
import type { Failure } from "../../../src/provider/failures";
import type { ProviderDispute, ProviderRefund, ProviderStatus, Snapshot } from "../../../src/provider/seam";

const DECLINED: Failure = { code: "insufficient_funds", decline_code: "no_funds", message: "Not enough money" };
const PAGE = { type: "redirect", url: "https://bank.example/1" } as const;

/** An operation that was asked for here; its nonce is `n` and its number. */
function asked(number: number, kind: OperationView["kind"], more: Partial<OperationView> = {}): OperationView {
  const amountMinor = 100;
  const nonce = `n${number}`;
  return {
    number,
    kind,
    amountMinor,
    state: "open",
    nonce,
    providerReference: null,
    failure: null,
    source: "request",
    ...more,
  };
}

/** A payment of 100.00, of which an authorisation is being sent. */
function pending(more: Partial<PaymentView> = {}): PaymentView {
  return {
    status: "pending",
    amountMinor: 100,
    currency: "EUR",
    captureMethod: "automatic",
    capturedMinor: 0,
    refundedMinor: 0,
    failure: null,
    nextAction: null,
    providerReference: "pay_1",
    operations: [asked(1, "authorize")],
    disputes: [],
    items: [],
    ...more,
  };
}

const AUTHORIZED = asked(1, "authorize", { state: "succeeded", providerReference: "pay_1" });
const authorized = (...operations: OperationView[]) =>
  pending({ status: "authorized", captureMethod: "manual", operations: [AUTHORIZED, ...operations] });
const confirmed = (more: Partial<PaymentView> = {}, ...operations: OperationView[]) =>
  pending({ status: "confirmed", capturedMinor: 100, operations: [AUTHORIZED, ...operations], ...more });

function says(status: ProviderStatus, more: Partial<Snapshot> = {}): Snapshot {
  const capturedMinor = status === "captured" ? 100 : 0;
  const nothing = { nextAction: null, failure: null, captures: [], refunds: [], disputes: [] };
  return { reference: "pay_1", status, amountMinor: 100, currency: "EUR", capturedMinor, ...nothing, ...more };
}

const refund = (
  reference: string,
  amountMinor: number,
  state: ProviderRefund["state"],
  nonce: string | null = null,
) => {
  return { reference, nonce, amountMinor, state, failure: null };
};
const dispute = (state: ProviderDispute["state"], more: Partial<ProviderDispute> = {}): DisputeView => {
  return { reference: "dp_1", amountMinor: 100, state, reason: "fraudulent", dueAt: 9, ...more };
};

/** The view once a snapshot changes it no more, and what was committed on the way. */
function settle(view: PaymentView, snapshot: Snapshot): { view: PaymentView; changes: Change[] } {
  const changes: Change[] = [];
  for (let after = view; ; ) {
    const change = reduce(after, snapshot);
    if (change === null) return { view: after, changes };
    expect(changes.length, "a change never ends").toBeLessThan(20);
    changes.push(change);
    after = applyChange(after, change);
  }
}

/** A payment in a few words: its status, what was captured and refunded, and where its operations and disputes are. */
function inWords(view: PaymentView): string {
  const amounts = view.capturedMinor > 0 ? [`${view.capturedMinor}-${view.refundedMinor}`] : [];
  const operations = view.operations.map(
    ({ kind, state, source }) => `${source === "provider" ? "their " : ""}${kind} ${state}`,
  );
  const disputes = view.disputes.map(({ state }) => `dispute ${state}`);
  return [view.status, ...amounts, ...operations, ...disputes].join(", ");
}

/** The types of the events, in the order of their commits; `-` is a commit that nobody is told of. */
const told = (changes: readonly Change[]) => changes.map(({ event }) => event?.type ?? "-").join(", ");

interface Case {
  readonly when: string;
  readonly view: PaymentView;
  readonly snapshot: Snapshot;
  readonly becomes: string;
  readonly events: string;
}

const AUTHORISATIONS: Case[] = [
  {
    when: "it is captured at once",
    view: pending(),
    snapshot: says("captured"),
    becomes: "confirmed, 100-0, authorize succeeded",
    events: "payment.confirmed",
  },
  {
    when: "it is authorised",
    view: pending({ captureMethod: "manual" }),
    snapshot: says("authorized"),
    becomes: "authorized, authorize succeeded",
    events: "payment.authorized",
  },
  {
    when: "the payer has to act",
    view: pending(),
    snapshot: says("requires_action", { nextAction: PAGE }),
    becomes: "requires_action, authorize pending",
    events: "payment.requires_action",
  },
  {
    when: "the provider takes its time",
    view: pending(),
    snapshot: says("processing"),
    becomes: "processing, authorize pending",
    events: "payment.processing",
  },
  {
    when: "it is declined",
    view: pending(),
    snapshot: says("failed", { failure: DECLINED }),
    becomes: "failed, authorize declined",
    events: "payment.failed",
  },
  {
    when: "the request has not arrived",
    view: pending({ status: "processing", operations: [asked(1, "authorize", { state: "unknown" })] }),
    snapshot: says("open"),
    becomes: "processing, authorize unknown",
    events: "",
  },
  {
    when: "the answer was lost and the money is there",
    view: pending({ status: "processing", operations: [asked(1, "authorize", { state: "unknown" })] }),
    snapshot: says("captured"),
    becomes: "confirmed, 100-0, authorize succeeded",
    events: "payment.confirmed",
  },
  {
    when: "the payer has acted, and the bank is not done",
    view: pending({ status: "requires_action", nextAction: PAGE }),
    snapshot: says("processing"),
    becomes: "processing, authorize pending",
    events: "payment.processing",
  },
  {
    when: "the payer is sent elsewhere",
    view: pending({
      status: "requires_action",
      nextAction: PAGE,
      operations: [asked(1, "authorize", { state: "pending" })],
    }),
    snapshot: says("requires_action", { nextAction: { type: "redirect", url: "https://bank.example/2" } }),
    becomes: "requires_action, authorize pending",
    events: "payment.requires_action",
  },
  {
    when: "nothing is new",
    view: pending({
      status: "requires_action",
      nextAction: PAGE,
      operations: [asked(1, "authorize", { state: "pending" })],
    }),
    snapshot: says("requires_action", { nextAction: PAGE }),
    becomes: "requires_action, authorize pending",
    events: "",
  },
  {
    when: "the payer never came back",
    view: pending({ status: "requires_action", nextAction: PAGE }),
    snapshot: says("expired"),
    becomes: "expired, authorize failed",
    events: "payment.expired",
  },
  {
    when: "a payment of which nobody had heard since it was asked for has expired",
    view: pending({ status: "processing", operations: [asked(1, "authorize", { state: "unknown" })] }),
    snapshot: says("expired"),
    becomes: "expired, authorize failed",
    events: "payment.requires_action, payment.expired",
  },
  {
    when: "somebody ended it at the provider",
    view: pending({ status: "requires_action" }),
    snapshot: says("cancelled"),
    becomes: "expired, authorize failed",
    events: "payment.expired",
  },
  {
    when: "somebody ended a payment at the provider of which nobody had heard since it was asked for",
    view: pending({ status: "processing", operations: [asked(1, "authorize", { state: "unknown" })] }),
    snapshot: says("cancelled"),
    becomes: "expired, authorize failed",
    events: "payment.requires_action, payment.expired",
  },
  {
    when: "the payer is sent somewhere at last",
    view: pending({ status: "requires_action", operations: [asked(1, "authorize", { state: "pending" })] }),
    snapshot: says("requires_action", { nextAction: PAGE }),
    becomes: "requires_action, authorize pending",
    events: "payment.requires_action",
  },
  {
    when: "the payer is sent nowhere any more",
    view: pending({
      status: "requires_action",
      nextAction: PAGE,
      operations: [asked(1, "authorize", { state: "pending" })],
    }),
    snapshot: says("requires_action"),
    becomes: "requires_action, authorize pending",
    events: "payment.requires_action",
  },
  {
    when: "the payer has to act, and is sent nowhere still",
    view: pending({ status: "requires_action", operations: [asked(1, "authorize", { state: "pending" })] }),
    snapshot: says("requires_action"),
    becomes: "requires_action, authorize pending",
    events: "",
  },
];

const CAPTURES_AND_CANCELLATIONS: Case[] = [
  {
    when: "a part is captured",
    view: authorized(asked(2, "capture", { amountMinor: 60 })),
    snapshot: says("captured", { capturedMinor: 60 }),
    becomes: "confirmed, 60-0, authorize succeeded, capture succeeded",
    events: "payment.confirmed",
  },
  {
    when: "the capture takes its time",
    view: authorized(asked(2, "capture", { amountMinor: 60 })),
    snapshot: says("authorized", { captures: [{ nonce: "n2", amountMinor: 60, state: "pending", failure: null }] }),
    becomes: "authorized, authorize succeeded, capture pending",
    events: "-",
  },
  {
    when: "a capture that took its time has succeeded",
    view: authorized(asked(2, "capture", { amountMinor: 60, state: "pending" })),
    snapshot: says("captured", {
      capturedMinor: 60,
      captures: [{ nonce: "n2", amountMinor: 60, state: "succeeded", failure: null }],
    }),
    becomes: "confirmed, 60-0, authorize succeeded, capture succeeded",
    events: "payment.confirmed",
  },
  {
    when: "a capture that took its time has failed",
    view: authorized(asked(2, "capture", { state: "pending" })),
    snapshot: says("authorized", { captures: [{ nonce: "n2", amountMinor: 100, state: "failed", failure: null }] }),
    becomes: "authorized, authorize succeeded, capture failed",
    events: "-",
  },
  {
    when: "the failed capture of a snapshot is an earlier one",
    view: authorized(asked(2, "capture", { state: "failed" }), asked(3, "capture", { state: "unknown" })),
    snapshot: says("authorized", { captures: [{ nonce: "n2", amountMinor: 100, state: "failed", failure: null }] }),
    becomes: "authorized, authorize succeeded, capture failed, capture unknown",
    events: "",
  },
  {
    when: "somebody captured a part at the provider",
    view: authorized(),
    snapshot: says("captured", { capturedMinor: 70 }),
    becomes: "confirmed, 70-0, authorize succeeded",
    events: "payment.confirmed",
  },
  {
    when: "the authorisation lapses",
    view: authorized(),
    snapshot: says("expired"),
    becomes: "expired, authorize succeeded",
    events: "payment.expired",
  },
  {
    when: "the authorisation lapses before a capture arrives",
    view: authorized(asked(2, "capture", { state: "unknown" })),
    snapshot: says("expired"),
    becomes: "expired, authorize succeeded, capture failed",
    events: "payment.expired",
  },
  {
    when: "the provider gives an authorisation up",
    view: authorized(),
    snapshot: says("failed", { failure: DECLINED }),
    becomes: "expired, authorize succeeded",
    events: "payment.expired",
  },
  {
    when: "a cancellation is done",
    view: authorized(asked(2, "cancel")),
    snapshot: says("cancelled"),
    becomes: "cancelled, authorize succeeded, cancel succeeded",
    events: "payment.cancelled",
  },
  {
    when: "a cancellation is done before the payer acted",
    view: pending({
      status: "requires_action",
      operations: [asked(1, "authorize", { state: "pending" }), asked(2, "cancel", { state: "unknown" })],
    }),
    snapshot: says("cancelled"),
    becomes: "cancelled, authorize failed, cancel succeeded",
    events: "payment.cancelled",
  },
  {
    when: "a cancellation has not arrived",
    view: authorized(asked(2, "cancel", { state: "unknown" })),
    snapshot: says("authorized"),
    becomes: "authorized, authorize succeeded, cancel unknown",
    events: "",
  },
  {
    when: "a cancellation came too late",
    view: authorized(asked(2, "cancel", { state: "unknown" })),
    snapshot: says("captured"),
    becomes: "confirmed, 100-0, authorize succeeded, cancel failed",
    events: "payment.confirmed",
  },
  {
    when: "a cancellation was refused, and the provider ended the payment later",
    view: authorized(asked(2, "cancel", { state: "failed" })),
    snapshot: says("cancelled"),
    becomes: "expired, authorize succeeded, cancel failed",
    events: "payment.expired",
  },
  {
    when: "a cancellation was recorded as done before its payment was",
    view: authorized(asked(2, "cancel", { state: "succeeded" })),
    snapshot: says("cancelled"),
    becomes: "cancelled, authorize succeeded, cancel succeeded",
    events: "payment.cancelled",
  },
  {
    when: "the payment's expiry has it cancelled, which nobody asked for",
    view: authorized(asked(2, "cancel", { state: "unknown", source: "expiry" })),
    snapshot: says("cancelled"),
    becomes: "expired, authorize succeeded, cancel succeeded",
    events: "payment.expired",
  },
];

const REFUNDS: Case[] = [
  {
    when: "a refund is not decided",
    view: confirmed({}, asked(2, "refund", { amountMinor: 40 })),
    snapshot: says("captured", { refunds: [refund("re_1", 40, "pending", "n2")] }),
    becomes: "confirmed, 100-0, authorize succeeded, refund pending",
    events: "refund.created",
  },
  {
    when: "a refund of which no answer came is not decided",
    view: confirmed({}, asked(2, "refund", { amountMinor: 40, state: "unknown" })),
    snapshot: says("captured", { refunds: [refund("re_1", 40, "pending", "n2")] }),
    becomes: "confirmed, 100-0, authorize succeeded, refund pending",
    events: "-",
  },
  {
    when: "a part is refunded",
    view: confirmed({}, asked(2, "refund", { amountMinor: 40 })),
    snapshot: says("captured", { refunds: [refund("re_1", 40, "succeeded", "n2")] }),
    becomes: "confirmed, 100-40, authorize succeeded, refund succeeded",
    events: "refund.succeeded",
  },
  {
    when: "all is refunded",
    view: confirmed({}, asked(2, "refund")),
    snapshot: says("captured", { refunds: [refund("re_1", 100, "succeeded", "n2")] }),
    becomes: "refunded, 100-100, authorize succeeded, refund succeeded",
    events: "payment.refunded",
  },
  {
    when: "all that was captured is refunded",
    view: confirmed({ captureMethod: "manual", capturedMinor: 60 }, asked(2, "refund", { amountMinor: 60 })),
    snapshot: says("captured", { capturedMinor: 60, refunds: [refund("re_1", 60, "succeeded", "n2")] }),
    becomes: "refunded, 60-60, authorize succeeded, refund succeeded",
    events: "payment.refunded",
  },
  {
    when: "a refund fails",
    view: confirmed({}, asked(2, "refund", { state: "pending", providerReference: "re_1" })),
    snapshot: says("captured", { refunds: [refund("re_1", 100, "failed", "n2")] }),
    becomes: "confirmed, 100-0, authorize succeeded, refund failed",
    events: "refund.failed",
  },
  {
    when: "a refund that had succeeded fails later",
    view: confirmed(
      { status: "refunded", refundedMinor: 100 },
      asked(2, "refund", { state: "succeeded", providerReference: "re_1" }),
    ),
    snapshot: says("captured", { refunds: [refund("re_1", 100, "failed", "n2")] }),
    becomes: "confirmed, 100-0, authorize succeeded, refund failed",
    events: "refund.failed",
  },
  {
    when: "a stale snapshot says of a refund that it is pending",
    view: confirmed(
      { refundedMinor: 40 },
      asked(2, "refund", { amountMinor: 40, state: "succeeded", providerReference: "re_1" }),
    ),
    snapshot: says("captured", { refunds: [refund("re_1", 40, "pending", "n2")] }),
    becomes: "confirmed, 100-40, authorize succeeded, refund succeeded",
    events: "",
  },
  {
    when: "a stale snapshot has no refund yet",
    view: confirmed(
      { refundedMinor: 40 },
      asked(2, "refund", { amountMinor: 40, state: "succeeded", providerReference: "re_1" }),
    ),
    snapshot: says("captured"),
    becomes: "confirmed, 100-40, authorize succeeded, refund succeeded",
    events: "",
  },
  {
    when: "a stale snapshot says of a failed refund that it has succeeded",
    view: confirmed({}, asked(2, "refund", { state: "failed", providerReference: "re_1" })),
    snapshot: says("captured", { refunds: [refund("re_1", 100, "succeeded", "n2")] }),
    becomes: "confirmed, 100-0, authorize succeeded, refund failed",
    events: "",
  },
  {
    when: "two refunds are of the same amount, and the other one is there",
    view: confirmed({}, asked(2, "refund", { amountMinor: 40 }), asked(3, "refund", { amountMinor: 40 })),
    snapshot: says("captured", { refunds: [refund("re_1", 40, "succeeded", "n3")] }),
    becomes: "confirmed, 100-40, authorize succeeded, refund open, refund succeeded",
    events: "refund.succeeded",
  },
  {
    when: "somebody refunded a part at the provider, of the amount that is being asked for here",
    view: confirmed({}, asked(2, "refund", { amountMinor: 40 })),
    snapshot: says("captured", { refunds: [refund("re_1", 40, "succeeded")] }),
    becomes: "confirmed, 100-40, authorize succeeded, refund open, their refund succeeded",
    events: "refund.succeeded",
  },
  {
    when: "somebody refunded all at the provider, in two parts",
    view: confirmed(),
    snapshot: says("captured", { refunds: [refund("re_1", 40, "succeeded"), refund("re_2", 60, "succeeded")] }),
    becomes: "refunded, 100-100, authorize succeeded, their refund succeeded, their refund succeeded",
    events: "refund.succeeded, payment.refunded",
  },
  {
    when: "a refund at the provider is not decided",
    view: confirmed(),
    snapshot: says("captured", { refunds: [refund("re_1", 40, "pending")] }),
    becomes: "confirmed, 100-0, authorize succeeded, their refund pending",
    events: "refund.created",
  },
  {
    when: "an adopted refund is decided",
    view: confirmed(
      {},
      asked(2, "refund", { state: "pending", nonce: null, providerReference: "re_1", source: "provider" }),
    ),
    snapshot: says("captured", { refunds: [refund("re_1", 100, "succeeded")] }),
    becomes: "refunded, 100-100, authorize succeeded, their refund succeeded",
    events: "payment.refunded",
  },
  {
    when: "a refund was given up here, and the provider has it all the same",
    view: confirmed({}, asked(2, "refund", { state: "failed", failure: DECLINED })),
    snapshot: says("captured", { refunds: [refund("re_1", 100, "succeeded", "n2")] }),
    becomes: "refunded, 100-100, authorize succeeded, refund failed, their refund succeeded",
    events: "payment.refunded",
  },
  {
    when: "the first word of a payment has its refund, too",
    view: pending(),
    snapshot: says("captured", { refunds: [refund("re_1", 100, "succeeded")] }),
    becomes: "refunded, 100-100, authorize succeeded, their refund succeeded",
    events: "payment.confirmed, payment.refunded",
  },
  {
    when: "a refund failed, and another took its place",
    view: confirmed(
      { status: "refunded", refundedMinor: 100 },
      asked(2, "refund", { state: "succeeded", providerReference: "re_1" }),
    ),
    snapshot: says("captured", { refunds: [refund("re_2", 100, "succeeded"), refund("re_1", 100, "failed", "n2")] }),
    becomes: "refunded, 100-100, authorize succeeded, refund failed, their refund succeeded",
    events: "refund.failed, payment.refunded",
  },
  {
    when: "a refund of which no answer came has succeeded",
    view: confirmed({}, asked(2, "refund", { amountMinor: 40, state: "unknown" })),
    snapshot: says("captured", { refunds: [refund("re_1", 40, "succeeded", "n2")] }),
    becomes: "confirmed, 100-40, authorize succeeded, refund succeeded",
    events: "refund.succeeded",
  },
  {
    when: "a refund of which no answer came has failed",
    view: confirmed({}, asked(2, "refund", { amountMinor: 40, state: "unknown" })),
    snapshot: says("captured", { refunds: [refund("re_1", 40, "failed", "n2")] }),
    becomes: "confirmed, 100-0, authorize succeeded, refund failed",
    events: "refund.failed",
  },
  {
    when: "the provider has made a second refund under a nonce, while the first one is not decided",
    view: confirmed({}, asked(2, "refund", { amountMinor: 40, state: "pending", providerReference: "re_1" })),
    snapshot: says("captured", {
      refunds: [refund("re_1", 40, "pending", "n2"), refund("re_2", 40, "succeeded", "n2")],
    }),
    becomes: "confirmed, 100-40, authorize succeeded, refund pending, their refund succeeded",
    events: "refund.succeeded",
  },
];

const DISPUTES: Case[] = [
  {
    when: "a dispute is opened",
    view: confirmed(),
    snapshot: says("captured", { disputes: [dispute("open")] }),
    becomes: "confirmed, 100-0, authorize succeeded, dispute open",
    events: "dispute.opened",
  },
  {
    when: "an inquiry comes",
    view: confirmed(),
    snapshot: says("captured", { disputes: [dispute("inquiry")] }),
    becomes: "confirmed, 100-0, authorize succeeded, dispute inquiry",
    events: "dispute.opened",
  },
  {
    when: "an inquiry becomes a dispute",
    view: confirmed({ disputes: [dispute("inquiry")] }),
    snapshot: says("captured", { disputes: [dispute("open")] }),
    becomes: "confirmed, 100-0, authorize succeeded, dispute open",
    events: "dispute.opened",
  },
  {
    when: "a dispute is won",
    view: confirmed({ disputes: [dispute("open")] }),
    snapshot: says("captured", { disputes: [dispute("won")] }),
    becomes: "confirmed, 100-0, authorize succeeded, dispute won",
    events: "dispute.closed",
  },
  {
    when: "a dispute is lost before anybody here knew of it",
    view: confirmed(),
    snapshot: says("captured", { disputes: [dispute("lost")] }),
    becomes: "confirmed, 100-0, authorize succeeded, dispute lost",
    events: "dispute.opened, dispute.closed",
  },
  {
    when: "there is more time for evidence",
    view: confirmed({ disputes: [dispute("open")] }),
    snapshot: says("captured", { disputes: [dispute("open", { dueAt: 12 })] }),
    becomes: "confirmed, 100-0, authorize succeeded, dispute open",
    events: "-",
  },
  {
    when: "a stale snapshot says that a lost dispute is open",
    view: confirmed({ disputes: [dispute("lost")] }),
    snapshot: says("captured", { disputes: [dispute("open", { dueAt: 12 })] }),
    becomes: "confirmed, 100-0, authorize succeeded, dispute lost",
    events: "",
  },
];

const ended = (status: "failed" | "cancelled" | "expired", ...operations: OperationView[]) =>
  pending({ status, operations });
const endedWith = (items: PaymentView["items"]) => pending({ status: "expired", operations: [AUTHORIZED], items });

const NOTHING_MOVES: Case[] = [
  {
    when: "the provider says of a payment that is authorised that its payer has to act",
    view: authorized(),
    snapshot: says("requires_action", { nextAction: PAGE }),
    becomes: "authorized, authorize succeeded",
    events: "",
  },
  {
    when: "the provider says processing of a payment that is authorised",
    view: authorized(),
    snapshot: says("processing"),
    becomes: "authorized, authorize succeeded",
    events: "",
  },
  {
    when: "the provider says authorised of a payment that is confirmed",
    view: confirmed(),
    snapshot: says("authorized"),
    becomes: "confirmed, 100-0, authorize succeeded",
    events: "",
  },
  {
    when: "the provider says expired of a payment that is confirmed",
    view: confirmed(),
    snapshot: says("expired"),
    becomes: "confirmed, 100-0, authorize succeeded",
    events: "",
  },
  {
    when: "the provider says again that a refunded payment is captured",
    view: confirmed({ status: "refunded", refundedMinor: 100 }),
    snapshot: says("captured"),
    becomes: "refunded, 100-100, authorize succeeded",
    events: "",
  },
  {
    when: "the provider says authorised of a payment that has expired",
    view: ended("expired", AUTHORIZED),
    snapshot: says("authorized"),
    becomes: "expired, authorize succeeded",
    events: "",
  },
  {
    when: "the snapshot is of another payment",
    view: pending(),
    snapshot: says("captured", { reference: "pay_2" }),
    becomes: "pending, authorize open",
    events: "",
  },
  {
    when: "an open payment says nothing that is new of one whose payer has to act",
    view: pending({ status: "requires_action", nextAction: PAGE }),
    snapshot: says("open"),
    becomes: "requires_action, authorize open",
    events: "",
  },
];

const TABLES = { AUTHORISATIONS, CAPTURES_AND_CANCELLATIONS, REFUNDS, DISPUTES, NOTHING_MOVES };

describe.each(Object.entries(TABLES))("%s", (_, cases) => {
  it.each(cases)("$when: $becomes", ({ view, snapshot, becomes, events }) => {
    const { view: after, changes } = settle(view, snapshot);
    expect(inWords(after)).toBe(becomes);
    expect(told(changes)).toBe(events);
    expect(after.items).toEqual([]);
  });
});

describe("what a person has to look at", () => {
  it.each(["failed", "cancelled", "expired"] as const)("is money of a payment that is %s, once", (status) => {
    const view = ended(status, asked(1, "authorize", { state: "unknown" }));
    const { view: after, changes } = settle(view, says("captured", { refunds: [refund("re_1", 100, "succeeded")] }));
    expect(after).toEqual({
      ...view,
      operations: [{ ...AUTHORIZED, providerReference: "pay_1" }],
      items: [expect.objectContaining({ kind: "late_success", reference: "pay_1" })],
    });
    expect(changes[0]?.item?.detail).toBe(`The provider captured 1 EUR of a payment that is ${status}`);
    expect(told(changes)).toBe("reconciliation.item_opened, -");
    expect(reduce(after, says("captured"))).toBeNull();
  });

  it("is money of a payment that has ended once, whatever its amount", () => {
    for (const capturedMinor of [0, 90]) {
      const { changes } = settle(ended("expired", AUTHORIZED), says("captured", { capturedMinor }));
      expect(changes.map(({ item }) => item)).toEqual([
        {
          kind: "late_success",
          reference: "pay_1",
          detail: `The provider captured ${capturedMinor / 100} EUR of a payment that is expired`,
        },
      ]);
    }
  });

  it("is told of by a change of nothing else", () => {
    expect(reduce(ended("expired", AUTHORIZED), says("captured"))).toEqual({
      payment: {},
      event: { type: "reconciliation.item_opened", refund: null, dispute: null },
      operations: [],
      adopt: null,
      dispute: null,
      item: expect.objectContaining({ kind: "late_success" }),
    });
  });

  it.each(["failed", "cancelled", "expired"] as const)("is money that is held for a payment that was %s", (status) => {
    const view = ended(status, AUTHORIZED);
    const change = reportLateAuthorization(view, says("authorized"));
    const detail = `The provider holds 1 EUR for a payment that is ${status}`;
    expect(change?.item).toEqual({ kind: "late_success", reference: "pay_1", detail });
    expect(reportLateAuthorization(change === null ? view : applyChange(view, change), says("authorized"))).toBeNull();
  });

  it("is no money that is held for a payment that goes on, nor what is not held", () => {
    for (const view of [pending(), authorized(), confirmed()]) {
      expect(reportLateAuthorization(view, says("authorized"))).toBeNull();
    }
    for (const status of ["open", "processing", "captured", "expired"] as const) {
      expect(reportLateAuthorization(ended("expired", AUTHORIZED), says(status))).toBeNull();
    }
  });

  it.each([
    ["another amount", { amountMinor: 90 }, "The provider has 0.9 EUR where the payment is of 1 EUR"],
    ["another currency", { currency: "USD" }, "The provider has 1 USD where the payment is of 1 EUR"],
    [
      "a currency of its own",
      { currency: "BTC" },
      "The provider has 100 minor units of BTC where the payment is of 1 EUR",
    ],
    ["less than all of it", { capturedMinor: 90 }, "The provider captured 0.9 EUR, and not 1 EUR"],
    ["nothing", { capturedMinor: 0 }, "The provider captured 0 EUR, and not 1 EUR"],
  ])("is a snapshot of %s, and nothing moves", (_, more, detail) => {
    const view = pending();
    const { view: after, changes } = settle(view, says("captured", more));
    expect(after).toEqual({
      ...view,
      items: [expect.objectContaining({ kind: "amount_mismatch", reference: "pay_1" })],
    });
    expect(changes.map(({ item }) => item?.detail)).toEqual([detail]);
  });

  it("is a capture of another amount than was asked for", () => {
    const view = authorized(asked(2, "capture", { amountMinor: 60 }));
    const { view: after, changes } = settle(view, says("captured", { capturedMinor: 100 }));
    expect(after).toEqual({
      ...view,
      items: [expect.objectContaining({ kind: "amount_mismatch", reference: "pay_1" })],
    });
    expect(changes.map(({ item }) => item?.detail)).toEqual(["The provider captured 1 EUR, and not 0.6 EUR"]);
  });

  it("is a capture of more than the payment", () => {
    const { changes } = settle(authorized(), says("captured", { capturedMinor: 101 }));
    expect(changes.map(({ item }) => item?.detail)).toEqual(["The provider captured 1.01 EUR, and not up to 1 EUR"]);
  });

  it("is more captured than before, of a payment that is paid", () => {
    const view = confirmed({ captureMethod: "manual", capturedMinor: 60 });
    const { changes } = settle(view, says("captured", { capturedMinor: 80 }));
    expect(changes.map(({ item }) => item?.detail)).toEqual(["The provider captured 0.8 EUR, and not 0.6 EUR"]);
  });

  it("is a refund of another amount, which does not keep the others from being counted", () => {
    const view = confirmed({}, asked(2, "refund", { amountMinor: 40 }));
    const refunds = [refund("re_1", 50, "succeeded", "n2"), refund("re_2", 10, "succeeded")];
    const { view: after } = settle(view, says("captured", { refunds }));
    expect(inWords(after)).toBe("confirmed, 100-10, authorize succeeded, refund open, their refund succeeded");
    expect(after.items).toMatchObject([{ kind: "amount_mismatch", reference: "re_1" }]);
  });

  it("is a refund that was made twice under one nonce: both are counted", () => {
    const view = confirmed({}, asked(2, "refund"));
    const refunds = [refund("re_1", 100, "succeeded", "n2"), refund("re_2", 100, "succeeded", "n2")];
    const { view: after, changes } = settle(view, says("captured", { refunds }));
    expect(inWords(after)).toBe("refunded, 100-100, authorize succeeded, refund succeeded, their refund succeeded");
    expect(after.operations.map(({ nonce }) => nonce)).toEqual(["n1", "n2", null]);
    expect(changes.flatMap(({ item }) => item?.detail ?? [])).toEqual([
      "2 EUR refunded, 0 EUR in open refunds and 0 EUR in lost disputes are more than the 1 EUR captured",
    ]);
  });

  it.each([
    ["an open refund", [asked(2, "refund", { amountMinor: 60 })], [refund("re_1", 60, "succeeded")], []],
    ["a lost dispute", [], [refund("re_1", 60, "succeeded")], [dispute("lost", { amountMinor: 60 })]],
    ["a pending refund", [], [refund("re_1", 60, "pending")], [dispute("lost", { amountMinor: 60 })]],
  ] as const)("is more than was captured, with %s", (_, operations, refunds, disputes) => {
    const { view: after } = settle(confirmed({}, ...operations), says("captured", { refunds, disputes }));
    expect(after.items).toMatchObject([{ kind: "over_refunded", reference: "pay_1" }]);
  });

  it.each(["open", "won", "inquiry"] as const)("is no dispute that is %s beside a full refund", (state) => {
    const refunds = [refund("re_1", 100, "succeeded")];
    const { view: after } = settle(confirmed(), says("captured", { refunds, disputes: [dispute(state)] }));
    expect(after.items).toEqual([]);
  });
});

describe("what a person has resolved", () => {
  const SAID = "The provider captured 1 EUR of a payment that is expired";
  const expired = (detail: string, isResolved: boolean) =>
    endedWith([{ kind: "late_success", reference: "pay_1", detail, isResolved }]);

  it("stays resolved when the same is found again", () => {
    const view = expired(SAID, true);
    expect(settle(view, says("captured"))).toEqual({ view, changes: [] });
  });

  it("is open again where something else is found, and told of again", () => {
    const { view, changes } = settle(expired(SAID, true), says("captured", { capturedMinor: 90 }));
    const detail = "The provider captured 0.9 EUR of a payment that is expired";
    expect(view.items).toEqual([{ kind: "late_success", reference: "pay_1", detail, isResolved: false }]);
    expect(told(changes)).toBe("reconciliation.item_opened");
  });

  it("is what it was while it is open, whatever is found then", () => {
    const view = expired(SAID, false);
    expect(settle(view, says("captured", { capturedMinor: 90 }))).toEqual({ view, changes: [] });
  });
});

describe("what a person has to look at, told apart", () => {
  it("is each refund of another amount, and each kind by itself", () => {
    const view = confirmed({}, asked(2, "refund", { amountMinor: 40 }), asked(3, "refund", { amountMinor: 40 }));
    const refunds = [refund("re_1", 50, "succeeded", "n2"), refund("re_2", 30, "pending", "n3")];
    const disputes = [dispute("lost")];
    const { view: after, changes } = settle(view, says("captured", { refunds, disputes }));
    expect(after.items).toMatchObject([
      { kind: "amount_mismatch", reference: "re_1" },
      { kind: "amount_mismatch", reference: "re_2" },
      { kind: "over_refunded", reference: "pay_1" },
    ]);
    expect(changes.flatMap(({ item }) => item?.detail ?? [])).toEqual([
      "The provider has a refund of 0.5 EUR, and not of 0.4 EUR",
      "The provider has a refund of 0.3 EUR, and not of 0.4 EUR",
      "0 EUR refunded, 0.8 EUR in open refunds and 1 EUR in lost disputes are more than the 1 EUR captured",
    ]);
  });

  it("is more than was captured also of a payment of which there was something else to look at", () => {
    const before = { kind: "amount_mismatch", reference: "pay_1", detail: "Other", isResolved: false } as const;
    const view = confirmed({ items: [before], disputes: [dispute("lost", { amountMinor: 200 })] });
    expect(settle(view, says("captured")).view.items).toMatchObject([
      before,
      { kind: "over_refunded", reference: "pay_1" },
    ]);
  });

  it("is money that the provider has captured and given up again", () => {
    const { view } = settle(ended("expired"), says("cancelled", { capturedMinor: 100 }));
    expect(view.items).toMatchObject([{ kind: "late_success", reference: "pay_1" }]);
  });

  it("is a capture of nothing where a part may be captured", () => {
    const { changes } = settle(authorized(), says("captured", { capturedMinor: 0 }));
    expect(changes.map(({ item }) => item?.detail)).toEqual(["The provider captured 0 EUR, and not up to 1 EUR"]);
  });

  it("is not what a payment that has ended, or is not paid, cannot have", () => {
    const more = { refunds: [refund("re_1", 100, "succeeded")], disputes: [dispute("lost")] };
    for (const view of [authorized(), ended("cancelled", AUTHORIZED)]) {
      expect(reduce(view, says("authorized", more))).toBeNull();
    }
  });
});

describe("whose capture it is", () => {
  const capture = (nonce: string | null, amountMinor: number, state: "pending" | "succeeded" | "failed") => {
    return { nonce, amountMinor, state, failure: null };
  };

  it("is said by its nonce, also when another one was asked for before", () => {
    const view = authorized(asked(2, "capture", { state: "failed" }), asked(3, "capture", { amountMinor: 60 }));
    const captures = [capture("n2", 100, "failed"), capture("n3", 60, "succeeded")];
    const { view: after } = settle(view, says("captured", { capturedMinor: 60, captures }));
    expect(inWords(after)).toBe("confirmed, 60-0, authorize succeeded, capture failed, capture succeeded");
  });

  it("is somebody's at the provider, of any part; what was asked for here is not done by it", () => {
    const view = authorized(asked(2, "capture", { amountMinor: 60 }));
    const captures = [capture("theirs", 70, "succeeded")];
    const { view: after } = settle(view, says("captured", { capturedMinor: 70, captures }));
    expect(inWords(after)).toBe("confirmed, 70-0, authorize succeeded, capture open");
  });

  it("is ours where the provider does not say", () => {
    const view = authorized(asked(2, "capture", { amountMinor: 60 }));
    const captures = [capture(null, 40, "failed"), capture(null, 60, "succeeded")];
    const { view: after } = settle(view, says("captured", { capturedMinor: 60, captures }));
    expect(inWords(after)).toBe("confirmed, 60-0, authorize succeeded, capture succeeded");
  });

  it("is held to the amount that was asked for under its nonce, of those that were", () => {
    const view = authorized(asked(2, "capture", { amountMinor: 60 }), asked(3, "capture", { amountMinor: 70 }));
    const captures = [capture("n3", 60, "succeeded")];
    const { changes } = settle(view, says("captured", { capturedMinor: 60, captures }));
    expect(changes.map(({ item }) => item?.detail)).toEqual(["The provider captured 0.6 EUR, and not 0.7 EUR"]);
  });

  it("is held to one that the provider is still at", () => {
    const view = authorized(asked(2, "capture", { amountMinor: 60, state: "unknown" }));
    const captures = [capture("n2", 60, "pending"), capture(null, 70, "succeeded")];
    const { changes } = settle(view, says("captured", { capturedMinor: 70, captures }));
    expect(changes.flatMap(({ item }) => item?.detail ?? [])).toEqual([
      "The provider captured 0.7 EUR, and not 0.6 EUR",
    ]);
  });

  it("is not held to one that the provider has given up, whenever that was heard", () => {
    const both = () => [
      asked(2, "capture", { amountMinor: 60, state: "unknown" }),
      asked(3, "capture", { amountMinor: 100, state: "unknown" }),
    ];
    const givenUp = capture("n2", 60, "failed");
    const last = says("captured", { capturedMinor: 60, captures: [givenUp, capture(null, 60, "succeeded")] });
    const before = settle(authorized(...both()), says("authorized", { captures: [givenUp] })).view;
    for (const view of [authorized(...both()), before]) {
      const { changes } = settle(view, last);
      expect(changes.flatMap(({ item }) => item?.detail ?? [])).toEqual([
        "The provider captured 0.6 EUR, and not 1 EUR",
      ]);
    }
  });

  it("is never that of an operation of another kind", () => {
    const view = authorized(asked(2, "cancel", { amountMinor: 30, state: "unknown" }));
    expect(inWords(settle(view, says("captured", { capturedMinor: 70 })).view)).toBe(
      "confirmed, 70-0, authorize succeeded, cancel failed",
    );
  });
});

describe("why an operation failed", () => {
  const authorizing = asked(1, "authorize", { state: "unknown" });
  const waiting = pending({ status: "requires_action", operations: [authorizing] });
  const cancelling = pending({
    status: "requires_action",
    operations: [authorizing, asked(2, "cancel", { state: "unknown" })],
  });
  const captureFailure: Failure = { code: "capture_failed", decline_code: "funds_gone", message: "The money is gone" };
  const captures = [{ nonce: "n2", amountMinor: 100, state: "failed", failure: captureFailure }] as const;

  it.each<[string, PaymentView, Snapshot, number, Failure["code"], string]>([
    [
      "cancelled here",
      cancelling,
      says("cancelled"),
      0,
      "failed_by_request",
      "The payment was cancelled before it was completed",
    ],
    ["cancelled there", waiting, says("cancelled"), 0, "expired", "The payment was cancelled at the provider"],
    ["not completed", waiting, says("expired"), 0, "expired", "The payment was not completed in time"],
    [
      "declined, nobody says why",
      waiting,
      says("failed"),
      0,
      "provider_error",
      "The provider says that the payment failed, and not why",
    ],
    [
      "a cancellation too late",
      cancelling,
      says("captured"),
      1,
      "processing_error",
      "The payment was captured before it could be cancelled",
    ],
    [
      "a cancellation of what has failed",
      cancelling,
      says("failed"),
      1,
      "expired",
      "The payment had ended before it could be cancelled",
    ],
    [
      "a cancellation of what has expired",
      cancelling,
      says("expired"),
      1,
      "expired",
      "The payment had ended before it could be cancelled",
    ],
    [
      "a capture",
      authorized(asked(2, "capture")),
      says("authorized", { captures }),
      1,
      "capture_failed",
      "The money is gone",
    ],
    ...(["cancelled", "expired", "failed"] as const).map(
      (status): [string, PaymentView, Snapshot, number, Failure["code"], string] => [
        `a capture of what has ${status}`,
        authorized(asked(2, "capture", { state: "pending" })),
        says(status, { captures: [{ nonce: "n2", amountMinor: 100, state: "pending", failure: null }] }),
        1,
        "expired",
        "The authorisation had ended before it was captured",
      ],
    ),
    [
      "a capture, nobody says why",
      authorized(asked(2, "capture")),
      says("authorized", { captures: [{ nonce: "n2", amountMinor: 100, state: "failed", failure: null }] }),
      1,
      "capture_failed",
      "The provider could not capture the amount, and does not say why",
    ],
    [
      "a refund, nobody says why",
      confirmed({}, asked(2, "refund")),
      says("captured", { refunds: [refund("re_1", 100, "failed", "n2")] }),
      1,
      "refund_failed",
      "The provider could not make the refund, and does not say why",
    ],
  ])("%s", (_, view, snapshot, index, code, message) => {
    const { view: after } = settle(view, snapshot);
    expect(after.operations[index]?.failure).toMatchObject({ code, message });
    expect(after.operations[index]?.state).toMatch(/^(failed|declined)$/);
  });

  it("is that nobody completed it in time, where the payment expired", () => {
    const message = "The payment was not completed in time";
    const failure = { code: "expired", decline_code: null, message };
    expect(settle(pending(), says("expired")).view.failure).toEqual(failure);
  });

  it("is that the payer cancelled it, where the provider says so of a payment that is cancelled", () => {
    const failure = {
      code: "cancelled_by_payer",
      decline_code: "canceled",
      message: "The payer cancelled it",
    } as const;
    const { view } = settle(pending({ status: "requires_action" }), says("cancelled", { failure }));
    expect(view).toMatchObject({ status: "expired", failure, operations: [{ state: "failed", failure }] });
    // Of any other end it says nothing.
    const { failure: lapsed } = settle(authorized(), says("failed", { failure })).view;
    const { failure: expired } = settle(pending(), says("expired", { failure })).view;
    expect([lapsed?.code, expired?.code]).toEqual(["expired", "expired"]);
    const cancelling = pending({ status: "requires_action", operations: [asked(1, "authorize"), asked(2, "cancel")] });
    const { view: cancelled } = settle(cancelling, says("cancelled", { failure }));
    expect(cancelled).toMatchObject({ status: "cancelled", failure: null });
    expect(cancelled.operations[0]?.failure?.code).toBe("failed_by_request");
  });

  it("is nothing of the payment's, but where the payment failed", () => {
    for (const status of ["captured", "authorized", "processing"] as const) {
      expect(settle(pending(), says(status, { failure: DECLINED })).view.failure).toBeNull();
    }
  });
});

describe("disputes, told apart", () => {
  const other = dispute("won", { reference: "dp_2", amountMinor: 30 });

  it("are known by their references, and one that changes leaves the others", () => {
    const view = confirmed({ disputes: [dispute("open"), other] });
    const { view: after } = settle(view, says("captured", { disputes: [other, dispute("lost")] }));
    expect(after.disputes).toEqual([other, dispute("lost")]);
  });

  it.each([{ amountMinor: 90 }, { reason: "duplicate" }, { reason: null }, { dueAt: null }])(
    "take %o silently",
    (more) => {
      const { view, changes } = settle(
        confirmed({ disputes: [dispute("open")] }),
        says("captured", { disputes: [dispute("open", more)] }),
      );
      expect(view.disputes).toEqual([dispute("open", more)]);
      expect(told(changes)).toBe("-");
    },
  );
});

describe("what a change carries", () => {
  it("names only what changes", () => {
    const partly = confirmed({}, asked(2, "refund", { amountMinor: 40 }));
    const snapshot = (state: ProviderRefund["state"]) =>
      says("captured", { refunds: [refund("re_1", 40, state, "n2")] });
    expect(reduce(partly, snapshot("pending"))?.payment).toEqual({});
    expect(reduce(partly, snapshot("failed"))?.payment).toEqual({});
    expect(reduce(partly, snapshot("succeeded"))?.payment).toEqual({ refundedMinor: 40 });
    expect(reduce(pending(), says("captured"))?.payment).toEqual({
      status: "confirmed",
      nextAction: null,
      capturedMinor: 100,
    });
    expect(reduce(pending(), says("processing"))?.payment).toEqual({ status: "processing", nextAction: null });
  });

  it("has the provider's failure, of the payment and of the operation", () => {
    const { view } = settle(pending(), says("failed", { failure: DECLINED }));
    expect(view.failure).toEqual(DECLINED);
    expect(view.operations).toEqual([
      asked(1, "authorize", { state: "declined", failure: DECLINED, providerReference: "pay_1" }),
    ]);
  });

  it("has a failure also where the provider gives none", () => {
    const { view } = settle(pending(), says("failed"));
    expect(view.failure?.code).toBe("provider_error");
    const captures = [{ nonce: "n2", amountMinor: 100, state: "failed", failure: null }] as const;
    const captured = settle(authorized(asked(2, "capture")), says("authorized", { captures }));
    expect(captured.view.operations[1]?.failure?.code).toBe("capture_failed");
    const refunds = [refund("re_1", 100, "failed", "n2")];
    const refunded = settle(confirmed({}, asked(2, "refund")), says("captured", { refunds }));
    expect(refunded.view.operations[1]?.failure?.code).toBe("refund_failed");
  });

  it("has the provider's name of a payment that had none, alone where nothing else is new", () => {
    const view = pending({ status: "processing", providerReference: null });
    expect(reduce(view, says("open"))).toEqual({
      payment: { providerReference: "pay_1" },
      event: null,
      operations: [],
      adopt: null,
      dispute: null,
      item: null,
    });
    expect(settle(view, says("captured")).changes).toHaveLength(1);
  });

  it("shows the next action while there is one", () => {
    const { view } = settle(pending(), says("requires_action", { nextAction: PAGE }));
    expect(view.nextAction).toEqual(PAGE);
    expect(settle(view, says("open")).view.nextAction).toEqual(PAGE);
    expect(settle(view, says("captured")).view.nextAction).toBeNull();
    expect(settle(view, says("processing", { nextAction: PAGE })).view.nextAction).toBeNull();
  });

  it("names the refund that its event tells of, and the dispute", () => {
    const refunds = [refund("re_1", 40, "succeeded")];
    const { changes } = settle(confirmed(), says("captured", { refunds, disputes: [dispute("open")] }));
    expect(changes.map(({ event }) => event)).toEqual([
      { type: "refund.succeeded", refund: 2, dispute: null },
      { type: "dispute.opened", refund: null, dispute: "dp_1" },
    ]);
  });

  it("keeps the nonce that a refund at the provider has, and none here", () => {
    const { view } = settle(confirmed(), says("captured", { refunds: [refund("re_1", 40, "pending", "elsewhere")] }));
    expect(view.operations[1]).toEqual(
      asked(2, "refund", {
        amountMinor: 40,
        state: "pending",
        nonce: "elsewhere",
        providerReference: "re_1",
        source: "provider",
      }),
    );
  });
});

describe("without a snapshot", () => {
  it.each([
    [pending(), 0, "failed, authorize failed", "payment.failed"],
    [authorized(asked(2, "capture")), 1, "authorized, authorize succeeded, capture failed", "-"],
    [authorized(asked(2, "cancel")), 1, "authorized, authorize succeeded, cancel failed", "-"],
    [confirmed({}, asked(2, "refund")), 1, "confirmed, 100-0, authorize succeeded, refund failed", "refund.failed"],
    [pending({ operations: [asked(1, "cancel")] }), 0, "pending, cancel failed", "-"],
    [
      pending({ status: "requires_action", operations: [asked(1, "cancel")] }),
      0,
      "requires_action, cancel failed",
      "-",
    ],
    [ended("expired", asked(1, "authorize", { state: "unknown" })), 0, "expired, authorize failed", "-"],
  ] as const)("a refusal is final: %#", (view, index, becomes, event) => {
    const change = refused(view, view.operations[index] ?? AUTHORIZED, DECLINED);
    const after = applyChange(view, change);
    expect(inWords(after)).toBe(becomes);
    expect(told([change])).toBe(event);
    expect(after.operations[index]?.failure).toEqual(DECLINED);
  });

  it.each([
    [pending(), 0, "processing, authorize unknown", "payment.processing"],
    [authorized(asked(2, "capture")), 1, "authorized, authorize succeeded, capture unknown", "-"],
    [authorized(asked(2, "cancel")), 1, "authorized, authorize succeeded, cancel unknown", "-"],
    [confirmed({}, asked(2, "refund")), 1, "confirmed, 100-0, authorize succeeded, refund unknown", "refund.created"],
    [pending({ operations: [asked(1, "cancel")] }), 0, "pending, cancel unknown", "-"],
    [
      pending({ status: "requires_action", operations: [asked(1, "cancel")] }),
      0,
      "requires_action, cancel unknown",
      "-",
    ],
    [ended("expired", asked(1, "authorize")), 0, "expired, authorize unknown", "-"],
  ] as const)("a missing answer leaves it unknown, and is told of once: %#", (view, index, becomes, event) => {
    const change = unanswered(view, view.operations[index] ?? AUTHORIZED);
    if (change === null) throw new Error("There is a change");
    const after = applyChange(view, change);
    expect(inWords(after)).toBe(becomes);
    expect(told([change])).toBe(event);
    expect(unanswered(after, after.operations[index] ?? AUTHORIZED)).toBeNull();
  });
});
