/** Payments at an account at Mollie: what they come to, whoever has the last word, and what its notifications lead to. */
import { runDurableObjectAlarm } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MollieApi } from "../../providers/mollie/api";
import { type Client, client, newKey, newMerchant, ORDER } from "../client";

const API_KEY = "test_dHar4XY7LxsDOtmnkVtjNVWXLSlXsM";
const RETURN = { return_url: "https://shop.example/order/42" };

let mollie: MollieApi;
let merchant: number;
let api: Client;
let account: string;

beforeEach(async () => {
  mollie = new MollieApi();
  mollie.ledger.now = Date.now();
  vi.spyOn(globalThis, "fetch").mockImplementation((input, init) => answer(new Request(input, init)));
  merchant = await newMerchant();
  // Mollie takes no URL that it does not reach.
  api = client(undefined, { key: await newKey(undefined, merchant), origin: "https://pay.example" });
  const { body } = await api.request<{ id: string }>("POST", "/api/v1/provider-accounts", {
    body: { provider: "mollie", name: "Shop", api_key: API_KEY, is_default: true },
  });
  account = body.id;
});
// Objects that wake later still ask: there is always a Mollie.
afterEach(() => expect(mollie.faults).toEqual([]));

async function answer(request: Request): Promise<Response> {
  const { origin, pathname, search } = new URL(request.url);
  if (origin !== "https://api.mollie.com") return new Response(null, { status: 204 });
  const answered = mollie.answer({
    ...{ method: request.method, path: pathname + search, authorization: request.headers.get("Authorization") },
    ...{ idempotencyKey: request.headers.get("Idempotency-Key"), body: await request.text() },
  });
  if (answered === null) throw new TypeError("Network connection lost.");
  const { status, headers, body } = answered;
  return new Response(body || null, { status, headers });
}

const newPayment = async (more: object = {}) => (await api.create({ ...ORDER, ...more })).body;
const ask = (id: number, action: string, body: object = {}) =>
  api.request("POST", `/api/v1/payments/${id}/${action}`, {
    body,
    headers: { "Idempotency-Key": crypto.randomUUID() },
  });
const get = async (id: number) => (await api.get(id)).body;
const referenceOf = async (id: number) => (await get(id)).provider_reference ?? "";
const held = async (id: number) => mollie.ledger.find(await referenceOf(id));

/** The payment once its object has woken. */
const resumed = async (id: number) => {
  await runDurableObjectAlarm(env.PAYMENT.getByName(`${merchant}:${id}`));
  return get(id);
};

/** What was done at Mollie, in order: no question is told. */
const done = () =>
  mollie.asked
    .filter(({ method }) => method !== "GET")
    .map(({ method, path }) => `${method} ${path.replace(/^\/v2\/payments(\/tr_\w+)?/, "")}`.trim());

/** A payment that its payer has authorised, or paid. */
async function newHeld(status: "authorized" | "paid", more: object = {}): Promise<number> {
  const { id } = await newPayment(more);
  await ask(id, "confirm", RETURN);
  mollie.ledger.move(await referenceOf(id), status);
  await resumed(id);
  return id;
}

const MANUAL = { capture_method: "manual" };

/** Sends the newest notification as Mollie does. */
function notify(changes: { query?: string; body?: string } = {}): Promise<Response> {
  const { url, body } = { url: "", body: "", ...mollie.ledger.notifications.at(-1) };
  const { search } = new URL(url);
  const headers = { "Content-Type": "application/x-www-form-urlencoded", "CF-Connecting-IP": crypto.randomUUID() };
  return exports.default.fetch(
    new Request(url.replace(search, changes.query ?? search), { method: "POST", headers, body: changes.body ?? body }),
  );
}

describe("a payment at Mollie", () => {
  it("leads its payer to Mollie's page, and is confirmed once Mollie tells that it is paid", async () => {
    const { id } = await newPayment();
    const { status, body } = await ask(id, "confirm", RETURN);
    expect([status, body.status]).toEqual([202, "requires_action"]);
    const reference = await referenceOf(id);
    expect(body.next_action).toEqual({ type: "redirect", url: `https://www.mollie.com/checkout/${reference}` });
    mollie.ledger.move(reference, "paid");
    expect((await notify()).status).toBeLessThan(300);
    expect(await resumed(id)).toMatchObject({ status: "confirmed", amount_captured: 99.99, next_action: null });
    expect(done()).toEqual(["POST"]);
  });

  it("is told to return somewhere, by its confirmation or by its creation", async () => {
    const { id } = await newPayment();
    const refused = await ask(id, "confirm");
    expect([refused.status, JSON.stringify(refused.body)]).toEqual([422, expect.stringContaining("#/return_url")]);
    const named = await newPayment(RETURN);
    expect((await ask(named.id, "confirm")).status).toBe(202);
    expect((await held(named.id)).body.redirectUrl).toBe(RETURN.return_url);
  });

  it.each([
    ["canceled", "expired", "cancelled_by_payer"],
    ["expired", "expired", "expired"],
    ["failed", "failed", "insufficient_funds"],
  ] as const)("that is %s there is %s here", async (there, status, code) => {
    const { id } = await newPayment();
    await ask(id, "confirm", RETURN);
    const failureReason = there === "failed" ? "insufficient_funds" : null;
    mollie.ledger.move(await referenceOf(id), there, { failureReason });
    expect(await resumed(id)).toMatchObject({ status, failure: { code }, amount_captured: 0 });
  });

  it("is refused in a currency that Mollie does not take", async () => {
    const { id } = await newPayment({ currency: "KWD" });
    const { status, body } = await ask(id, "confirm", RETURN);
    expect([status, body.failure?.code]).toEqual([402, "provider_error"]);
    expect(await get(id)).toMatchObject({ status: "failed", provider_reference: null });
  });

  it("is made once though the answer was lost", async () => {
    const { id } = await newPayment();
    mollie.faults.push("lost");
    expect((await ask(id, "confirm", RETURN)).status).toBe(202);
    expect((await get(id)).status).toBe("processing");
    expect((await resumed(id)).status).toBe("requires_action");
    expect(mollie.ledger.payments).toHaveLength(1);
  });
});

describe("a payment that is authorised at Mollie", () => {
  it("is captured whole, once Mollie has done it", async () => {
    const id = await newHeld("authorized", MANUAL);
    expect(await get(id)).toMatchObject({ status: "authorized", amount_captured: 0 });
    const { status, body } = await ask(id, "capture");
    expect([status, body.status]).toEqual([202, "authorized"]);
    mollie.ledger.settle(await referenceOf(id));
    expect(await resumed(id)).toMatchObject({ status: "confirmed", amount_captured: 99.99 });
    expect(done()).toEqual(["POST", "POST /captures"]);
  });

  it("is captured in part, and what is left is released, before the capture counts", async () => {
    const id = await newHeld("authorized", MANUAL);
    await ask(id, "capture", { amount: 60 });
    mollie.ledger.settle(await referenceOf(id));
    mollie.faults.push(503);
    expect(await resumed(id)).toMatchObject({ status: "authorized", amount_captured: 0 });
    expect((await held(id)).isReleasing).toBe(false);
    mollie.faults.push("lost");
    expect((await resumed(id)).status).toBe("authorized");
    expect((await held(id)).isReleasing).toBe(true);
    expect(await resumed(id)).toMatchObject({ status: "confirmed", amount_captured: 60 });
    const calls = await api.request<{ data: { attempts: { call: string; outcome: string }[] }[] }>(
      ...(["GET", `/api/v1/payments/${id}/operations`] as const),
    );
    const releases = calls.body.data.flatMap(({ attempts }) => attempts.filter(({ call }) => call === "release"));
    expect(releases.map(({ outcome }) => outcome.replace(/:.*/, ""))).toEqual(["unknown", "unknown", "released"]);
    // The bank has released it: nothing changes any more.
    mollie.ledger.settle(await referenceOf(id));
    await ask(id, "sync");
    expect(await get(id)).toMatchObject({ status: "confirmed", amount_captured: 60 });
    expect((await held(id)).status).toBe("paid");
  });

  it("is released, and cancelled once the bank has done it", async () => {
    const id = await newHeld("authorized", MANUAL);
    const { status, body } = await ask(id, "cancel");
    expect([status, body.status]).toEqual([202, "authorized"]);
    expect((await held(id)).isReleasing).toBe(true);
    mollie.ledger.settle(await referenceOf(id));
    expect((await resumed(id)).status).toBe("cancelled");
  });

  it("stays authorised where a capture fails, and is captured by another one", async () => {
    const id = await newHeld("authorized", MANUAL);
    await ask(id, "capture", { amount: 60 });
    mollie.ledger.settle(await referenceOf(id), "failed");
    expect((await resumed(id)).status).toBe("authorized");
    await ask(id, "capture");
    mollie.ledger.settle(await referenceOf(id));
    expect(await resumed(id)).toMatchObject({ status: "confirmed", amount_captured: 99.99 });
  });
});

describe("a payment that is cancelled before it is paid", () => {
  it("is cancelled where Mollie lets it be", async () => {
    const { id } = await newPayment();
    await ask(id, "confirm", { ...RETURN, payment_method: "banktransfer" });
    expect((await ask(id, "cancel")).body.status).toBe("cancelled");
    expect((await held(id)).status).toBe("canceled");
  });

  it("waits until it ends at Mollie where Mollie does not", async () => {
    const { id } = await newPayment();
    await ask(id, "confirm", RETURN);
    const { status, body } = await ask(id, "cancel");
    expect([status, body.status]).toEqual([202, "requires_action"]);
    mollie.ledger.move(await referenceOf(id), "expired");
    expect((await resumed(id)).status).toBe("expired");
  });
});

describe("a refund at Mollie", () => {
  it("is pending until Mollie has made it", async () => {
    const id = await newHeld("paid");
    const refund = await ask(id, "refunds", { amount: 40, reason: "Damaged" });
    expect([refund.status, refund.body.status]).toEqual([201, "pending"]);
    const [made] = (await held(id)).refunds;
    expect(made).toMatchObject({ minor: 4_000, description: "Damaged" });
    mollie.ledger.setRefund(made?.id ?? "", "refunded");
    expect(await resumed(id)).toMatchObject({ status: "confirmed", amount_refunded: 40 });
  });

  it("is made once though the answer was lost", async () => {
    const id = await newHeld("paid");
    mollie.faults.push("lost");
    await ask(id, "refunds", { amount: 40 });
    await resumed(id);
    const { refunds } = await held(id);
    expect(refunds).toHaveLength(1);
    mollie.ledger.setRefund(refunds[0]?.id ?? "", "refunded");
    expect(await resumed(id)).toMatchObject({ amount_refunded: 40 });
  });

  it("leaves no room for what was charged back", async () => {
    const id = await newHeld("paid");
    const chargeback = mollie.ledger.chargeBack(await referenceOf(id), 9_000);
    await notify();
    await resumed(id);
    expect((await ask(id, "refunds", { amount: 10 })).status).toBe(409);
    mollie.ledger.reverse(chargeback);
    await ask(id, "sync");
    expect((await ask(id, "refunds", { amount: 10 })).status).toBe(201);
  });
});

describe("a notification of Mollie's", () => {
  it("is taken of the payment of its URL alone, and refused with another MAC", async () => {
    const [one, other] = [await newHeld("paid"), await newHeld("paid")];
    expect((await held(other)).body.webhookUrl).toMatch(
      new RegExp(`/api/v1/provider-notifications/${account}\\?payment=${other}&mac=[0-9a-f]{64}$`),
    );
    expect((await notify()).status).toBeLessThan(300);
    const { search } = new URL(mollie.ledger.notifications.at(-1)?.url ?? "");
    for (const query of ["", search.replace(`payment=${other}`, `payment=${one}`), `${search.slice(0, -1)}x`]) {
      expect((await notify({ query })).status, query).toBe(400);
    }
    expect((await notify({ body: "" })).status).toBe(400);
  });
});
