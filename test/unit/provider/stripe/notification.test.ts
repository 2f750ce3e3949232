/** Stripe's notifications, signed by its own library: whom they are about, and what is none. */
import fc from "fast-check";
import Stripe from "stripe";
import { describe, expect, it } from "vitest";
import type { Connection, NotificationRequest } from "../../../../src/provider/seam";
import { stripe } from "../../../../src/provider/stripe/stripe";
import { account, charge, dispute, intent, REFERENCE, refund, WEBHOOK_SECRET } from "./stripe-answers";

const NOW = Date.UTC(2026, 10, 25, 12);
const SECOND = 1_000;
const MINUTE = 60 * SECOND;

const event = (type: string, object: object, changes: object = {}) =>
  JSON.stringify({
    ...{ id: "evt_1", object: "event", api_version: "2026-10-28.endive", created: NOW / 1_000, livemode: false },
    ...{ type, data: { object }, ...changes },
  });
const SUCCEEDED = event("payment_intent.succeeded", intent());

/** As Stripe's own library signs it. */
const headerOf = (payload: string, secret = WEBHOOK_SECRET, at = NOW, options: object = {}) =>
  Stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp: Math.floor(at / 1_000), ...options });

const requestOf = (body: string, header: string | null, now = NOW): NotificationRequest => ({
  url: "https://pay.example/api/v1/provider-notifications/stripe_1",
  headers: new Headers(header === null ? {} : { "Stripe-Signature": header }),
  body,
  now,
});

function read(request: NotificationRequest, secrets: Record<string, string> = {}, changes: Partial<Connection> = {}) {
  const { connection } = account({ body: {} });
  const all = { ...connection.secrets, ...secrets };
  return stripe.readNotification({ ...connection, secrets: all, ...changes }, request);
}
const readEvent = (body: string, secrets = {}, changes = {}) => read(requestOf(body, headerOf(body)), secrets, changes);

const NOTIFIED = { tag: "notified", id: "evt_1", reference: REFERENCE, paymentId: 5 };

describe("a signature", () => {
  it("of Stripe's own library is known", async () => {
    expect(await readEvent(SUCCEEDED)).toEqual(NOTIFIED);
    const header = await Stripe.webhooks.generateTestHeaderStringAsync({
      ...{ payload: SUCCEEDED, secret: WEBHOOK_SECRET, timestamp: NOW / 1_000 },
    });
    expect(await read(requestOf(SUCCEEDED, header))).toEqual(NOTIFIED);
    // What is read here, its library reads too.
    expect(Stripe.webhooks.signature?.verifyHeader(SUCCEEDED, header, WEBHOOK_SECRET, 0)).toBe(true);
  });

  it("covers the raw body, whatever is in it", async () => {
    const body = event("payment_intent.succeeded", { ...intent(), description: "ü € 𝄞 \u0000 \\" });
    expect(await readEvent(body)).toEqual(NOTIFIED);
    expect(await read(requestOf(JSON.stringify(JSON.parse(body), null, 2), headerOf(body)))).toEqual({
      tag: "unsigned",
    });
  });

  it("counts for five minutes, in both directions", async () => {
    for (const [age, tag] of [
      [0, "notified"],
      [5 * MINUTE, "notified"],
      [-5 * MINUTE, "notified"],
      [5 * MINUTE + SECOND, "unsigned"],
      [-5 * MINUTE - SECOND, "unsigned"],
      [24 * 60 * MINUTE, "unsigned"],
    ] as const) {
      expect(await read(requestOf(SUCCEEDED, headerOf(SUCCEEDED, WEBHOOK_SECRET, NOW - age))), `${age}`).toMatchObject({
        tag,
      });
    }
  });

  it("of any of several secrets counts, with commas and spaces between them", async () => {
    const header = headerOf(SUCCEEDED, "whsec_new");
    for (const secrets of [
      "whsec_new",
      "whsec_old,whsec_new",
      "whsec_new,whsec_old",
      " whsec_old , whsec_new ,",
      ",whsec_new",
    ]) {
      expect(await read(requestOf(SUCCEEDED, header), { webhook_secret: secrets }), secrets).toEqual(NOTIFIED);
    }
    for (const secrets of ["", ",", " ", "whsec_old", "whsec_new2", "whsec_ne", "whsec_old,whsec_older"]) {
      expect(await read(requestOf(SUCCEEDED, header), { webhook_secret: secrets }), secrets).toEqual({
        tag: "unsigned",
      });
    }
  });

  it("of an empty secret counts for nothing", async () => {
    // Stripe's library signs with no empty secret: this is what one would be.
    const key = await crypto.subtle.importKey("raw", new Uint8Array(1), { name: "HMAC", hash: "SHA-256" }, false, [
      "sign",
    ]);
    const text = new TextEncoder().encode(`${NOW / 1_000}.${SUCCEEDED}`);
    const mac = Buffer.from(await crypto.subtle.sign("HMAC", key, text)).toString("hex");
    const request = requestOf(SUCCEEDED, `t=${NOW / 1_000},v1=${mac}`);
    expect(await read(request, { webhook_secret: "" })).toEqual({ tag: "unsigned" });
    const { connection } = account({ body: {} });
    const keyless = { ...connection, secrets: { api_key: connection.secrets.api_key ?? "" } };
    expect(await stripe.readNotification(keyless, request)).toEqual({ tag: "unsigned" });
  });

  it("is one of several, of which one counts", async () => {
    const [time = "", own = ""] = headerOf(SUCCEEDED).split(",");
    const others = ["a", "b"].map((letter) => `v1=${letter.repeat(64)}`);
    for (const header of [
      [time, ...others, own],
      [time, own, ...others],
      [own, time],
      [time, "v0=abc", own],
      [time, ` ${own} `],
    ]) {
      expect(await read(requestOf(SUCCEEDED, header.join(","))), header.join()).toEqual(NOTIFIED);
    }
  });

  const [TIME = "", OWN = ""] = headerOf(SUCCEEDED).split(",");
  it.each([
    ["none", null],
    ["an empty one", ""],
    ["no time", OWN],
    ["no signature", TIME],
    ["another scheme", headerOf(SUCCEEDED, WEBHOOK_SECRET, NOW, { scheme: "v0" })],
    ["another secret's", headerOf(SUCCEEDED, "whsec_another")],
    ["another body's", headerOf(`${SUCCEEDED} `)],
    ["another time's", `t=${NOW / 1_000 - 1},${OWN}`],
    ["two times", `${TIME},t=${NOW / 1_000 - 1},${OWN}`],
    ["a time that is none", `t=now,${OWN}`],
    ["a negative time", `t=-${NOW / 1_000},${OWN}`],
    ["a time that goes on", `t=${NOW / 1_000}.5,${OWN}`],
    ["upper case", `${TIME},${OWN.toUpperCase().replace("V1=", "v1=")}`],
    ["its beginning", `${TIME},${OWN.slice(0, -1)}`],
    ["more than it", `${TIME},${OWN}0`],
    ["an empty value", `${TIME},v1=`],
    ["it without a name", `${TIME},${OWN.slice(3)}`],
    ["it after too many others", [TIME, ...Array.from({ length: 20 }, () => `v1=${"0".repeat(64)}`), OWN].join()],
  ])("is unsigned with %s", async (_, header) => {
    expect(await read(requestOf(SUCCEEDED, header))).toEqual({ tag: "unsigned" });
  });

  it("is of every letter of the body and of the signature", () =>
    fc.assert(
      fc.asyncProperty(fc.nat(SUCCEEDED.length - 1), fc.nat(63), async (at, digit) => {
        const altered = SUCCEEDED.slice(0, at) + (SUCCEEDED[at] === "0" ? "1" : "0") + SUCCEEDED.slice(at + 1);
        expect(await read(requestOf(altered, headerOf(SUCCEEDED)))).toEqual({ tag: "unsigned" });
        const hex = OWN.slice(3);
        const forged = hex.slice(0, digit) + (hex[digit] === "0" ? "1" : "0") + hex.slice(digit + 1);
        expect(await read(requestOf(SUCCEEDED, `${TIME},v1=${forged}`))).toEqual({ tag: "unsigned" });
      }),
    ));

  it("is read of whatever is sent", () =>
    fc.assert(
      fc.asyncProperty(fc.string(), fc.stringMatching(/^[ -~]*$/), async (body, header) => {
        expect(await read(requestOf(body, header.trim()))).toEqual({ tag: "unsigned" });
      }),
    ));
});

describe("an event", () => {
  const metadata = { payment_id: "5", merchant_id: "1" };
  const ABOUT: [string, object, number | null][] = [
    ["payment_intent.succeeded", intent(), 5],
    ["payment_intent.payment_failed", intent({ status: "requires_payment_method" }), 5],
    ["payment_intent.amount_capturable_updated", intent({ metadata: {} }), null],
    ["charge.succeeded", charge({ metadata }), 5],
    ["charge.refunded", charge({ metadata: {} }), null],
    ["charge.updated", charge({ payment_intent: intent() }), null],
    ["charge.refund.updated", refund({ metadata }), 5],
    ["refund.created", refund({ metadata }), 5],
    ["refund.failed", refund({ metadata: null }), null],
    ["charge.dispute.created", dispute(), null],
    ["charge.dispute.closed", dispute({ status: "lost" }), null],
    ["charge.dispute.funds_withdrawn", dispute({ payment_intent: intent() }), null],
  ];
  it.each(ABOUT)("%s is about its payment", async (type, object, paymentId) => {
    expect(await readEvent(event(type, object))).toEqual({
      tag: "notified",
      id: "evt_1",
      reference: REFERENCE,
      paymentId,
    });
  });

  const IGNORED: [string, string][] = [
    ["of a customer", event("customer.created", { id: "cus_1", object: "customer" })],
    [
      "of an invoice with a payment",
      event("invoice.paid", { id: "in_1", object: "invoice", payment_intent: REFERENCE }),
    ],
    ["of a payout", event("payout.paid", { id: "po_1", object: "payout" })],
    ["of a charge without a PaymentIntent", event("charge.succeeded", charge({ payment_intent: null }))],
    ["of a name that only looks like one", event("payment_intents.succeeded", intent())],
    ["of an object that is none", event("payment_intent.succeeded", { object: "something" })],
    ["of no object", event("payment_intent.succeeded", {}, { data: null })],
    ["of a kind without data", JSON.stringify({ id: "evt_1", type: "v2.core.event", livemode: false })],
    ["of live money, where the key is a test's", event("payment_intent.succeeded", intent(), { livemode: true })],
    [
      "that does not say whether its money is real",
      event("payment_intent.succeeded", intent(), { livemode: undefined }),
    ],
  ];
  it.each(IGNORED)("%s is none of a payment's", async (_, body) => {
    expect(await readEvent(body)).toEqual({ tag: "ignored", id: "evt_1" });
  });

  it("of a test is none of an account that moves real money, and the reverse", async () => {
    const live = event("payment_intent.succeeded", intent(), { livemode: true });
    for (const api_key of ["sk_live_1", "rk_live_1"]) {
      expect(await readEvent(live, { api_key })).toEqual(NOTIFIED);
      expect(await readEvent(SUCCEEDED, { api_key })).toEqual({ tag: "ignored", id: "evt_1" });
    }
    expect(await readEvent(SUCCEEDED, { api_key: "rk_test_1" })).toEqual(NOTIFIED);
    expect(await readEvent(SUCCEEDED, { api_key: "no key" })).toEqual({ tag: "ignored", id: "evt_1" });
  });

  it.each([
    "",
    "null",
    "[]",
    "5",
    "{",
    '{"type":"payment_intent.succeeded"}',
    '{"id":5,"type":"x"}',
    '{"id":"","type":"x"}',
  ])("that is none is unsigned, although it is signed: %j", async (body) =>
    expect(await readEvent(body)).toEqual({ tag: "unsigned" }),
  );

  it.each([
    ["5", 5],
    ["9007199254740991", 9_007_199_254_740_991],
    ["9007199254740993", null],
    ["0", null],
    ["-5", null],
    ["5.0", null],
    ["05", null],
    ["5 ", null],
    ["five", null],
    ["", null],
  ])("names the payment %j as %j", async (payment_id, paymentId) => {
    const body = event("payment_intent.succeeded", intent({ metadata: { payment_id, merchant_id: "1" } }));
    expect(await readEvent(body)).toMatchObject({ paymentId });
  });

  it("of another merchant's payment names none", async () => {
    for (const [merchant_id, merchantId, paymentId] of [
      ["1", 1, 5],
      ["2", 1, null],
      ["11", 1, null],
      ["2", 2, 5],
      [undefined, 1, 5],
    ] as const) {
      const metadata = { payment_id: "5", ...(merchant_id && { merchant_id }) };
      const body = event("payment_intent.succeeded", intent({ metadata }));
      expect(await readEvent(body, {}, { merchantId })).toMatchObject({ tag: "notified", paymentId });
    }
  });
});
