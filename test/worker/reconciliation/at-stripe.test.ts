/** Reconciliation from end to end: payments at a stand-in for Stripe, the job that compares them, and the payments' own objects. */
import { createScheduledController, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import worker from "../../../src";
import type { ReconciliationItemResponse } from "../../../src/provider/reconciliation";
import type { RunResponse } from "../../../src/reconciliation/routes/run-schemas";
import { type Body, type Client, client, newKey, newMerchant, ORDER } from "../client";
import { StripeStandIn } from "../provider/stripe-stand-in";

const CRON = "*/1 * * * *";
const VISA = { payment_method: "pm_card_visa" };

let stripe: StripeStandIn;
let merchant: number;
let api: Client;
let account: string;
let now: number;

beforeEach(async () => {
  vi.spyOn(console, "log").mockImplementation(() => {});
  stripe = new StripeStandIn();
  now = Date.now();
  merchant = await newMerchant();
  api = client(undefined, { key: await newKey(undefined, merchant) });
  const { body } = await api.request<{ id: string }>("POST", "/api/v1/provider-accounts", {
    body: { provider: "stripe", name: "Shop", api_key: stripe.newKey(), is_default: true },
  });
  account = body.id;
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

async function paid(): Promise<Body> {
  const { id } = (await api.create(ORDER)).body;
  const { body } = await api.request("POST", `/api/v1/payments/${id}/confirm`, {
    body: VISA,
    headers: { "Idempotency-Key": crypto.randomUUID() },
  });
  expect(body.status).toBe("confirmed");
  return body;
}

const items = async () =>
  (await api.request<{ data: ReconciliationItemResponse[] }>("GET", "/api/v1/reconciliation")).body.data;

/** Has the job run, a minute after the one before. */
async function minute(): Promise<void> {
  now += 61_000;
  vi.setSystemTime(now);
  await worker.scheduled(createScheduledController({ scheduledTime: new Date(now), cron: CRON }), env);
}

/** A run on demand, to its end; after its first minute, the payments that were woken ask. */
async function reconciled(): Promise<RunResponse> {
  const path = `/api/v1/provider-accounts/${account}`;
  const { body } = await api.request<RunResponse>("POST", `${path}/reconcile`);
  for (let minutes = 0; minutes < 20; minutes++) {
    await minute();
    const { results } = await env.DB.prepare("SELECT id FROM payments WHERE merchant_id = ?")
      .bind(merchant)
      .all<{ id: number }>();
    for (const { id } of results) await runDurableObjectAlarm(env.PAYMENT.getByName(`${merchant}:${id}`));
    const run = await api.request<RunResponse>("GET", `${path}/reconciliations/${body.id}`);
    if (run.body.state !== "running") return run.body;
  }
  throw new Error("The run does not come to its end");
}

describe("reconciliation at Stripe", () => {
  it("finds nothing where nothing differs", async () => {
    await paid();
    await paid();
    expect(await reconciled()).toMatchObject({ state: "done", compared: 2, differing: 0 });
    expect(await items()).toEqual([]);
  });

  it("has a refund that somebody made in Stripe's dashboard adopted, and opens no item", async () => {
    const { id, provider_reference } = await paid();
    stripe.refundInDashboard(stripe.intent(provider_reference), 4_000);
    const run = await reconciled();
    expect(run).toMatchObject({ state: "done", differing: 2 });
    expect(await items()).toEqual([]);
    expect((await api.get(id)).body).toMatchObject({ amount_refunded: 40, status: "confirmed" });
  });

  it("has a dispute heard of whose notification was lost", async () => {
    const { id, provider_reference } = await paid();
    stripe.dispute(stripe.intent(provider_reference), "needs_response");
    expect(await reconciled()).toMatchObject({ state: "done", differing: 1 });
    const { body } = await api.request<{ data: object[] }>("GET", `/api/v1/disputes?payment_id=${id}&sort=due_at`);
    expect([body.data, await items()]).toMatchObject([[{ state: "open", amount: 99.99 }], []]);
  });

  it("opens an item for a payment of somebody else's, and one for a payment that is gone", async () => {
    const lost = await paid();
    const foreign = stripe.intent((await paid()).provider_reference);
    stripe.intents.delete(lost.provider_reference ?? "");
    stripe.intents.set("pi_foreign", {
      ...foreign,
      id: "pi_foreign",
      fields: new Map([...foreign.fields].filter(([name]) => !name.startsWith("metadata"))),
    });
    const run = await reconciled();
    expect(run).toMatchObject({ state: "done", items: { missing_here: 1, missing_there: 1 } });
    expect((await items()).sort((a, b) => (a.kind < b.kind ? -1 : 1))).toMatchObject([
      { kind: "missing_here", payment_id: null, reference: "pi_foreign", account, state: "open" },
      { kind: "missing_there", payment_id: lost.id, reference: lost.provider_reference, account, state: "open" },
    ]);
    const { body } = await api.request<{ data: { type: string; reconciliation_item: object | null }[] }>(
      "GET",
      `/api/v1/payments/${lost.id}/events`,
    );
    const [item] = (await items()).filter(({ payment_id }) => payment_id === lost.id);
    expect(body.data.at(-1)).toMatchObject({ type: "reconciliation.item_opened", reconciliation_item: item });
  });

  it("says why it does not go on where Stripe does not take the key any more", async () => {
    await paid();
    vi.spyOn(console, "error").mockImplementation(() => {});
    stripe.keys.clear();
    const path = `/api/v1/provider-accounts/${account}`;
    const { body } = await api.request<RunResponse>("POST", `${path}/reconcile`);
    await minute();
    const run = await api.request<RunResponse>("GET", `${path}/reconciliations/${body.id}`);
    expect(run.body).toMatchObject({
      state: "running",
      failure: "The provider does not take the account's credentials",
    });
    expect(run.body.failing_since).not.toBeNull();
  });
});
