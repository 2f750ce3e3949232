/** The sandbox's adapter against every answer that it may meet, from a provider that says what the test tells it. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FAILURE_CODES } from "../../../src/provider/failures";
import { sandbox } from "../../../src/provider/sandbox";
import type { Connection, OperationKind } from "../../../src/provider/seam";
import { signatureOf } from "../../../src/sandbox/notifications";
import { DECLINES } from "../../../src/sandbox/tokens";
import { answering, error, operation, PAYMENT, REFERENCE } from "./answering";

const part = (changes: object) => ({
  ...{ id: "part_1", amount: 4_000, status: "succeeded", failure: null, metadata: { nonce: "nonce" } },
  ...changes,
});

/** Ends the wait for an answer. */
let expire: () => void;

beforeEach(() => {
  const wait = () => new Promise<void>((resolve) => (expire = resolve));
  vi.stubGlobal("scheduler", { wait });
});
afterEach(() => vi.unstubAllGlobals());

const failing = (fetch: Connection["fetch"]): Connection => ({
  accountId: "sandbox_1",
  merchantId: 1,
  apiOrigin: "https://sandbox.invalid",
  secrets: {},
  fetch,
});

const KINDS: readonly OperationKind[] = ["authorize", "capture", "cancel", "refund"];

describe("a call", () => {
  it.each<[OperationKind, string, object]>([
    [
      "authorize",
      `/v1/payments/${REFERENCE}/confirm`,
      { payment_method: "test_ok", return_url: "https://shop.example/", metadata: { nonce: "nonce" } },
    ],
    ["capture", `/v1/payments/${REFERENCE}/capture`, { amount: 4_000, metadata: { nonce: "nonce" } }],
    ["cancel", `/v1/payments/${REFERENCE}/cancel`, { reason: "damaged", metadata: { nonce: "nonce" } }],
    ["refund", "/v1/refunds", { payment: REFERENCE, amount: 4_000, reason: "damaged", metadata: { nonce: "nonce" } }],
  ])("to %s says what it is for, under a key of its nonce, in the same words each time", async (kind, path, body) => {
    const { connection, asked } = answering(200, PAYMENT);
    await sandbox.perform(connection, operation(kind));
    await sandbox.perform(connection, operation(kind));
    expect(asked[0]).toEqual(asked[1]);
    expect(asked[0]).toMatchObject({ method: "POST", key: `nonce_${kind}` });
    expect(new URL(asked[0]?.url ?? "").pathname).toBe(path);
    expect(JSON.parse(asked[0]?.body ?? "")).toEqual(body);
  });

  it("that moves money is not sent without a reference", async () => {
    const { connection, asked } = answering(200, PAYMENT);
    await expect(sandbox.perform(connection, operation("authorize", null))).rejects.toThrow("reference");
    expect(asked).toEqual([]);
  });

  it("names a payment in the path that cannot lead elsewhere", async () => {
    const { connection, asked } = answering(404, error("no_such_payment"));
    await sandbox.observe(connection, operation("authorize", "../effects?x=").payment);
    expect(new URL(asked[0]?.url ?? "").pathname).toBe("/v1/payments/..%2Feffects%3Fx%3D");
  });

  it("that makes a payment moves nothing, and gives its reference", async () => {
    const { connection, asked } = answering(201, PAYMENT);
    const made = await sandbox.prepare(connection, operation("authorize", null));
    expect(made).toEqual({ tag: "prepared", reference: REFERENCE });
    expect(asked).toMatchObject([{ key: "nonce_prepare", url: expect.stringMatching(/\/v1\/payments$/) }]);
    expect(JSON.parse(asked[0]?.body ?? "")).toMatchObject({ amount: 10_000, currency: "EUR", capture: "manual" });
  });
});

/** What says nothing of the money, for every call alike. */
const UNANSWERED: [what: string, connection: () => Connection, tag: "unknown" | "busy"][] = [
  ...[500, 502, 503, 504, 599, 408, 301, 304].map((status): [string, () => Connection, "unknown"] => [
    `the status ${status}`,
    () => answering(status === 304 ? 307 : status, "").connection,
    "unknown",
  ]),
  ["a connection that ends", () => failing(() => Promise.reject(new TypeError("lost"))), "unknown"],
  [
    "an answer that breaks off",
    () =>
      failing(async () => new Response(new ReadableStream({ pull: (stream) => stream.error(new Error("broken")) }))),
    "unknown",
  ],
  ["too many requests", () => answering(429, error("too_many_requests")).connection, "busy"],
  ["a key that is in use", () => answering(409, error("key_in_use")).connection, "busy"],
];

describe.each(UNANSWERED)("%s", (_, connection, tag) => {
  it.each(KINDS)("says nothing of what became of it: %s", async (kind) => {
    expect(await sandbox.perform(connection(), operation(kind))).toMatchObject({ tag });
  });

  it("nor of a payment that was to be made, or is asked for", async () => {
    expect(await sandbox.prepare(connection(), operation("authorize", null))).toMatchObject({ tag });
    expect(await sandbox.observe(connection(), operation("authorize").payment)).toMatchObject({ tag });
  });
});

it("who asks too often is told how long to wait", async () => {
  const of = async (header: string) => {
    const { connection } = answering(429, error("too_many_requests"), { "Retry-After": header });
    return sandbox.perform(connection, operation("refund"));
  };
  expect(await of("2")).toMatchObject({ tag: "busy", retryAfterMs: 2_000 });
  expect(await of("soon")).toMatchObject({ tag: "busy", retryAfterMs: null });
});

describe("an answer that does not come", () => {
  it("is waited for no longer than 8 seconds, and its request is given up", async () => {
    const waited: number[] = [];
    vi.stubGlobal("scheduler", { wait: async (milliseconds: number) => void waited.push(milliseconds) });
    let signal: AbortSignal | undefined;
    const connection = failing((request) => {
      signal = request.signal;
      return new Promise(() => {});
    });
    expect(await sandbox.perform(connection, operation("refund"))).toMatchObject({ tag: "unknown" });
    expect([waited, signal?.aborted]).toEqual([[8_000], true]);
  });

  it("is one whose body does not come, too", async () => {
    const slow = sandbox.perform(
      failing(async () => new Response(new ReadableStream())),
      operation("refund"),
    );
    await new Promise(setImmediate);
    expire();
    expect(await slow).toMatchObject({ tag: "unknown" });
  });
});

describe("an answer that is none of the provider's", () => {
  it.each<[string, unknown]>([
    ["no JSON", "<html>"],
    ["nothing", ""],
    ["null", null],
    ["another shape", { status: "captured" }],
    ["another payment", { ...PAYMENT, id: "spay_2" }],
    ["an amount that is none", { ...PAYMENT, captured_amount: "10000" }],
    ["an amount below zero", { ...PAYMENT, captured_amount: -1 }],
    ["half of a minor unit", { ...PAYMENT, amount: 0.5 }],
  ])("is no success: %s", async (_, body) => {
    for (const status of [200, 201, 402]) {
      expect(
        await sandbox.perform(answering(status, body).connection, operation("authorize")),
        `${status}`,
      ).toMatchObject({
        tag: "unknown",
      });
    }
    expect(await sandbox.observe(answering(200, body).connection, operation("authorize").payment)).toMatchObject({
      tag: "unknown",
    });
  });

  it("makes no reference either", async () => {
    for (const body of ["", {}, { id: 5 }, { id: "" }]) {
      const made = await sandbox.prepare(answering(201, body).connection, operation("authorize", null));
      expect(made).toMatchObject({ tag: "unknown" });
    }
  });
});

describe("an answer", () => {
  const snapshotOf = async (changes: object) => {
    const observed = await sandbox.observe(
      answering(200, { ...PAYMENT, ...changes }).connection,
      operation("cancel").payment,
    );
    return observed.tag === "answered" ? observed.snapshot : observed;
  };

  it.each([
    ["unconfirmed", "open"],
    ["requires_action", "requires_action"],
    ["processing", "processing"],
    ["authorized", "authorized"],
    ["captured", "captured"],
    ["declined", "failed"],
    ["cancelled", "cancelled"],
    ["expired", "expired"],
    ["settled", "processing"],
    ["succeeded", "processing"],
    ["toString", "processing"],
    ["", "processing"],
  ])("with the status %j is of a payment that is %s", async (status, expected) => {
    expect(await snapshotOf({ status })).toMatchObject({ status: expected });
  });

  it("has the payment's parts, whole", async () => {
    const failure = { code: "declined", message: "why" };
    expect(
      await snapshotOf({
        capture: "manual",
        captured_amount: 4_000,
        captures: [part({}), part({ status: "waiting" }), part({ status: "failed", failure, metadata: {} })],
        refunds: [part({ id: "sref_1", status: "pending" }), part({ id: "sref_2", status: "failed", failure })],
        disputes: [{ id: "sdis_1", amount: 4_000, status: "open", reason: "not_received", evidence_due: 7 }],
        redirect_url: "https://pay.example/",
      }),
    ).toEqual({
      ...{ reference: REFERENCE, status: "captured", amountMinor: 10_000, currency: "EUR", capturedMinor: 4_000 },
      ...{ failure: null, nextAction: { type: "redirect", url: "https://pay.example/" } },
      captures: [
        { nonce: "nonce", amountMinor: 4_000, state: "succeeded", failure: null },
        { nonce: "nonce", amountMinor: 4_000, state: "pending", failure: null },
        {
          ...{ nonce: null, amountMinor: 4_000, state: "failed" },
          failure: { code: "capture_failed", decline_code: "declined", message: "why" },
        },
      ],
      refunds: [
        { reference: "sref_1", nonce: "nonce", amountMinor: 4_000, state: "pending", failure: null },
        {
          ...{ reference: "sref_2", nonce: "nonce", amountMinor: 4_000, state: "failed" },
          failure: { code: "refund_failed", decline_code: "declined", message: "why" },
        },
      ],
      disputes: [{ reference: "sdis_1", amountMinor: 4_000, state: "open", reason: "not_received", dueAt: 7 }],
    });
  });

  it("names the capture that a confirmation brings with it as none of its own", async () => {
    expect(await snapshotOf({ captures: [part({})] })).toMatchObject({ captures: [] });
  });

  it("to a refund has the refund's payment beside it", async () => {
    const body = { ...part({ id: "sref_1" }), payment: { ...PAYMENT, refunds: [part({ id: "sref_1" })] } };
    expect(await sandbox.perform(answering(201, body).connection, operation("refund"))).toMatchObject({
      tag: "answered",
      snapshot: { reference: REFERENCE, refunds: [{ reference: "sref_1", nonce: "nonce" }] },
    });
  });
});

describe("a decline", () => {
  it.each(Object.keys(DECLINES))(
    "for %s is a payment that has failed, with a code of ours and the provider's",
    async (code) => {
      const payment = { ...PAYMENT, status: "declined", captured_amount: 0, failure: { code, message: "why" } };
      const performed = await sandbox.perform(answering(402, error(code, payment)).connection, operation("authorize"));
      expect(performed).toMatchObject({
        tag: "answered",
        snapshot: {
          status: "failed",
          failure: { decline_code: code, message: "why", code: expect.toBeOneOf(FAILURE_CODES) },
        },
      });
      expect(performed).not.toMatchObject({ snapshot: { failure: { code: "provider_error" } } });
    },
  );

  it("for what the adapter has not heard of is one all the same", async () => {
    const payment = { ...PAYMENT, status: "declined", failure: { code: "moon", message: "why" } };
    expect(
      await sandbox.perform(answering(402, error("moon", payment)).connection, operation("authorize")),
    ).toMatchObject({
      snapshot: { status: "failed", failure: { code: "provider_error", decline_code: "moon" } },
    });
  });
});

describe("a refusal", () => {
  it.each([400, 401, 403, 404, 409, 410, 422])("with the status %i was not done", async (status) => {
    for (const kind of KINDS) {
      expect(await sandbox.perform(answering(status, error("wrong_state")).connection, operation(kind))).toEqual({
        tag: "refused",
        failure: { code: "provider_error", decline_code: "wrong_state", message: "why" },
      });
    }
    const made = await sandbox.prepare(
      answering(status, error("invalid_request")).connection,
      operation("authorize", null),
    );
    expect(made).toMatchObject({ tag: "refused" });
  });

  it("without a reason has one", async () => {
    expect(await sandbox.perform(answering(400, "").connection, operation("refund"))).toMatchObject({
      failure: { code: "provider_error", decline_code: null, message: expect.stringMatching(/./) },
    });
  });

  it("of an unknown token says that it is the means of payment", async () => {
    const { connection } = answering(400, error("no_such_payment_method"));
    expect(await sandbox.perform(connection, operation("authorize"))).toMatchObject({
      failure: { code: "invalid_payment_method" },
    });
  });

  // An earlier call may have done it, and its answer may have been lost with its key.
  it.each<[OperationKind, object]>([
    ["authorize", { status: "captured" }],
    ["authorize", { status: "declined" }],
    ["cancel", { status: "cancelled" }],
    ["cancel", { status: "expired" }],
    ["capture", { capture: "manual", captures: [part({})] }],
    ["refund", { refunds: [part({})] }],
  ])("of a call to %s that was done before is its answer: %j", async (kind, payment) => {
    const { connection } = answering(409, error("wrong_state", { ...PAYMENT, ...payment }));
    expect(await sandbox.perform(connection, operation(kind))).toMatchObject({ tag: "answered" });
  });

  it.each<[OperationKind, object]>([
    ["authorize", { status: "unconfirmed" }],
    ["cancel", { status: "captured" }],
    ["cancel", { status: "processing" }],
    ["capture", { capture: "manual", captures: [part({ metadata: { nonce: "another" } })] }],
    ["refund", { refunds: [part({ metadata: {} })] }],
  ])("of a call to %s that was not is a refusal, never matched by an amount: %j", async (kind, payment) => {
    const { connection } = answering(422, error("amount_too_large", { ...PAYMENT, ...payment }));
    expect(await sandbox.perform(connection, operation(kind))).toMatchObject({ tag: "refused" });
  });
});

describe("a payment that is asked for", () => {
  it("may not be found, or not be to be asked for", async () => {
    const { payment } = operation("refund");
    expect(await sandbox.observe(answering(404, error("no_such_payment")).connection, payment)).toEqual({
      tag: "not_found",
    });
    expect(await sandbox.observe(answering(501, error("no_queries")).connection, payment)).toEqual({
      tag: "unanswerable",
    });
    expect(await sandbox.observe(answering(403, error("forbidden")).connection, payment)).toMatchObject({
      tag: "unknown",
    });
  });

  it("is not asked for before it has a reference", async () => {
    const { connection, asked } = answering(200, PAYMENT);
    expect(await sandbox.observe(connection, operation("authorize", null).payment)).toEqual({ tag: "unanswerable" });
    expect(asked).toEqual([]);
  });
});

describe("a notification", () => {
  const NOW = Date.UTC(2026, 10, 25);
  const BODY = JSON.stringify({ id: "snot_1", type: "payment.updated", payment: REFERENCE });
  const { connection } = answering(200, PAYMENT);
  const read = (signature: string | null, { body = BODY, now = NOW } = {}) =>
    sandbox.readNotification(connection, {
      url: "https://pay.example/",
      headers: new Headers(signature === null ? {} : { "Sandbox-Signature": signature }),
      ...{ body, now },
    });
  const known = { tag: "notified", id: "snot_1", reference: REFERENCE, paymentId: null };

  it("is known by the signature of either secret, while these are rotated", async () => {
    expect(await read(await signatureOf("new", BODY, NOW))).toEqual(known);
    expect(await read(await signatureOf("old", BODY, NOW))).toEqual(known);
    const two = `${await signatureOf("other", BODY, NOW)},${(await signatureOf("new", BODY, NOW)).split(",")[1]}`;
    expect(await read(two)).toEqual(known);
  });

  it("is one that was made by hand", async () => {
    // printf '%s' '1795564800.{"id":"a","type":"payment.updated","payment":"p"}' | openssl dgst -sha256 -hmac new
    const body = '{"id":"a","type":"payment.updated","payment":"p"}';
    const mac = "5c4c663cf186657aeda2f4bc2f2cd1c133d84faa94e163e01acec1f4fed8b4fd";
    expect(await read(`t=1795564800,v1=${mac}`, { body })).toEqual({
      tag: "notified",
      id: "a",
      reference: "p",
      paymentId: null,
    });
  });

  it("is good for five minutes, by a clock that may be off either way", async () => {
    const signature = await signatureOf("new", BODY, NOW);
    for (const off of [-300_000, 300_000]) expect(await read(signature, { now: NOW + off })).toEqual(known);
    for (const off of [-300_001, 300_001])
      expect(await read(signature, { now: NOW + off })).toEqual({ tag: "unsigned" });
  });

  it("is nobody's whose signature is missing, wrong, or of something else", async () => {
    const good = await signatureOf("new", BODY, NOW);
    const wrong = [
      ...[null, "", "t=,v1=", "v1=abc", good.split(",")[0] ?? "", good.split(",")[1] ?? ""],
      ...[await signatureOf("wrong", BODY, NOW), `${good}0`, good.slice(0, -1), good.replace("v1", "v0")],
      good.replace(/t=\d+/, `t=${NOW / 1_000 + 1}`),
      good.replace(/t=\d+/, "t=soon"),
    ];
    for (const signature of wrong) expect(await read(signature), String(signature)).toEqual({ tag: "unsigned" });
    expect(await read(good, { body: BODY.replace(REFERENCE, "spay_2") })).toEqual({ tag: "unsigned" });
    const none = { ...connection, secrets: {} };
    const headers = new Headers({ "Sandbox-Signature": good });
    const request = { url: "https://pay.example/", headers, body: BODY, now: NOW };
    expect(await sandbox.readNotification(none, request)).toEqual({ tag: "unsigned" });
  });

  it("may be about nothing that a payment has", async () => {
    const body = JSON.stringify({ id: "snot_2", type: "account.updated" });
    expect(await read(await signatureOf("new", body, NOW), { body })).toEqual({ tag: "ignored", id: "snot_2" });
    for (const other of ["", "[]", "null", '{"type":"payment.updated"}']) {
      expect(await read(await signatureOf("new", other, NOW), { body: other }), other).toEqual({ tag: "unsigned" });
    }
  });
});

it("never says more of a failure than a merchant may know, nor a nonce", async () => {
  const { connection } = answering(500, "stack: at /srv/sandbox.js");
  expect(JSON.stringify(await sandbox.perform(connection, operation("refund")))).not.toMatch(/srv|nonce/);
});
