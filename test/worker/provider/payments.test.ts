/** Payments at an account: what they come to, what is kept of them, and what its notifications lead to. */
import { runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { hmacSha256 } from "../../../src/provider/mac";
import { type Body, type Client, client, newKey, newMerchant, ORDER } from "../client";
import { StripeStandIn } from "./stripe-stand-in";

const WEBHOOK_SECRET = "whsec_wRNftLajMZNeslQOP6vEPm4iVx5NlZ6z";
const PUBLISHABLE_KEY = "pk_test_TYooMQauvdEDq54NiTphI7jx";
const VISA = { payment_method: "pm_card_visa" };

let stripe: StripeStandIn;
let merchant: number;
let api: Client;
let apiKey: string;
let account: string;

beforeEach(async () => {
  stripe = new StripeStandIn();
  merchant = await newMerchant();
  api = client(undefined, { key: await newKey(undefined, merchant) });
  apiKey = stripe.newKey();
  account = await newAccount();
});
afterEach(() => vi.restoreAllMocks());

async function newAccount(): Promise<string> {
  const { body } = await api.request<{ id: string }>("POST", "/api/v1/provider-accounts", {
    body: {
      ...{ provider: "stripe", name: "Shop", api_key: apiKey, webhook_secret: WEBHOOK_SECRET, is_default: true },
      publishable_key: PUBLISHABLE_KEY,
    },
  });
  return body.id;
}

const newPayment = async (more: object = {}): Promise<Body> => (await api.create({ ...ORDER, ...more })).body;
const ask = (id: number, action: string, body: object = {}, key: string = crypto.randomUUID()) =>
  api.request("POST", `/api/v1/payments/${id}/${action}`, { body, headers: { "Idempotency-Key": key } });
const get = async (id: number) => (await api.get(id)).body;
const intentOf = async (id: number) => stripe.intent((await get(id)).provider_reference);
const moneyCalls = () =>
  stripe.asked.filter(({ method }) => method === "POST").map(({ path }) => path.split("/").at(-1));

/** All that D1 holds, as text. */
async function stored(): Promise<string> {
  const tables = ["payments", "operations", "events", "idempotency_keys", "provider_accounts", "account_events"];
  const rows = await env.DB.batch(tables.map((table) => env.DB.prepare(`SELECT * FROM ${table}`)));
  return JSON.stringify(rows.map(({ results }) => results));
}

/** Sends an event as Stripe does. */
async function notify(
  object: object,
  type = "payment_intent.succeeded",
  changes: { secret?: string; at?: number } = {},
) {
  const { secret = WEBHOOK_SECRET, at = Date.now() } = changes;
  const event = { id: `evt_${crypto.randomUUID()}`, object: "event", type, livemode: false, data: { object } };
  return send(JSON.stringify(event), secret, at);
}

async function send(body: string, secret = WEBHOOK_SECRET, at = Date.now(), to = account) {
  const seconds = Math.floor(at / 1_000);
  const signature = `t=${seconds},v1=${await hmacSha256(secret, `${seconds}.${body}`)}`;
  return client(undefined, { key: null }).request("POST", `/api/v1/provider-notifications/${to}`, {
    body,
    headers: { "Stripe-Signature": signature },
  });
}

const resumed = async (id: number) => {
  await runDurableObjectAlarm(env.PAYMENT.getByName(`${merchant}:${id}`));
  return get(id);
};

describe("a payment at Stripe", () => {
  it("is confirmed from the server, refunded in part, and whole", async () => {
    const { id } = await newPayment();
    const confirmed = await ask(id, "confirm", VISA);
    expect([confirmed.status, confirmed.body.status, confirmed.body.amount_captured]).toEqual([
      200,
      "confirmed",
      99.99,
    ]);
    expect((await ask(id, "refunds", { amount: 40 })).status).toBe(201);
    expect((await ask(id, "refund")).body.status).toBe("refunded");
    expect(moneyCalls()).toEqual(["payment_intents", "confirm", "refunds", "refunds"]);
    expect((await intentOf(id)).refunds).toHaveLength(2);
  });

  it("is authorised, and captured in part", async () => {
    const { id } = await newPayment({ capture_method: "manual" });
    expect((await ask(id, "confirm", VISA)).body.status).toBe("authorized");
    expect((await ask(id, "capture", { amount: 60 })).body).toMatchObject({ status: "confirmed", amount_captured: 60 });
    expect((await intentOf(id)).received).toBe(6_000);
  });

  it("is declined with a reason, for good", async () => {
    const { id } = await newPayment();
    const { status, body } = await ask(id, "confirm", { payment_method: "pm_card_chargeDeclined" });
    expect([status, body.failure?.code, body.failure?.decline_code]).toEqual([402, "card_declined", "generic_decline"]);
    expect((await get(id)).status).toBe("failed");
  });

  it("is cancelled before anybody has heard of it, and after", async () => {
    const [unknown, held] = [await newPayment(), await newPayment({ capture_method: "manual" })];
    expect((await ask(unknown.id, "cancel")).body.status).toBe("cancelled");
    await ask(held.id, "confirm", VISA);
    expect((await ask(held.id, "cancel")).body.status).toBe("cancelled");
    expect((await intentOf(held.id)).status).toBe("canceled");
  });
});

describe("a payment that the payer's browser confirms", () => {
  it("is answered with what Stripe's script is started with, which is kept nowhere", async () => {
    const { id } = await newPayment();
    const key = crypto.randomUUID();
    const { status, body } = await ask(id, "confirm", {}, key);
    const { client_secret } = { client_secret: "", ...body.next_action };
    expect([status, body.status]).toEqual([202, "requires_action"]);
    expect(body.next_action).toEqual({ type: "client", client_secret, publishable_key: PUBLISHABLE_KEY });
    expect(client_secret).toBe(`${body.provider_reference}_secret_x`);
    // Whoever has lost the answer asks again, with the same key or another one.
    for (const again of [key, crypto.randomUUID()]) {
      expect((await ask(id, "confirm", {}, again)).body.next_action).toEqual(body.next_action);
    }
    expect((await get(id)).next_action).toEqual({ type: "client" });
    const paths = ["/api/v1/payments", `/api/v1/payments/${id}/events`, `/api/v1/payments/${id}/operations`];
    for (const path of paths) {
      expect(JSON.stringify((await api.request("GET", path)).body)).not.toContain(client_secret);
    }
    expect(await stored()).not.toContain(client_secret);
  });

  it("is confirmed once Stripe tells that it is paid", async () => {
    const { id } = await newPayment();
    await ask(id, "confirm");
    const intent = await intentOf(id);
    stripe.pay(intent);
    expect((await notify(stripe.show(intent))).status).toBe(200);
    expect((await resumed(id)).status).toBe("confirmed");
  });
});

describe("a notification", () => {
  it("that somebody else has signed, an old one, and one that was altered is refused, and changes nothing", async () => {
    const { id } = await newPayment();
    await ask(id, "confirm");
    const intent = await intentOf(id);
    stripe.pay(intent);
    const object = stripe.show(intent);
    const event = JSON.stringify({ id: "evt_1", type: "payment_intent.succeeded", livemode: false, data: { object } });
    const seconds = Math.floor(Date.now() / 1_000);
    const signature = `t=${seconds},v1=${await hmacSha256(WEBHOOK_SECRET, `${seconds}.${event}`)}`;
    const altered = client(undefined, { key: null }).request("POST", `/api/v1/provider-notifications/${account}`, {
      body: event.replace("succeeded", "canceled"),
      headers: { "Stripe-Signature": signature },
    });
    const refused = [
      await notify(object, undefined, { secret: "whsec_another" }),
      await notify(object, undefined, { at: Date.now() - 301_000 }),
      await notify(object, undefined, { at: Date.now() + 301_000 }),
      await altered,
      await send("not json"),
    ];
    expect(refused.map(({ status }) => status)).toEqual([400, 400, 400, 400, 400]);
    expect((await send("{}", WEBHOOK_SECRET, Date.now(), "stripe_9007199254740991")).status).toBe(404);
    expect((await send("x".repeat(65_537))).status).toBe(413);
    const asked = stripe.asked.length;
    expect((await get(id)).status).toBe("requires_action");
    expect(stripe.asked.length).toBe(asked);
  });

  it("of live mode says nothing of a test account", async () => {
    const { id } = await newPayment();
    await ask(id, "confirm");
    const intent = await intentOf(id);
    const { notifications } = await count();
    const live = { id: "evt_live", type: "payment_intent.succeeded", livemode: true };
    expect((await send(JSON.stringify({ ...live, data: { object: stripe.show(intent) } }))).status).toBe(200);
    expect((await count()).notifications).toBe(notifications);
  });

  it("of a dispute, which does not name the payment, finds it by asking", async () => {
    const { id } = await newPayment();
    await ask(id, "confirm", VISA);
    const intent = await intentOf(id);
    for (const [status, type, state] of [
      ["needs_response", "charge.dispute.created", "open"],
      ["lost", "charge.dispute.closed", "lost"],
    ] as const) {
      expect((await notify(stripe.dispute(intent, status), type)).status).toBe(200);
      await resumed(id);
      const { body } = await api.request<{ data: { payment_id: number; state: string; due_at: string }[] }>(
        "GET",
        "/api/v1/disputes",
      );
      expect(body.data).toMatchObject([{ payment_id: id, state, due_at: new Date(1_796_000_000_000).toISOString() }]);
    }
    expect((await get(id)).amount_refundable).toBe(0);
  });

  it("of a refund in Stripe's dashboard has it adopted", async () => {
    const { id } = await newPayment();
    await ask(id, "confirm", VISA);
    const intent = await intentOf(id);
    stripe.refundInDashboard(intent, 4_000);
    expect((await notify(stripe.show(intent), "charge.refunded")).status).toBe(200);
    expect(await resumed(id)).toMatchObject({ status: "confirmed", amount_refunded: 40 });
  });

  it("about what nobody here has made opens an item, once", async () => {
    const foreign = { id: "pi_foreign", object: "payment_intent", metadata: {} };
    for (const _ of [1, 2]) expect((await notify(foreign)).status).toBe(200);
    const { body } = await api.request<{ data: { kind: string; reference: string }[] }>(
      "GET",
      "/api/v1/reconciliation",
    );
    expect(body.data).toMatchObject([{ kind: "unknown_payment", reference: "pi_foreign" }]);
  });

  it("that nobody has signed costs D1 nothing, however often it comes", async () => {
    const body = JSON.stringify({ id: "evt_1" });
    await send(body, "whsec_another");
    const found = vi.spyOn(env.DB, "prepare");
    for (let n = 0; n < 5; n++) expect((await send(body, "whsec_another")).status).toBe(400);
    expect(found).not.toHaveBeenCalled();
  });
});

const count = async () =>
  (await env.DB.prepare("SELECT count(*) AS notifications FROM provider_notifications").first<{
    notifications: number;
  }>()) ?? { notifications: -1 };

describe("a key that Stripe takes no longer", () => {
  it("moves nothing, marks the account, and the payment goes on under the next one", async () => {
    const { id } = await newPayment();
    stripe.keys.delete(apiKey);
    const { status, body } = await ask(id, "confirm", VISA);
    expect([status, body.status]).toEqual([202, "processing"]);
    expect(stripe.intents.size).toBe(0);
    const failing = await api.request<{ failing_since: string | null; failure: string }>(
      "GET",
      `/api/v1/provider-accounts/${account}`,
    );
    expect(failing.body.failing_since).not.toBeNull();
    expect(failing.body.failure).not.toContain(apiKey);
    const next = stripe.newKey();
    await api.request("PATCH", `/api/v1/provider-accounts/${account}`, { body: { api_key: next } });
    expect((await api.request("POST", `/api/v1/payments/${id}/sync`)).body.status).toBe("confirmed");
    expect(stripe.asked.at(-1)?.key).toBe(next);
  });
});
