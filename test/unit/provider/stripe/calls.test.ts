/** Each call that the adapter of Stripe sends: its words, its key, its headers. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { OperationKind, OperationRequest } from "../../../../src/provider/seam";
import { stripe } from "../../../../src/provider/stripe/stripe";
import { API_KEY, account, captured, error, intent, operation, REFERENCE, refund } from "./stripe-answers";

beforeEach(() => vi.stubGlobal("scheduler", { wait: () => new Promise(() => {}) }));
afterEach(() => vi.unstubAllGlobals());

const ok = (body: object) => ({ body });
const REFUNDED = ok(refund({ payment_intent: captured() }));

describe("a payment is made", () => {
  async function prepared(request: OperationRequest, changes = {}) {
    const { connection, asked } = account(ok(intent()));
    const made = await stripe.prepare(connection, operation("authorize", request, { reference: null, ...changes }));
    expect(made).toEqual({ tag: "prepared", reference: REFERENCE });
    expect(asked).toMatchObject([{ method: "POST", path: "/v1/payment_intents", key: "nonce-1_prepare" }]);
    return asked[0]?.fields;
  }
  const marked = (confirmation: string) => ({
    ...{ "metadata[payment_id]": "5", "metadata[merchant_id]": "1", "metadata[nonce]": "nonce-1" },
    "metadata[confirmation]": confirmation,
  });

  it("to be confirmed from here, where the payer is led nowhere", async () => {
    expect(await prepared({ paymentMethod: "pm_1", description: "Order 42 & more" })).toEqual({
      ...{ amount: "10000", currency: "eur", capture_method: "automatic", payment_method: "pm_1" },
      ...{ "automatic_payment_methods[enabled]": "true", "automatic_payment_methods[allow_redirects]": "never" },
      ...{ description: "Order 42 & more", ...marked("server") },
    });
  });

  it("to be confirmed from here, where the payer may be led elsewhere and back", async () => {
    const request = { paymentMethod: "pm_1", returnUrl: "https://shop.example/" };
    expect(await prepared(request, { captureMethod: "manual" })).toEqual({
      ...{ amount: "10000", currency: "eur", capture_method: "manual", payment_method: "pm_1" },
      ...{ "automatic_payment_methods[enabled]": "true", ...marked("server") },
    });
  });

  it("to be confirmed by the payer's browser", async () => {
    expect(await prepared({ returnUrl: "https://shop.example/" })).toEqual({
      ...{ amount: "10000", currency: "eur", capture_method: "automatic" },
      ...{ "automatic_payment_methods[enabled]": "true", ...marked("client") },
    });
  });

  it("of an amount as Stripe writes it", async () => {
    expect(await prepared({}, { amountMinor: 500, currency: "ISK" })).toMatchObject({
      amount: "50000",
      currency: "isk",
    });
    expect(await prepared({}, { amountMinor: 500, currency: "JPY" })).toMatchObject({ amount: "500", currency: "jpy" });
  });

  it("or is not, of an amount that Stripe cannot write", async () => {
    const { connection, asked } = account(ok(intent()));
    const kwd = operation("authorize", {}, { reference: null, currency: "KWD", amountMinor: 5_124 });
    expect(await stripe.prepare(connection, kwd)).toMatchObject({
      ...{ tag: "refused", failure: { code: "provider_error", message: expect.stringContaining("KWD") } },
    });
    expect(asked).toEqual([]);
  });
});

describe("an operation", () => {
  const path = `/v1/payment_intents/${REFERENCE}`;
  const expanded = { "expand[]": "latest_charge.refunds" };

  it.each<[OperationKind, OperationRequest, string, object]>([
    ["authorize", { paymentMethod: "pm_1" }, `${path}/confirm`, expanded],
    [
      ...([
        "authorize",
        { paymentMethod: "pm_1", returnUrl: "https://shop.example/?a=1&b=2" },
        `${path}/confirm`,
      ] as const),
      { return_url: "https://shop.example/?a=1&b=2", ...expanded },
    ],
    ["capture", {}, `${path}/capture`, { amount_to_capture: "4000", ...expanded }],
    ["cancel", {}, `${path}/cancel`, expanded],
    ["cancel", { reason: "abandoned" }, `${path}/cancel`, { cancellation_reason: "abandoned", ...expanded }],
    ["cancel", { reason: "out of stock" }, `${path}/cancel`, expanded],
    ["refund", {}, "/v1/refunds", {}],
    ["refund", { reason: "duplicate" }, "/v1/refunds", { reason: "duplicate" }],
    ["refund", { reason: "abandoned" }, "/v1/refunds", {}],
  ])("to %s with %j is one call, under a key of its nonce", async (kind, request, to, fields) => {
    const { connection, asked } = account(kind === "refund" ? REFUNDED : ok(captured()));
    await stripe.perform(connection, operation(kind, request));
    const ofRefund = {
      ...{ payment_intent: REFERENCE, amount: "4000", "expand[]": "payment_intent.latest_charge.refunds" },
      ...{ "metadata[payment_id]": "5", "metadata[merchant_id]": "1", "metadata[nonce]": "nonce-1" },
    };
    expect(asked).toMatchObject([{ method: "POST", path: to, key: `nonce-1_${kind}` }]);
    expect(asked[0]?.fields).toEqual({ ...(kind === "refund" && ofRefund), ...fields });
  });

  it("that the payer's browser does is only asked about", async () => {
    const { connection, asked } = account(ok(intent({ status: "requires_payment_method" })));
    await stripe.perform(connection, operation("authorize", {}));
    expect(asked).toMatchObject([{ method: "GET", path, key: null, fields: expanded }]);
  });

  it.each(["capture", "refund"] as const)("to %s an amount that Stripe cannot write is not sent", async (kind) => {
    const { connection, asked } = account(ok(captured()));
    const kwd = { ...operation(kind, {}, { currency: "KWD" }), amountMinor: 4_001 };
    expect(await stripe.perform(connection, kwd)).toMatchObject({
      ...{ tag: "refused", failure: { code: `${kind}_failed`, message: expect.stringContaining("KWD") } },
    });
    expect(asked).toEqual([]);
  });

  it.each(["authorize", "cancel"] as const)("to %s says no amount, so that any is right", async (kind) => {
    const { connection, asked } = account(ok(captured()));
    const kwd = { ...operation(kind, { paymentMethod: "pm_1" }, { currency: "KWD" }), amountMinor: 4_001 };
    await stripe.perform(connection, kwd);
    expect(asked).toHaveLength(1);
  });

  it.each(["authorize", "capture", "cancel", "refund"] as const)(
    "to %s without a reference is not sent",
    async (kind) => {
      const { connection, asked } = account(ok(captured()));
      for (const request of [{ paymentMethod: "pm_1" }, {}]) {
        const unnamed = operation(kind, request, { reference: null });
        await expect(stripe.perform(connection, unnamed)).rejects.toThrow("reference");
      }
      expect(asked).toEqual([]);
    },
  );

  it("names a payment in the path that cannot lead elsewhere", async () => {
    const { connection, asked } = account({ status: 404, body: error() });
    const astray = operation("capture", {}, { reference: "../refunds?a=" });
    await stripe.perform(connection, astray);
    await stripe.observe(connection, astray.payment);
    expect(asked.map((one) => one.path)).toEqual([
      ...["/v1/payment_intents/..%2Frefunds%3Fa%3D/capture", "/v1/payment_intents/..%2Frefunds%3Fa%3D"],
      "/v1/payment_intents/..%2Frefunds%3Fa%3D",
    ]);
  });
});

describe("every request", () => {
  it("has the key, the version and no cookies, and is led nowhere else", async () => {
    const { connection, asked } = account(ok(captured()), REFUNDED);
    await stripe.observe(connection, operation("refund").payment);
    await stripe.perform(connection, operation("refund"));
    expect(asked).toHaveLength(2);
    for (const { headers, redirect } of asked) {
      expect(headers.get("Authorization")).toBe(`Bearer ${API_KEY}`);
      expect(headers.get("Stripe-Version")).toBe("2026-10-28.endive");
      expect(redirect).toBe("manual");
    }
    expect(asked[1]?.headers.get("Content-Type")).toBe("application/x-www-form-urlencoded");
  });
});

describe("a 500 that Stripe replays for a key", () => {
  const stored = { status: 500, body: error({ type: "api_error" }), headers: { "Idempotent-Replayed": "true" } };

  it.each(["authorize", "capture", "cancel"] as const)(
    "is tried under a second key to %s, which the payment guards",
    async (kind) => {
      const { connection, asked } = account(stored, ok(captured()));
      expect(await stripe.perform(connection, operation(kind))).toMatchObject({ tag: "answered" });
      expect(asked.map(({ key }) => key)).toEqual([`nonce-1_${kind}`, `nonce-1_${kind}_2`]);
      expect(asked[1]?.fields).toEqual(asked[0]?.fields);
    },
  );

  it("is tried under a second key to make a payment, of which nothing moves", async () => {
    const { connection, asked } = account(stored, ok(intent()));
    const made = await stripe.prepare(connection, operation("authorize", {}, { reference: null }));
    expect(made).toEqual({ tag: "prepared", reference: REFERENCE });
    expect(asked.map(({ key }) => key)).toEqual(["nonce-1_prepare", "nonce-1_prepare_2"]);
  });

  it("is not for a refund: nothing but its key guards it", async () => {
    const { connection, asked } = account(stored, REFUNDED);
    expect(await stripe.perform(connection, operation("refund"))).toMatchObject({ tag: "unknown" });
    expect(asked).toHaveLength(1);
  });

  it("is unknown where the second key has it, too", async () => {
    const { connection, asked } = account(stored);
    expect(await stripe.perform(connection, operation("capture"))).toMatchObject({ tag: "unknown" });
    expect(asked).toHaveLength(2);
  });

  it("and one that is new are two: what is new may have been done", async () => {
    const { connection, asked } = account({ ...stored, headers: {} }, ok(captured()));
    expect(await stripe.perform(connection, operation("capture"))).toMatchObject({ tag: "unknown" });
    expect(asked).toHaveLength(1);
  });

  it("and a decline that it replays are two", async () => {
    const { connection, asked } = account({ ...stored, status: 402 }, ok(intent()));
    await stripe.perform(connection, operation("capture"));
    expect(asked.map(({ method }) => method)).toEqual(["POST", "GET"]);
  });
});
