/** What Stripe's answers say of the money, and what says nothing of it. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { OperationKind, Performed } from "../../../../src/provider/seam";
import { stripe } from "../../../../src/provider/stripe/stripe";
import {
  type Answer,
  account,
  captured,
  charge,
  dispute,
  error,
  intent,
  operation,
  page,
  REFERENCE,
  refund,
} from "./stripe-answers";

beforeEach(() => vi.stubGlobal("scheduler", { wait: () => new Promise(() => {}) }));
afterEach(() => vi.unstubAllGlobals());

const KINDS: readonly OperationKind[] = ["authorize", "capture", "cancel", "refund"];
const GUARDED = KINDS.filter((kind) => kind !== "refund");
const perform = (kind: OperationKind, ...answers: Answer[]) =>
  stripe.perform(account(...answers).connection, operation(kind));
const said = (status: number, changes: object = {}, headers = {}): Answer => ({
  status,
  body: error(changes),
  headers,
});
const authorized = intent({ status: "requires_capture" });

describe("an answer that says nothing of the money", () => {
  it.each([500, 502, 503, 504, 599, 408, 424, 425, 301, 302, 307])("is the status %i", async (status) => {
    const answer = { status, body: error({ type: "api_error", message: "Something went wrong" }) };
    for (const kind of KINDS) expect(await perform(kind, answer), kind).toMatchObject({ tag: "unknown" });
    expect(await stripe.observe(account(answer).connection, operation("refund").payment)).toMatchObject({
      tag: "unknown",
    });
  });

  it.each<[string, Answer, Partial<Performed>]>([
    ["a key in use", said(409, { code: "idempotency_key_in_use" }), { tag: "busy", retryAfterMs: null }],
    [
      "too many requests",
      said(429, { code: "rate_limit" }, { "Retry-After": "3" }),
      { tag: "busy", retryAfterMs: 3_000 },
    ],
    ["a lock", said(429, { code: "lock_timeout" }, { "Retry-After": "soon" }), { tag: "busy", retryAfterMs: null }],
    ["a lock for long", said(429, {}, { "Retry-After": "120" }), { tag: "busy", retryAfterMs: 120_000 }],
    ["a lock, and no number", said(429, {}, { "Retry-After": "3s" }), { tag: "busy", retryAfterMs: null }],
    ["a lock, and less than now", said(429, {}, { "Retry-After": "-3" }), { tag: "busy", retryAfterMs: null }],
    [
      "a lock, and a date",
      said(429, {}, { "Retry-After": "Wed, 25 Nov 2026 07:28:00 GMT" }),
      { tag: "busy", retryAfterMs: null },
    ],
    [
      "a key that is not known",
      said(401),
      { tag: "busy", detail: "The provider does not take the account's credentials" },
    ],
    ["a key that may not", said(403), { tag: "busy", detail: "The provider does not take the account's credentials" }],
  ])("is %s: it was not taken", async (_, answer, expected) => {
    for (const kind of KINDS) expect(await perform(kind, answer), kind).toMatchObject(expected);
    const { connection, asked } = account(answer);
    expect(await stripe.observe(connection, operation("refund").payment)).toMatchObject(expected);
    const unnamed = operation("authorize", {}, { reference: null });
    expect(await stripe.prepare(connection, unnamed)).toMatchObject(expected);
    expect(asked).toHaveLength(2);
  });

  it("tells in a sentence what it was, without what is nobody else's", async () => {
    const answer = said(500, { message: "Failed with pm_1PgafuB7 of pi_1_secret_abc" });
    expect(await perform("refund", answer)).toEqual({
      ...{ tag: "unknown", detail: "The provider answered 500: Failed with … of …" },
    });
    expect(await perform("refund", { status: 502, body: "<html>sk_test_4eC39</html>" })).toEqual({
      ...{ tag: "unknown", detail: "The provider answered 502: Stripe does not say why" },
    });
    expect(
      JSON.stringify(await perform("refund", said(401, { message: "Invalid API Key provided: sk_test_1" }))),
    ).not.toContain("sk_");
  });

  it("is an answer that Stripe does not document", async () => {
    for (const body of [
      "",
      "null",
      "[]",
      { id: REFERENCE },
      { ...captured(), amount: "10000" },
      { ...captured(), id: "pi_2" },
    ]) {
      for (const kind of KINDS) expect(await perform(kind, { body }), kind).toMatchObject({ tag: "unknown" });
    }
  });
});

describe("a decline", () => {
  const card = {
    type: "card_error",
    code: "card_declined",
    decline_code: "lost_card",
    message: "Your card was declined.",
  };
  const failed = intent({ status: "requires_payment_method", last_payment_error: card });
  const failure = { code: "card_declined", decline_code: "lost_card", message: "Your card was declined." };

  it("is an answer: the payment that it shows has failed", async () => {
    const { connection, asked } = account(said(402, { ...card, payment_intent: failed }));
    const performed = await stripe.perform(connection, operation("authorize"));
    expect(performed).toMatchObject({ tag: "answered", snapshot: { status: "failed", failure } });
    expect(asked).toHaveLength(1);
  });

  it("that shows no payment, or another one, is asked about", async () => {
    for (const shown of [{}, { payment_intent: { ...failed, id: "pi_2" } }, { payment_intent: "pi_1" }]) {
      const { connection, asked } = account(said(402, { ...card, ...shown }), { body: failed });
      const performed = await stripe.perform(connection, operation("authorize"));
      expect(performed).toMatchObject({ tag: "answered", snapshot: { status: "failed", failure } });
      expect(asked.map(({ method }) => method)).toEqual(["POST", "GET"]);
    }
  });

  it("that nobody can ask about is unknown, but for a refund, which was not made", async () => {
    for (const kind of GUARDED)
      expect(await perform(kind, said(402, card), said(503)), kind).toMatchObject({ tag: "unknown" });
    expect(await perform("authorize", said(402, card), said(429))).toMatchObject({ tag: "busy" });
    expect(await perform("refund", said(402, card), said(503))).toMatchObject({ tag: "refused" });
  });

  it("of a capture leaves the payment what it is, and is said", async () => {
    const answer = said(402, { ...card, payment_intent: authorized });
    expect(await perform("capture", answer)).toMatchObject({
      ...{ tag: "refused", failure: { code: "capture_failed" }, snapshot: { status: "authorized" } },
    });
  });
});

describe("a refusal", () => {
  const unexpected = (payment_intent: object) => said(400, { code: "payment_intent_unexpected_state", payment_intent });

  it.each<[OperationKind, object]>([
    ["authorize", captured()],
    ["authorize", authorized],
    ["authorize", intent({ status: "processing" })],
    ["capture", captured()],
    ["cancel", intent({ status: "canceled" })],
    ["cancel", intent({ status: "canceled", cancellation_reason: "automatic" })],
    ["cancel", intent({ status: "requires_payment_method", last_payment_error: { code: "card_declined" } })],
  ])("to %s what is so already is an answer: an earlier call may have done it", async (kind, shown) => {
    expect(await perform(kind, unexpected(shown))).toMatchObject({ tag: "answered" });
    expect(await perform(kind, said(400), { body: shown })).toMatchObject({ tag: "answered" });
  });

  it.each<[OperationKind, object, string]>([
    ["authorize", intent(), "open"],
    ["capture", intent({ status: "canceled" }), "cancelled"],
    ["capture", authorized, "authorized"],
    ["cancel", captured(), "captured"],
    ["cancel", intent({ status: "processing" }), "processing"],
  ])("to %s says what the payment is: %o", async (kind, shown, status) => {
    expect(await perform(kind, unexpected(shown))).toMatchObject({ tag: "refused", snapshot: { status } });
  });

  it("of a refund is an answer where the payment has the refund", async () => {
    const refunds = page([refund({ metadata: { nonce: "nonce-1" } }), refund({ id: "re_0" })]);
    const full = said(400, { code: "charge_already_refunded", message: "It has already been refunded." });
    expect(await perform("refund", full, { body: captured({ refunds }) })).toMatchObject({ tag: "answered" });
    const others = page([refund()]);
    expect(await perform("refund", full, { body: captured({ refunds: others }) })).toMatchObject({
      tag: "refused",
      failure: {
        code: "refund_failed",
        decline_code: "charge_already_refunded",
        message: "It has already been refunded.",
      },
      snapshot: { refunds: [{ nonce: null, amountMinor: 4_000 }] },
    });
  });

  it.each([400, 402, 404, 405, 410, 422])("with %i is one where the payment cannot be asked about", async (status) => {
    for (const kind of KINDS)
      expect(await perform(kind, said(status), said(400)), kind).toMatchObject({ tag: "refused" });
  });

  it("of an idempotency key with other parameters is one", async () => {
    const answer = said(400, { type: "idempotency_error" });
    for (const kind of KINDS) expect(await perform(kind, answer), kind).toMatchObject({ tag: "refused" });
  });

  it("for a payment that is not there is one, but of a confirmation: it may be too early", async () => {
    const missing = said(404, { code: "resource_missing" });
    expect(await perform("authorize", missing)).toMatchObject({ tag: "unknown" });
    for (const kind of ["capture", "cancel", "refund"] as const) {
      expect(await perform(kind, missing), kind).toMatchObject({ tag: "refused" });
    }
    const handedOver = await stripe.perform(account(missing).connection, operation("authorize", {}));
    expect(handedOver).toMatchObject({ tag: "unknown" });
  });

  it("to make a payment makes none", async () => {
    const unnamed = operation("authorize", { paymentMethod: "pm_nobody" }, { reference: null });
    const answer = said(400, { code: "resource_missing", message: "No such PaymentMethod: 'pm_nobody'" });
    expect(await stripe.prepare(account(answer).connection, unnamed)).toEqual({
      tag: "refused",
      failure: {
        ...{ code: "invalid_payment_method", decline_code: "resource_missing" },
        message: "No such PaymentMethod: '…'",
      },
    });
  });
});

describe("an answer to a call", () => {
  const refunds = page([refund({ id: "re_0" }), refund({ id: "re_1", metadata: { nonce: "nonce-9" } })]);
  const shown = { refunds: [{ reference: "re_0" }, { reference: "re_1", nonce: "nonce-9" }] };

  it("shows the refunds that the payment has, whether the call was done or refused", async () => {
    const body = captured({ refunds });
    expect(await perform("capture", { body })).toMatchObject({ tag: "answered", snapshot: shown });
    const answer = said(400, { code: "payment_intent_unexpected_state", payment_intent: body });
    expect(await perform("cancel", answer)).toMatchObject({ tag: "refused", snapshot: shown });
  });

  it("is no answer where an amount is none of its currency's", async () => {
    const isk = { currency: "isk", amount: 50_000, amount_received: 50_000, status: "succeeded" };
    const [whole, broken] = [intent(isk), intent({ ...isk, amount_received: 49_950 })];
    const part = (changes: object) => refund({ currency: "isk", amount: 500, ...changes });
    for (const kind of GUARDED) expect(await perform(kind, { body: broken }), kind).toMatchObject({ tag: "unknown" });
    for (const body of [part({ payment_intent: broken }), part({ amount: 550, payment_intent: whole })]) {
      expect(await perform("refund", { body })).toMatchObject({ tag: "unknown" });
    }
    expect(await perform("refund", { body: part({ payment_intent: whole }) })).toMatchObject({
      ...{ tag: "answered", snapshot: { refunds: [{ amountMinor: 5 }] } },
    });
    const refused = await perform("capture", said(400, { payment_intent: broken }));
    expect(refused).toMatchObject({ tag: "refused", failure: { code: "capture_failed" } });
    expect(refused).not.toHaveProperty("snapshot");
    const { payment } = operation("refund");
    expect(await stripe.observe(account({ body: broken }).connection, payment)).toMatchObject({ tag: "unknown" });
  });
});

describe("a refund that is made", () => {
  const made = (of: unknown) => refund({ metadata: { nonce: "nonce-1" }, payment_intent: of });

  it("is in the payment that it shows, or beside it", async () => {
    for (const refunds of [
      page([]),
      page([made(REFERENCE)]),
      page([refund({ id: "re_0" })], true),
      page([refund({ id: "re_0" })]),
      null,
    ]) {
      const performed = await perform("refund", { body: made(captured({ refunds })) });
      const ours =
        performed.tag === "answered" ? performed.snapshot.refunds.filter(({ nonce }) => nonce === "nonce-1") : [];
      expect(ours).toMatchObject([{ reference: "re_1", amountMinor: 4_000, state: "succeeded" }]);
    }
  });

  it("has its payment asked about where it only names it", async () => {
    const { connection, asked } = account({ body: made(REFERENCE) }, { body: captured() });
    expect(await stripe.perform(connection, operation("refund"))).toMatchObject({
      ...{ tag: "answered", snapshot: { status: "captured", refunds: [{ reference: "re_1", nonce: "nonce-1" }] } },
    });
    expect(asked.map(({ method }) => method)).toEqual(["POST", "GET"]);
    expect(await perform("refund", { body: made(REFERENCE) }, said(503))).toMatchObject({ tag: "unknown" });
    expect(await perform("refund", { body: made(REFERENCE) }, said(404))).toMatchObject({ tag: "unknown" });
  });

  it("of another payment says nothing", async () => {
    for (const of of ["pi_2", { ...captured(), id: "pi_2" }, null]) {
      expect(await perform("refund", { body: made(of) })).toMatchObject({ tag: "unknown" });
    }
  });

  it("and fails, or takes its time, says so", async () => {
    for (const [status, state] of [
      ["pending", "pending"],
      ["failed", "failed"],
    ]) {
      const body = { ...made(captured()), status };
      expect(await perform("refund", { body })).toMatchObject({ tag: "answered", snapshot: { refunds: [{ state }] } });
    }
  });
});

describe("a payment that is asked about", () => {
  const observe = (...answers: Answer[]) => {
    const { connection, asked } = account(...answers);
    return { asked, observed: stripe.observe(connection, operation("refund").payment) };
  };
  const many = (from: number, count: number) =>
    Array.from({ length: count }, (_, at) =>
      refund({ id: `re_${from + at}`, amount: 10, created: 1_795_000_900 - from - at }),
    );

  it("shows its refunds in one answer", async () => {
    const { asked, observed } = observe({ body: captured({ refunds: page([refund()]) }) });
    expect(await observed).toMatchObject({ tag: "answered", snapshot: { refunds: [{ reference: "re_1" }] } });
    expect(asked).toMatchObject([{ method: "GET", fields: { "expand[]": "latest_charge.refunds" } }]);
  });

  it("has all refunds read, page by page, where there are more", async () => {
    const { asked, observed } = observe(
      { body: captured({ refunds: page(many(0, 10), true) }) },
      { body: page(many(0, 100), true) },
      { body: page(many(100, 100), true) },
      { body: page(many(200, 7)) },
    );
    const read = await observed;
    expect(read.tag === "answered" && read.snapshot.refunds.length).toBe(207);
    expect(asked.slice(1).map(({ path, fields }) => [path, fields])).toEqual([
      ["/v1/refunds", { payment_intent: REFERENCE, limit: "100" }],
      ["/v1/refunds", { payment_intent: REFERENCE, limit: "100", starting_after: "re_99" }],
      ["/v1/refunds", { payment_intent: REFERENCE, limit: "100", starting_after: "re_199" }],
    ]);
  });

  it("has its refunds read where its charge is only named", async () => {
    const { asked, observed } = observe({ body: { ...captured(), latest_charge: "ch_1" } }, { body: page([refund()]) });
    expect(await observed).toMatchObject({ tag: "answered", snapshot: { refunds: [{ reference: "re_1" }] } });
    expect(asked).toHaveLength(2);
  });

  it("says nothing where a page is missing: what is not there would count as absent", async () => {
    const first = { body: captured({ refunds: page(many(0, 10), true) }) };
    for (const [answer, tag] of [
      [said(503), "unknown"],
      [said(429), "busy"],
      [said(400), "unknown"],
      [{ status: 400, body: page([]) }, "unknown"],
      [{ body: { data: [{ id: "re_1" }], has_more: false } }, "unknown"],
      [{ body: "" }, "unknown"],
    ] as const) {
      expect(await observe(first, answer).observed).toMatchObject({ tag });
      expect(await observe(first, { body: page(many(0, 100), true) }, answer).observed).toMatchObject({ tag });
    }
  });

  it("says nothing where its refunds have no end", async () => {
    const { asked, observed } = observe(
      { body: captured({ refunds: page(many(0, 1), true) }) },
      { body: page(many(0, 100), true) },
    );
    expect(await observed).toMatchObject({ tag: "unknown" });
    expect(asked.length).toBe(21);
  });

  it("has its disputes read where it has any", async () => {
    const { asked, observed } = observe({ body: captured({ disputed: true }) }, { body: page([dispute()]) });
    expect(await observed).toMatchObject({
      ...{ tag: "answered", snapshot: { disputes: [{ reference: "dp_1", state: "open", amountMinor: 10_000 }] } },
    });
    expect(asked[1]).toMatchObject({ path: "/v1/disputes", fields: { payment_intent: REFERENCE, limit: "100" } });
    expect(await observe({ body: captured({ disputed: true }) }, said(503)).observed).toMatchObject({ tag: "unknown" });
  });

  it("is not there, or cannot be named", async () => {
    expect(await observe(said(404, { code: "resource_missing" })).observed).toEqual({ tag: "not_found" });
    const unnamed = { ...operation("refund").payment, reference: null };
    expect(await stripe.observe(account({ body: captured() }).connection, unnamed)).toEqual({ tag: "unanswerable" });
    expect(await observe(said(400)).observed).toMatchObject({ tag: "unknown" });
  });

  it("was captured in part: the release is no refund, wherever it stands", async () => {
    const release = refund({ id: "re_0", amount: 6_000, created: 1 });
    const partly = { status: "succeeded", amount_received: 4_000 };
    const within = {
      body: intent({ ...partly, latest_charge: charge({ refunds: page([refund({ amount: 100 }), release]) }) }),
    };
    expect(await observe(within).observed).toMatchObject({
      snapshot: { capturedMinor: 4_000, refunds: [{ amountMinor: 100 }] },
    });
  });
});
