/** What was to happen to a payment by itself, and no longer can: somebody was faster. */
import { describe, expect, it } from "vitest";
import { cancel, capture, press, refund } from "../../../src/sandbox/actions";
import { happen } from "../../../src/sandbox/afterwards";
import type { Dispute, Part, Refund, SandboxPayment, Step } from "../../../src/sandbox/ledger";
import { DAY } from "./account";

const NOW = Date.UTC(2026, 10, 25);
let made = 0;
const makeId = (prefix: string) => `${prefix}_${++made}`;

const PAYMENT: SandboxPayment = {
  ...{ id: "spay_1", created: NOW, amount: 100, currency: "EUR", capture: "manual", metadata: {}, status: "captured" },
  ...{ token: "test_ok", nonce: "authorize", return_url: null, captured: 100, failure: null, hidden_until: 0 },
  ...{ captures: [], refunds: [], disputes: [] },
};
const payment = (more: Partial<SandboxPayment>): SandboxPayment => ({ ...PAYMENT, ...more });
const part = (status: Part["status"], more: Partial<Part> = {}): Part => ({
  ...{ id: "part_1", amount: 40, status, nonce: "n", failure: null, ...more },
});
const aRefund = (status: Refund["status"], more: Partial<Refund> = {}): Refund => ({
  ...part(status, more),
  reason: null,
});
const aDispute = (status: Dispute["status"], more: Partial<Dispute> = {}): Dispute => ({
  ...{ id: "sdis_1", amount: 100, status, reason: "not_received", evidence_due: NOW, ...more },
});
const stepped = (before: SandboxPayment, step: Step) => happen(before, step, makeId, NOW);

const STATUSES = [
  ...(["unconfirmed", "requires_action", "processing", "authorized"] as const),
  ...(["captured", "declined", "cancelled", "expired"] as const),
];

describe("what happens by itself", () => {
  it.each([
    ["decide", ["processing"]],
    ["end_action", ["requires_action"]],
    ["lapse", ["authorized"]],
    ["pay_late", ["cancelled", "expired"]],
  ] as const)("%s happens to a payment that is %j, and to no other", (step, statuses) => {
    const moved = STATUSES.filter((status) => stepped(payment({ status, captured: 0 }), { step }) !== null);
    expect(moved).toEqual(STATUSES.filter((status) => statuses.some((one) => one === status)));
  });

  it("an authorisation does not lapse while a capture of it is pending, and does when one has failed", () => {
    const authorized = (status: Part["status"]) =>
      payment({ status: "authorized", captured: 0, captures: [part(status)] });
    expect(stepped(authorized("pending"), { step: "lapse" })).toBeNull();
    expect(stepped(authorized("failed"), { step: "lapse" })).toEqual({
      payment: { ...authorized("failed"), status: "expired" },
      effects: [{ kind: "released", amount: 100, nonce: null }],
      later: [],
      about: "payment",
    });
  });

  it.each([
    [
      "end_capture",
      payment({ status: "authorized", captures: [part("succeeded"), part("pending", { id: "part_2" })] }),
    ],
    ["end_refund", payment({ refunds: [aRefund("succeeded"), aRefund("pending", { id: "part_2" })] })],
    ["reverse_refund", payment({ refunds: [aRefund("failed"), aRefund("succeeded", { id: "part_2" })] })],
    ["close_dispute", payment({ disputes: [aDispute("won", { id: "part_1" }), aDispute("open", { id: "part_2" })] })],
    [
      "close_dispute",
      payment({ disputes: [aDispute("lost", { id: "part_1" }), aDispute("inquiry", { id: "part_2" })] }),
    ],
  ] as const)("%s happens to the part that it is of, while that is undecided", (step, before) => {
    expect(stepped(before, { step, id: "part_1" })).toBeNull();
    expect(stepped(before, { step, id: "part_3" })).toBeNull();
    const change = stepped(before, { step, id: "part_2" });
    expect(change).not.toBeNull();
    const parts = (of: SandboxPayment | undefined) => [of?.captures[0], of?.refunds[0], of?.disputes[0]];
    expect(parts(change?.payment), "the other part").toEqual(parts(before));
  });

  it("a refund that comes back has failed, and its money is the merchant's again", () => {
    const before = payment({ refunds: [aRefund("succeeded")] });
    expect(stepped(before, { step: "reverse_refund", id: "part_1" })).toEqual({
      payment: { ...before, refunds: [aRefund("failed", { failure: "declined" })] },
      effects: [{ kind: "refund_reversed", amount: 40, nonce: "n" }],
      later: [],
      about: "refund",
    });
  });

  it("a refund that was pending succeeds", () => {
    const before = payment({ refunds: [aRefund("pending")] });
    expect(stepped(before, { step: "end_refund", id: "part_1" })).toEqual({
      payment: { ...before, refunds: [aRefund("succeeded")] },
      effects: [{ kind: "refunded", amount: 40, nonce: "n" }],
      later: [],
      about: "refund",
    });
  });

  it("a dispute is of all that is left, and evidence is taken for seven days", () => {
    const before = payment({ refunds: [aRefund("succeeded")], disputes: [aDispute("won", { id: "sdis_0" })] });
    const change = stepped(before, { step: "open_dispute" });
    const opened = change?.payment.disputes[1];
    expect(change?.payment.disputes).toEqual([
      aDispute("won", { id: "sdis_0" }),
      aDispute("open", { id: opened?.id ?? "", amount: 60, evidence_due: NOW + 7 * DAY }),
    ]);
    expect(change).toMatchObject({ effects: [], about: "dispute" });
    expect(change?.later).toEqual([{ step: { step: "close_dispute", id: opened?.id }, afterMs: 3_000 }]);
  });

  it.each([
    ["open_dispute", aRefund("succeeded", { amount: 100 })],
    ["refund_in_dashboard", aRefund("pending", { amount: 100 })],
  ] as const)("%s finds nothing where all has gone back", (step, gone) => {
    expect(stepped(payment({ refunds: [gone] }), { step })).toBeNull();
    expect(stepped(payment({ refunds: [{ ...gone, amount: 99 }] }), { step })).not.toBeNull();
  });

  it("what is refunded in the dashboard is half, rounded down, and no more than is left", () => {
    const of = (captured: number, ...refunds: Refund[]) =>
      stepped(payment({ captured, refunds }), { step: "refund_in_dashboard" })?.payment.refunds.at(-1);
    expect(of(100)).toEqual({
      ...{ id: expect.stringMatching(/^sref_/), amount: 50, status: "succeeded", nonce: null, failure: null },
      reason: "Refunded in the dashboard",
    });
    expect([of(101)?.amount, of(1)?.amount, of(100, aRefund("succeeded", { amount: 80 }))?.amount]).toEqual([
      50, 1, 20,
    ]);
  });
});

describe("what is asked for too late", () => {
  it("is what a payer presses on the page of a payment that no longer asks", () => {
    for (const choice of ["pay", "refuse"] as const) {
      const moved = STATUSES.filter((status) => press(payment({ status, captured: 0 }), choice, makeId) !== null);
      expect(moved, choice).toEqual(["requires_action"]);
    }
  });

  it("is a capture of what is not authorised, or was captured or is being captured", () => {
    const tagOf = (before: SandboxPayment) => "code" in capture(before, { amount: 100, nonce: "c" }, makeId);
    expect(STATUSES.filter((status) => !tagOf(payment({ status, captured: 0 })))).toEqual(["authorized"]);
    const authorized = (...captures: Part[]) => payment({ status: "authorized", captured: 0, captures });
    expect([part("failed"), part("pending"), part("succeeded")].map((one) => tagOf(authorized(one)))).toEqual([
      ...[false, true, true],
    ]);
  });

  it("is a cancellation of what is decided, or is being captured; it releases what was held", () => {
    const cancelled = (before: SandboxPayment) => {
      const result = cancel(before, "x");
      return "code" in result ? null : result.effects;
    };
    expect(STATUSES.map((status) => [status, cancelled(payment({ status, captured: 0 }))])).toEqual([
      ["unconfirmed", []],
      ["requires_action", []],
      ["processing", null],
      ["authorized", [{ kind: "released", amount: 100, nonce: "x" }]],
      ...["captured", "declined", "cancelled", "expired"].map((status) => [status, null]),
    ]);
    expect(cancelled(payment({ status: "authorized", captures: [part("pending")] }))).toBeNull();
  });

  it("is a refund of more than is left, or of nothing", () => {
    const refunded = (amount: number) =>
      refund(payment({ refunds: [aRefund("pending")] }), { amount, nonce: "r", reason: null }, makeId);
    for (const amount of [61, 0, -1]) {
      expect(refunded(amount)).toEqual({
        ...{ status: 422, code: "amount_too_large", message: "The amount may be 60 at most" },
      });
    }
    expect(refunded(60)).toMatchObject({ effects: [{ kind: "refunded", amount: 60, nonce: "r" }], about: "refund" });
  });
});
