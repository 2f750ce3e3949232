/** What Stripe shows of a payment, in our words: every status, every refund and dispute. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ProviderStatus, Snapshot } from "../../../../src/provider/seam";
import {
  DISPUTE_STATES,
  DisputeSchema,
  disputeOf,
  IntentSchema,
  intentIn,
  RefundSchema,
  refundOf,
  statusOf,
  toSnapshot,
  withoutRelease,
} from "../../../../src/provider/stripe/snapshot";
import { CLIENT_SECRET, captured, dispute, intent, REFERENCE, refund } from "./stripe-answers";

const server = { payment_id: "5", merchant_id: "1", nonce: "nonce-0", confirmation: "server" };
const client = { ...server, confirmation: "client" };
const readIntent = (changes: Parameters<typeof intent>[0] = {}) => IntentSchema.parse(intent(changes));
const readRefund = (changes: Parameters<typeof refund>[0] = {}) => RefundSchema.parse(refund(changes));
const readDispute = (changes: Parameters<typeof dispute>[0] = {}) => DisputeSchema.parse(dispute(changes));

function shown(changes: Parameters<typeof intent>[0], refunds = [], disputes = []): Snapshot {
  const snapshot = toSnapshot(readIntent(changes), refunds, disputes);
  if (snapshot === null) throw new Error("Not shown");
  return snapshot;
}

const declined = { type: "card_error", code: "card_declined", decline_code: "insufficient_funds", message: "why" };

describe("a status", () => {
  it.each<[status: string, confirmed: "server" | "client", changes: object, expected: ProviderStatus]>([
    ["requires_payment_method", "server", {}, "open"],
    ["requires_payment_method", "server", { last_payment_error: declined }, "failed"],
    ["requires_payment_method", "client", {}, "requires_action"],
    ["requires_payment_method", "client", { last_payment_error: declined }, "requires_action"],
    ["requires_confirmation", "server", {}, "open"],
    ["requires_confirmation", "client", {}, "requires_action"],
    ["requires_action", "server", {}, "requires_action"],
    ["requires_action", "client", {}, "requires_action"],
    ["processing", "server", {}, "processing"],
    ["requires_capture", "server", {}, "authorized"],
    ["succeeded", "server", { amount_received: 10_000 }, "captured"],
    ["succeeded", "client", { amount_received: 10_000 }, "captured"],
    ["canceled", "server", { cancellation_reason: "requested_by_customer" }, "cancelled"],
    ["canceled", "server", { cancellation_reason: "abandoned" }, "cancelled"],
    ["canceled", "server", { cancellation_reason: null }, "cancelled"],
    ["canceled", "server", { cancellation_reason: "automatic" }, "expired"],
    ["canceled", "client", { cancellation_reason: "expired" }, "expired"],
    ["a_status_of_tomorrow", "server", { amount_received: 10_000 }, "processing"],
    ["toString", "server", {}, "processing"],
  ])("%s of a payment that the %s confirms (%j) is %s", (status, by, changes, expected) => {
    const metadata = by === "client" ? client : server;
    expect(statusOf(readIntent({ status, metadata, ...changes }))).toBe(expected);
    expect(shown({ status, metadata, ...changes }).status).toBe(expected);
  });

  it("of a payment that somebody else made is read as one that is confirmed from here", () => {
    expect(statusOf(readIntent({ status: "requires_payment_method", metadata: {} }))).toBe("open");
  });

  it("has a failure where it is one, in our words", () => {
    const failed = { status: "requires_payment_method", last_payment_error: declined };
    expect(shown(failed).failure).toEqual({
      ...{ code: "insufficient_funds", decline_code: "insufficient_funds", message: "why" },
    });
    expect(shown({ ...failed, metadata: client }).failure).toBeNull();
    expect(shown({ ...failed, status: "succeeded", amount_received: 10_000 }).failure).toBeNull();
  });
});

describe("what the payer does next", () => {
  const redirect = {
    type: "redirect_to_url",
    redirect_to_url: { url: "https://hooks.stripe.com/3ds", return_url: null },
  };

  it("is to go to a page, without the secret", () => {
    const snapshot = shown({ status: "requires_action", next_action: redirect });
    expect(snapshot.nextAction).toEqual({ type: "redirect", url: "https://hooks.stripe.com/3ds" });
    expect(JSON.stringify(snapshot)).not.toContain(CLIENT_SECRET);
  });

  it.each([
    ["in Stripe's own script", { type: "use_stripe_sdk", use_stripe_sdk: {} }],
    ["with a voucher that it shows", { type: "oxxo_display_details" }],
    ["at a page that has no address yet", { type: "redirect_to_url", redirect_to_url: { url: null } }],
    ["as nobody says", null],
  ])("is to go on %s, with the secret", (_, next_action) => {
    const snapshot = shown({ status: "requires_action", next_action });
    expect(snapshot).toMatchObject({ nextAction: { type: "client" }, clientSecret: CLIENT_SECRET });
  });

  it("is to choose a means of payment, with the secret and no page of an earlier attempt", () => {
    const snapshot = shown({ status: "requires_payment_method", metadata: client, next_action: redirect });
    expect(snapshot).toMatchObject({ nextAction: { type: "client" }, clientSecret: CLIENT_SECRET });
  });

  it.each(["requires_confirmation", "processing", "requires_capture", "succeeded", "canceled"])(
    "is nothing when it is %s, and there is no secret in it",
    (status) => {
      const snapshot = shown({ status, next_action: redirect });
      expect(snapshot.nextAction).toBeNull();
      expect(JSON.stringify(snapshot)).not.toContain("_secret_");
    },
  );

  it("has no secret where Stripe gives none", () => {
    expect(shown({ status: "requires_action", client_secret: null })).not.toHaveProperty("clientSecret");
  });
});

describe("a refund", () => {
  it.each([
    ["succeeded", "succeeded"],
    ["pending", "pending"],
    ["requires_action", "pending"],
    ["failed", "failed"],
    ["canceled", "failed"],
    ["a_status_of_tomorrow", "pending"],
    [null, "pending"],
  ])("that is %s is %s", (status, state) => {
    expect(refundOf(readRefund({ status }))).toMatchObject({ reference: "re_1", amountMinor: 4_000, state });
  });

  it("is its operation's by the nonce, and nobody's without", () => {
    expect(refundOf(readRefund({ metadata: { nonce: "nonce-1" } }))).toMatchObject({ nonce: "nonce-1" });
    for (const metadata of [{}, { order: "42" }, null]) {
      expect(refundOf(readRefund({ metadata }))).toMatchObject({ nonce: null });
    }
  });

  it("says why it failed", () => {
    expect(refundOf(readRefund({ status: "failed", failure_reason: "lost_or_stolen_card" }))?.failure).toEqual({
      ...{ code: "refund_failed", decline_code: "lost_or_stolen_card" },
      message: "Stripe could not make the refund: lost_or_stolen_card",
    });
    expect(refundOf(readRefund({ status: "canceled" }))?.failure).toMatchObject({ decline_code: "canceled" });
    expect(refundOf(readRefund())?.failure).toBeNull();
  });

  it("is in minor units of its currency", () => {
    expect(refundOf(readRefund({ amount: 500, currency: "isk" }))?.amountMinor).toBe(5);
    expect(refundOf(readRefund({ amount: 550, currency: "isk" }))).toBeNull();
  });
});

describe("what a partial capture releases", () => {
  const partly = readIntent({ status: "succeeded", amount: 10_000, amount_received: 4_000 });
  const release = readRefund({ id: "re_release", amount: 6_000, created: 100 });
  const later = (changes: object) => readRefund({ created: 200, ...changes });

  it("is no refund", () => {
    expect(withoutRelease(partly, [release])).toEqual([]);
    expect(withoutRelease(partly, [later({ amount: 1_000 }), release])).toEqual([later({ amount: 1_000 })]);
    expect(toSnapshot(partly, [release], [])).toMatchObject({ capturedMinor: 4_000, refunds: [] });
  });

  it("is taken out once: a refund of the same amount that comes later is one", () => {
    const same = later({ id: "re_2", amount: 6_000 });
    expect(withoutRelease(partly, [same, release])).toEqual([same]);
  });

  it("is the first of all: what comes after another refund is one", () => {
    const refunds = [later({ id: "re_2", amount: 6_000 }), readRefund({ amount: 100, created: 100 })];
    expect(withoutRelease(partly, refunds)).toEqual(refunds);
  });

  it("is never what this service asked for", () => {
    const own = readRefund({ amount: 6_000, created: 100, metadata: { nonce: "nonce-1" } });
    expect(withoutRelease(partly, [own])).toEqual([own]);
    expect(withoutRelease(partly, [own, release])).toEqual([own]);
  });

  it("is nothing where all was captured, or nothing", () => {
    const refunds = [readRefund({ amount: 10_000 })];
    expect(withoutRelease(readIntent({ status: "succeeded", amount_received: 10_000 }), refunds)).toEqual(refunds);
    expect(withoutRelease(readIntent({ status: "canceled" }), refunds)).toEqual(refunds);
  });

  it("is of just what was left", () => {
    const other = readRefund({ amount: 5_999, created: 100 });
    expect(withoutRelease(partly, [other])).toEqual([other]);
  });
});

describe("a dispute", () => {
  const paid = readIntent({ status: "succeeded", amount_received: 10_000 });

  it.each([
    ["warning_needs_response", "inquiry"],
    ["warning_under_review", "inquiry"],
    ["warning_closed", "won"],
    ["needs_response", "open"],
    ["under_review", "open"],
    ["appeal_needs_response", "open"],
    ["appeal_under_review", "open"],
    ["won", "won"],
    ["lost", "lost"],
    ["prevented", "won"],
    ["a_status_of_tomorrow", "open"],
    ["toString", "open"],
  ])("that is %s is %s", (status, state) => {
    expect(disputeOf(readDispute({ status }), paid)).toMatchObject({ reference: "dp_1", amountMinor: 10_000, state });
  });

  it("has a table of no other statuses", () => expect(Object.keys(DISPUTE_STATES)).toHaveLength(10));

  it("says why, and until when evidence is taken", () => {
    expect(disputeOf(readDispute(), paid)).toMatchObject({ reason: "fraudulent", dueAt: 1_796_000_000_000 });
    for (const evidence_details of [{ due_by: null }, { due_by: 0 }, {}, null]) {
      expect(disputeOf(readDispute({ evidence_details }), paid)?.dueAt).toBeNull();
    }
  });

  it("in another currency is of all that was captured", () => {
    expect(disputeOf(readDispute({ currency: "usd", amount: 11_111 }), paid)?.amountMinor).toBe(10_000);
  });
});

describe("a snapshot", () => {
  it("is of the payment that was asked for, and of no other", () => {
    expect(intentIn(intent(), REFERENCE)?.id).toBe(REFERENCE);
    expect(intentIn(intent({ id: "pi_2" }), REFERENCE)).toBeNull();
    for (const json of [null, {}, [], "", 5, { id: REFERENCE }, refund()]) expect(intentIn(json, REFERENCE)).toBeNull();
  });

  it("is none where an amount is none of its currency's", () => {
    const isk = { currency: "isk", amount: 50_000, amount_received: 50_000, status: "succeeded" };
    expect(toSnapshot(readIntent(isk), [], [])).toMatchObject({
      amountMinor: 500,
      capturedMinor: 500,
      currency: "ISK",
    });
    expect(toSnapshot(readIntent({ ...isk, amount: 50_050 }), [], [])).toBeNull();
    expect(toSnapshot(readIntent({ ...isk, amount_received: 49_950 }), [], [])).toBeNull();
    expect(toSnapshot(readIntent(isk), [readRefund({ currency: "isk", amount: 50 })], [])).toBeNull();
    expect(toSnapshot(readIntent(isk), [], [readDispute({ currency: "isk", amount: 50 })])).toBeNull();
  });

  it.each([
    ["amount", -1],
    ["amount", 10.5],
    ["amount", "10000"],
    ["amount", undefined],
    ["amount_received", null],
    ["status", 5],
    ["currency", null],
    ["metadata", null],
    ["id", ""],
  ])("is none of a payment whose %s is %j", (name, value) => {
    expect(intentIn({ ...intent(), [name]: value }, REFERENCE)).toBeNull();
  });

  it("says captured only of what succeeded, whatever else is in it", () =>
    fc.assert(
      fc.property(
        fc.record({
          status: fc.oneof(
            fc.constantFrom(...["requires_payment_method", "requires_confirmation", "requires_action", "processing"]),
            fc.constantFrom("requires_capture", "succeeded", "canceled"),
            fc.string(),
          ),
          amount_received: fc.constantFrom(0, 4_000, 10_000),
          cancellation_reason: fc.option(fc.constantFrom("automatic", "expired", "abandoned")),
          last_payment_error: fc.option(fc.constant(declined)),
          metadata: fc.constantFrom(server, client, {}),
          next_action: fc.option(fc.constant({ type: "use_stripe_sdk" })),
        }),
        (changes) => {
          const snapshot = shown(changes);
          expect(snapshot.status === "captured").toBe(changes.status === "succeeded");
          expect(snapshot.nextAction !== null).toBe(snapshot.status === "requires_action");
          expect(snapshot.failure !== null).toBe(snapshot.status === "failed");
          expect("clientSecret" in snapshot).toBe(snapshot.nextAction?.type === "client");
          expect(snapshot.capturedMinor).toBe(changes.amount_received);
        },
      ),
    ));

  it("is whole with the charge that Stripe shows", () => {
    expect(toSnapshot(IntentSchema.parse(captured()), [], [])).toEqual({
      ...{ reference: REFERENCE, status: "captured", amountMinor: 10_000, currency: "EUR", capturedMinor: 10_000 },
      ...{ nextAction: null, failure: null, captures: [], refunds: [], disputes: [] },
    });
  });
});
