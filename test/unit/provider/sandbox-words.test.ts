/** What the sandbox's adapter sends and makes of an answer, to the letter. */
import { createHmac } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { sandbox } from "../../../src/provider/sandbox";
import { SANDBOX_TOKENS } from "../../../src/provider/sandbox-tokens";
import type { Connection, ProviderOperation } from "../../../src/provider/seam";
import { signatureOf } from "../../../src/sandbox/notifications";
import { answering, error, operation, PAYMENT, REFERENCE } from "./answering";

/** For which signals somebody waits. */
const signals: (AbortSignal | undefined)[] = [];

beforeEach(() => {
  signals.length = 0;
  const wait = (_: number, { signal }: { signal?: AbortSignal } = {}) => {
    signals.push(signal);
    return new Promise<void>(() => {});
  };
  vi.stubGlobal("scheduler", { wait });
});
afterEach(() => vi.unstubAllGlobals());

const performed = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  sandbox.perform(answering(status, body, headers).connection, operation("refund"));

it("says what the provider can do", () => {
  expect(sandbox.capabilities).toEqual({
    ...{ reference: "first", query: "by_reference", notification: "hint" },
    // An hour less than the 24 for which it keeps them.
    keyWindowMs: 82_800_000,
    ...{ ownNotificationUrl: false, manualCapture: true, partialCapture: true, partialRefund: true },
  });
});

describe("what is sent", () => {
  const sent = async (send: (connection: Connection) => Promise<unknown>) => {
    const requests: Request[] = [];
    await send({
      ...{ accountId: "sandbox_1", merchantId: 1, apiOrigin: "https://sandbox.invalid", secrets: {} },
      fetch: async (request) => {
        requests.push(request.clone());
        return Response.json(PAYMENT);
      },
    });
    const [request] = requests;
    const body = (await request?.text()) ?? "";
    return { url: request?.url, type: request?.headers.get("Content-Type"), body: body && JSON.parse(body) };
  };
  const bodyOf = async (changes: Partial<ProviderOperation>) =>
    (await sent((connection) => sandbox.perform(connection, { ...operation("authorize"), ...changes }))).body;

  it("to make a payment is JSON, and names our payment", async () => {
    expect(await sent((connection) => sandbox.prepare(connection, operation("authorize", null)))).toEqual({
      url: "https://sandbox.invalid/v1/payments",
      type: "application/json",
      body: {
        ...{ amount: 10_000, currency: "EUR", capture: "manual" },
        metadata: { payment_id: "5", nonce: "nonce" },
      },
    });
  });

  it("to confirm one has what was asked, as far as it was", async () => {
    const metadata = { nonce: "nonce" };
    const request = { paymentMethod: "test_ok", description: "Order 7" };
    expect(await bodyOf({ request })).toEqual({ payment_method: "test_ok", description: "Order 7", metadata });
    expect(await bodyOf({ request: {} })).toEqual({ payment_method: "", metadata });
  });

  it("to ask for one is its address alone", async () => {
    expect(await sent((connection) => sandbox.observe(connection, operation("refund").payment))).toEqual({
      ...{ url: `https://sandbox.invalid/v1/payments/${REFERENCE}`, type: null, body: "" },
    });
  });

  it("is nothing without a reference, and says of what", async () => {
    const sending = sandbox.perform(answering(200, PAYMENT).connection, operation("capture", null));
    await expect(sending).rejects.toThrow("capture of payment 5 needs the provider's reference");
  });
});

describe("a request", () => {
  it.each([...SANDBOX_TOKENS])("may have the token %s", (paymentMethod) => {
    expect(sandbox.check?.("authorize", { paymentMethod })).toBeNull();
  });

  it("has a token where it confirms, and one of those there are", () => {
    expect(sandbox.check?.("authorize", {})).toEqual({
      field: "payment_method",
      detail: "Field required, unless the creation has named it",
    });
    for (const paymentMethod of ["", "test_", "TEST_OK", "toString", " test_ok"]) {
      expect(sandbox.check?.("authorize", { paymentMethod }), paymentMethod).toEqual({
        field: "payment_method",
        detail: "Must be a token of the sandbox, such as test_ok: docs/sandbox.md lists them",
      });
    }
    for (const kind of ["capture", "cancel", "refund"] as const) expect(sandbox.check?.(kind, {})).toBeNull();
  });
});

describe("an answer", () => {
  it.each([
    [200, "answered"],
    [299, "answered"],
    [300, "unknown"],
    [399, "unknown"],
    [400, "refused"],
    [402, "answered"],
    [408, "unknown"],
    [499, "refused"],
    [500, "unknown"],
  ])("with the status %i has %s the call", async (status, tag) => {
    expect(await performed(status, PAYMENT)).toMatchObject({ tag });
  });

  it("with a payment, but for the statuses that say so, makes none", async () => {
    for (const [status, tag] of [
      [200, "prepared"],
      [299, "prepared"],
      [400, "refused"],
    ] as const) {
      const made = sandbox.prepare(answering(status, PAYMENT).connection, operation("authorize", null));
      expect(await made, `${status}`).toMatchObject({ tag });
    }
    for (const status of [201, 299, 400, 402]) {
      const observed = sandbox.observe(answering(status, PAYMENT).connection, operation("refund").payment);
      expect(await observed, `${status}`).toMatchObject({ tag: "unknown" });
    }
  });

  it("that says nothing of the money says what it was", async () => {
    const unreadable = "The answer is not what the provider documents";
    expect(await performed(500, error("internal"))).toEqual({
      tag: "unknown",
      detail: "The provider answered 500: why",
    });
    expect(await performed(503, "")).toEqual({
      tag: "unknown",
      detail: "The provider answered 503: No reason was given",
    });
    expect(await performed(200, {})).toEqual({ tag: "unknown", detail: unreadable });
    const prepared = sandbox.prepare(answering(201, {}).connection, operation("authorize", null));
    expect(await prepared).toEqual({ tag: "unknown", detail: unreadable });
    const busy = { tag: "busy", detail: "The provider answered 429: why", retryAfterMs: null };
    expect(await performed(429, error("too_many_requests"))).toEqual(busy);
    expect(await performed(400, "")).toEqual({
      tag: "refused",
      failure: { code: "provider_error", decline_code: null, message: "No reason was given" },
    });
  });

  it.each([
    ["0", 0],
    ["7", 7_000],
    ["999999", 999_999_000],
    ["1000000", null],
    ["-1", null],
    ["1.5", null],
    ["2 s", null],
    ["x2", null],
    ["", null],
  ])("that asks to wait for %j has %s ms", async (header, retryAfterMs) => {
    expect(await performed(429, error("too_many_requests"), { "Retry-After": header })).toMatchObject({ retryAfterMs });
    // Such a code is of a call that is under way, with this status alone.
    expect(await performed(409, error("key_in_use"), { "Retry-After": header })).toMatchObject({ retryAfterMs });
    expect(await performed(422, error("key_in_use"))).toMatchObject({ tag: "refused" });
  });

  it("is waited for no longer once it is there", async () => {
    await performed(200, PAYMENT);
    expect(signals.map((signal) => signal?.aborted)).toEqual([true]);
  });

  it("that does not come says why", async () => {
    const ends: Connection["fetch"] = () => Promise.reject(new TypeError("lost"));
    const connection = {
      accountId: "sandbox_1",
      merchantId: 1,
      apiOrigin: "https://sandbox.invalid",
      secrets: {},
      fetch: ends,
    };
    const ended = { tag: "unknown", detail: "The connection ended without an answer" };
    expect(await sandbox.perform(connection, operation("refund"))).toEqual(ended);
    vi.stubGlobal("scheduler", { wait: async () => {} });
    const silent = { ...connection, fetch: () => new Promise<Response>(() => {}) };
    const late = { tag: "unknown", detail: "No answer within 8 seconds" };
    expect(await sandbox.perform(silent, operation("refund"))).toEqual(late);
  });

  it("is read up to four million characters", async () => {
    const text = JSON.stringify(PAYMENT);
    const of = (length: number) => performed(200, text.padEnd(length, " "));
    expect(await of(4_000_000)).toMatchObject({ tag: "answered" });
    expect(await of(4_000_001)).toMatchObject({ tag: "unknown" });
  });

  it("of a refusal has the payment beside it, where the provider shows it", async () => {
    const failure = { code: "provider_error", decline_code: "amount_too_large", message: "why" };
    expect(await performed(422, error("amount_too_large"))).toEqual({ tag: "refused", failure });
    expect(await performed(422, error("amount_too_large", PAYMENT))).toEqual({
      ...{ tag: "refused", failure },
      snapshot: expect.objectContaining({ reference: REFERENCE, status: "captured" }),
    });
  });

  it("of a call to cancel what has failed says that it is done", async () => {
    const { connection } = answering(409, error("wrong_state", { ...PAYMENT, status: "declined" }));
    expect(await sandbox.perform(connection, operation("cancel"))).toMatchObject({ tag: "answered" });
  });

  it("of a call to capture says that it is done where one of several captures is its own", async () => {
    const part = (nonce: string) => ({ id: nonce, amount: 1, status: "succeeded", failure: null, metadata: { nonce } });
    const of = (...nonces: string[]) => {
      const payment = { ...PAYMENT, capture: "manual", captures: nonces.map(part) };
      return sandbox.perform(answering(409, error("wrong_state", payment)).connection, operation("capture"));
    };
    expect(await of("another", "nonce")).toMatchObject({ tag: "answered" });
    expect(await of("another", "third")).toMatchObject({ tag: "refused" });
    expect(await of()).toMatchObject({ tag: "refused" });
  });

  it.each(["inquiry", "open", "won", "lost"])("knows a dispute that is %s", async (status) => {
    const dispute = { id: "sdis_1", amount: 1, status, reason: null, evidence_due: null };
    expect(await performed(200, { ...PAYMENT, disputes: [dispute] })).toMatchObject({
      snapshot: { disputes: [{ reference: "sdis_1", amountMinor: 1, state: status, reason: null, dueAt: null }] },
    });
  });

  it.each([
    ["declined", "card_declined"],
    ["insufficient_funds", "insufficient_funds"],
    ["card_expired", "expired_card"],
    ["wrong_cvc", "incorrect_cvc"],
    ["suspected_fraud", "fraud_suspected"],
    ["processing_error", "processing_error"],
    ["authentication_failed", "authentication_failed"],
    ["refused_by_payer", "cancelled_by_payer"],
    ["capture_failed", "capture_failed"],
    ["no_such_payment_method", "invalid_payment_method"],
    ["toString", "provider_error"],
    ["", "provider_error"],
  ])("with the failure %j has the code %s", async (code, expected) => {
    const payment = { ...PAYMENT, status: "declined", failure: { code, message: "why" } };
    const { connection } = answering(402, error(code, payment));
    expect(await sandbox.perform(connection, operation("authorize"))).toMatchObject({
      snapshot: { failure: { code: expected, decline_code: code === "" ? null : code, message: "why" } },
    });
  });
});

describe("a notification", () => {
  const NOW = Date.UTC(2026, 10, 25);
  const read = async (content: object, signature?: string) => {
    const body = JSON.stringify({ id: "snot_1", type: "payment.updated", payment: REFERENCE, ...content });
    const headers = new Headers({ "Sandbox-Signature": signature ?? (await signatureOf("new", body, NOW)) });
    return sandbox.readNotification(answering(200, PAYMENT).connection, {
      url: "https://pay.example/",
      headers,
      body,
      now: NOW,
    });
  };

  it.each([
    [{ payment_id: "5" }, 5],
    [{ payment_id: "9007199254740991" }, 9_007_199_254_740_991],
    [{ payment_id: "9007199254740993" }, null],
    [{ payment_id: "1.5" }, null],
    [{ payment_id: "x" }, null],
    [{}, null],
  ])("that says %j of our payment is about %s", async (metadata, paymentId) => {
    expect(await read({ metadata })).toEqual({ tag: "notified", id: "snot_1", reference: REFERENCE, paymentId });
  });

  it("has an id, and what it has besides is what the provider documents", async () => {
    for (const content of [{ id: "" }, { id: 5 }, { type: 5 }, { payment: 5 }, { metadata: 5 }]) {
      expect(await read(content), JSON.stringify(content)).toEqual({ tag: "unsigned" });
    }
  });

  it("is signed whatever comes first of its time and its signature", async () => {
    const body = JSON.stringify({ id: "snot_1", type: "payment.updated", payment: REFERENCE });
    const reversed = (await signatureOf("new", body, NOW)).split(",").reverse().join(",");
    expect(await read({}, reversed)).toMatchObject({ tag: "notified" });
  });

  it("has a time in digits alone, also where it is signed rightly", async () => {
    const body = JSON.stringify({ id: "snot_1", type: "payment.updated", payment: REFERENCE });
    const seconds = String(NOW / 1_000);
    const signed = (time: string) =>
      `t=${time},v1=${createHmac("sha256", "new").update(`${time}.${body}`).digest("hex")}`;
    expect(await read({}, signed(seconds))).toMatchObject({ tag: "notified" });
    for (const time of [`+${seconds}`, `${seconds}.0`, `${seconds}e0`, `0x${(NOW / 1_000).toString(16)}`]) {
      expect(await read({}, signed(time)), time).toEqual({ tag: "unsigned" });
    }
  });

  it("has a time of at most twelve digits", async () => {
    for (const time of ["", "x1", "1x", "-1", "1.5", "1".repeat(13)]) {
      expect(await read({}, `t=${time},v1=00`), time).toEqual({ tag: "unsigned" });
    }
  });
});
