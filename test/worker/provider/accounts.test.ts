/** Accounts at providers: how they are made, and what payments are made at them. */
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Client, client, newKey, newMerchant, ORDER } from "../client";
import { StripeStandIn } from "./stripe-stand-in";

const ACCOUNTS = "/api/v1/provider-accounts";
const WEBHOOK_SECRET = "whsec_wRNftLajMZNeslQOP6vEPm4iVx5NlZ6z";

interface Account {
  readonly id: string;
  readonly mode: string;
  readonly api_key: string;
  readonly is_default: boolean;
  readonly has_webhook_secret: boolean;
  readonly failing_since: string | null;
  readonly failure: string | null;
  readonly disabled_at: string | null;
  readonly notification_url: string;
  readonly errors?: readonly { readonly detail: string; readonly pointer?: string }[];
  readonly detail?: string;
  readonly type?: string;
}

let stripe: StripeStandIn;
let merchant: number;
let api: Client;

beforeEach(async () => {
  stripe = new StripeStandIn();
  merchant = await newMerchant();
  api = client(undefined, { key: await newKey(undefined, merchant) });
});
afterEach(() => vi.restoreAllMocks());

const add = (body: object, headers: HeadersInit = {}, by: Client = api) =>
  by.request<Account>("POST", ACCOUNTS, {
    body: { provider: "stripe", name: "Shop", api_key: stripe.newKey(), ...body },
    headers,
  });
const change = (id: string, body: object) => api.request<Account>("PATCH", `${ACCOUNTS}/${id}`, { body });
const confirm = (id: number, body: object = {}, key: string = crypto.randomUUID()) =>
  api.request("POST", `/api/v1/payments/${id}/confirm`, { body, headers: { "Idempotency-Key": key } });

describe("adding an account", () => {
  it("asks the provider whether it takes the key, and shows none of its secrets", async () => {
    const api_key = stripe.newKey();
    const { status, body, headers } = await add({ api_key, webhook_secret: WEBHOOK_SECRET });
    expect([status, headers.get("Location")]).toEqual([201, `${ACCOUNTS}/${body.id}`]);
    expect(body).toMatchObject({ mode: "test", has_webhook_secret: true, is_default: false, failing_since: null });
    expect(body.api_key).toBe(`sk_test_…${api_key.slice(-4)}`);
    expect(body.notification_url).toMatch(new RegExp(`/api/v1/provider-notifications/${body.id}$`));
    expect(stripe.asked.map(({ method }) => method)).not.toContain("POST");
    const shown = JSON.stringify([body, (await api.request("GET", ACCOUNTS)).body, await rowsOf()]);
    for (const secret of [api_key, WEBHOOK_SECRET]) expect(shown).not.toContain(secret);
  });

  it("keeps nothing of a key that the provider does not take", async () => {
    const { status, body } = await add({ api_key: "sk_test_4eC39HqLyjWDarjtT1zdp7dc" });
    expect([status, body.errors]).toEqual([
      422,
      [{ detail: "Stripe does not know the API key, or no longer", pointer: "#/api_key" }],
    ]);
    expect(await rowsOf()).toEqual([]);
  });

  it("keeps nothing of a key of which the provider says nothing", async () => {
    stripe.failures.push(new Response("", { status: 500 }));
    const through = client(undefined, { key: await newKey(undefined, merchant), outages: true });
    const { status, body } = await add({}, {}, through);
    expect([status, body.type]).toEqual([503, "/problems/provider-unreachable"]);
    expect(await rowsOf()).toEqual([]);
  });

  it.each<[object, string]>([
    [{ api_key: "pk_test_TYooMQauvdEDq54NiTphI7jx" }, "#/api_key"],
    [{ api_key: "test_dHar4XY7LxsDOtmnkVtjNVWXLSlXsM" }, "#/api_key"],
    [{ api_key: "sk_test_" }, "#/api_key"],
    [{ webhook_secret: "secret" }, "#/webhook_secret"],
    [{ publishable_key: "pk_live_TYooMQauvdEDq54NiTphI7jx" }, "#/publishable_key"],
    [{ publishable_key: "sk_test_4eC39HqLyjWDarjtT1zdp7dc" }, "#/publishable_key"],
    [{ api_url: "https://evil.example.com" }, "#/api_url"],
    [{ api_url: "http://127.0.0.1:12111/v1" }, "#/api_url"],
    [{ provider: "mollie", api_key: "sk_test_4eC39HqLyjWDarjtT1zdp7dc" }, "#/api_key"],
    [{ provider: "sandbox" }, "#/provider"],
  ])("refuses %j before anybody is asked, and repeats no secret", async (body, pointer) => {
    const answer = await add(body);
    expect([answer.status, answer.body.errors?.[0]?.pointer]).toEqual([422, pointer]);
    expect(stripe.asked).toEqual([]);
    expect(JSON.stringify(answer.body)).not.toMatch(/[A-Za-z0-9]{20}/);
  });

  it("happens once under a key, which another request cannot use", async () => {
    const [api_key, headers] = [stripe.newKey(), { "Idempotency-Key": crypto.randomUUID() }];
    const [first, again, other] = [
      await add({ api_key }, headers),
      await add({ api_key }, headers),
      await add({ api_key, name: "Other" }, headers),
    ];
    expect([first.status, again.status, other.status]).toEqual([201, 200, 409]);
    expect([again.body, again.replayed]).toEqual([first.body, true]);
    expect(await rowsOf()).toHaveLength(1);
  });

  it("gives each of several at once an id of its own, for which its secrets are sealed", async () => {
    const all = await Promise.all(Array.from({ length: 15 }, () => add({})));
    expect(all.map(({ status }) => status)).toEqual(Array(15).fill(201));
    expect(new Set(all.map(({ body }) => body.id)).size).toBe(15);
    for (const { body } of all) {
      expect((await api.request<Account>("POST", `${ACCOUNTS}/${body.id}/check`)).body.failing_since).toBeNull();
    }
  });

  it("ends with the twentieth", async () => {
    const insert = env.DB.prepare(`INSERT INTO provider_accounts
      (merchant_id, provider, mode, name, api_key, api_key_hint, created_at, updated_at) VALUES (?, 'stripe', 'test', 'x', 'x', 'x', 1, 1)`);
    await env.DB.batch(Array.from({ length: 19 }, () => insert.bind(merchant)));
    expect((await add({})).status).toBe(201);
    expect((await add({})).status).toBe(409);
  });

  it("is another merchant's matter for everybody else", async () => {
    const { body } = await add({});
    const stranger = client(undefined, { key: await newKey(undefined, await newMerchant()) });
    for (const [method, path] of [
      ["GET", ""],
      ["PATCH", ""],
      ["POST", "/check"],
    ] as const) {
      const { status } = await stranger.request(method, `${ACCOUNTS}/${body.id}${path}`, {
        ...(method === "PATCH" && { body: { name: "Mine" } }),
      });
      expect([method, path, status]).toEqual([method, path, 404]);
    }
    const { status, body: problem } = await stranger.create({ ...ORDER, provider_account: body.id });
    expect([status, problem.detail]).toEqual([409, `There is no account ${body.id}`]);
  });
});

describe("changing an account", () => {
  it("takes another key of its mode alone, and asks with it from then on", async () => {
    const { body } = await add({});
    const live = await change(body.id, { api_key: stripe.newKey("live") });
    expect([live.status, live.body.errors]).toEqual([
      422,
      [{ detail: "Must be a key of test mode, as the account's is", pointer: "#/api_key" }],
    ]);
    const api_key = stripe.newKey();
    expect((await change(body.id, { api_key })).body.api_key).toBe(`sk_test_…${api_key.slice(-4)}`);
    await api.request("POST", `${ACCOUNTS}/${body.id}/check`);
    expect(stripe.asked.at(-1)?.key).toBe(api_key);
    expect((await change(body.id, { api_key: "sk_test_4eC39HqLyjWDarjtT1zdp7dc" })).status).toBe(422);
  });

  it("is recorded in the trail, without secrets", async () => {
    const { body } = await add({ webhook_secret: WEBHOOK_SECRET });
    await change(body.id, { webhook_secret: null, name: "New name", enabled: false });
    const { body: trail } = await api.request<{ data: { type: string; subject: string; data: object }[] }>(
      "GET",
      "/api/v1/account-events?limit=2",
    );
    expect(trail.data.map(({ type, subject }) => [type, subject])).toEqual([
      ["provider_account.updated", body.id],
      ["provider_account.created", body.id],
    ]);
    expect(trail.data[0]?.data).toEqual({ webhook_secret: null, name: "New name", enabled: false });
    expect(JSON.stringify(trail)).not.toContain(WEBHOOK_SECRET);
  });

  it("says when the provider takes the key no longer, and when it does again", async () => {
    const api_key = stripe.newKey();
    const { body } = await add({ api_key });
    stripe.keys.delete(api_key);
    const checked = await api.request<Account>("POST", `${ACCOUNTS}/${body.id}/check`);
    expect([checked.status, checked.body.failing_since]).toEqual([200, expect.any(String)]);
    stripe.keys.add(api_key);
    const again = await api.request<Account>("POST", `${ACCOUNTS}/${body.id}/check`);
    expect([again.body.failing_since, again.body.failure]).toEqual([null, null]);
  });
});

describe("the account of a payment", () => {
  it("is the default, where nothing is named, and without one none", async () => {
    expect((await api.create(ORDER)).body).toMatchObject({ provider: "internal", provider_account: null });
    const { body } = await add({ is_default: true });
    const made = { provider: "stripe", provider_account: body.id };
    expect((await api.create(ORDER)).body).toMatchObject(made);
    expect((await api.create({ ...ORDER, capture_method: "manual" })).body).toMatchObject(made);
    expect((await api.create({ ...ORDER, provider: "internal" })).body).toMatchObject({ provider: "internal" });
    await change(body.id, { is_default: false });
    expect((await api.create(ORDER)).body).toMatchObject({ provider: "internal", provider_account: null });
  });

  it("is the provider's only enabled one, or has to be named", async () => {
    const none = await api.create({ ...ORDER, provider: "stripe" });
    expect([none.status, none.body.detail]).toEqual([
      409,
      "There is no enabled account at stripe: add one to /api/v1/provider-accounts",
    ]);
    const [{ body: first }, { body: second }] = [await add({}), await add({})];
    const several = await api.create({ ...ORDER, provider: "stripe" });
    expect([several.status, several.body.detail]).toEqual([
      409,
      "There are several accounts at stripe: name one in provider_account",
    ]);
    const named = await api.create({ ...ORDER, provider_account: second.id });
    expect(named.body).toMatchObject({ provider: "stripe", provider_account: second.id });
    await change(second.id, { enabled: false });
    expect((await api.create({ ...ORDER, provider: "stripe" })).body.provider_account).toBe(first.id);
    const disabled = await api.create({ ...ORDER, provider_account: second.id });
    expect([disabled.status, disabled.body.detail]).toEqual([
      409,
      `The account ${second.id} is disabled: enable it, or name another in provider_account`,
    ]);
  });

  it("that is disabled lets a default creation settle nowhere else", async () => {
    const { body } = await add({ is_default: true });
    await change(body.id, { enabled: false });
    expect((await api.create(ORDER)).status).toBe(409);
  });

  it.each<[object, string]>([
    [{ provider: "mollie", provider_account: "stripe_1" }, "#/provider_account"],
    [{ provider: "internal", provider_account: "stripe_1" }, "#/provider_account"],
    [{ provider_account: "sandbox_1" }, "#/provider_account"],
    [{ provider_account: "stripe_0" }, "#/provider_account"],
    [{ provider_account: 3 }, "#/provider_account"],
    [{ provider: "stripe", payment_method: "4242" }, "#/payment_method"],
  ])("is refused as %j", async (more, pointer) => {
    const { status, body } = await api.create({ ...ORDER, ...more });
    expect([status, body.errors?.[0]?.pointer]).toEqual([422, pointer]);
  });

  it("finds the first payment of a key when the default has changed since", async () => {
    const { body } = await add({ is_default: true });
    const asked = { ...ORDER, payment_method: "pm_card_visa" };
    const made = await api.create(asked, "order-42");
    await change(body.id, { is_default: false });
    const again = await api.create(asked, "order-42");
    expect([made.status, again.status, again.body.id]).toEqual([201, 200, made.body.id]);
    expect((await api.create(asked)).body.errors?.[0]?.pointer).toBe("#/payment_method");
  });

  it("that is disabled refuses confirmations, and lets what was begun go on", async () => {
    const { body } = await add({ is_default: true });
    const [paid, pending] = [await api.create(ORDER), await api.create(ORDER)];
    expect((await confirm(paid.body.id, { payment_method: "pm_card_visa" })).status).toBe(200);
    await change(body.id, { enabled: false });
    const refused = await confirm(pending.body.id, { payment_method: "pm_card_visa" });
    expect([refused.status, refused.body.type]).toEqual([409, "/problems/provider-account-disabled"]);
    const refund = await api.request("POST", `/api/v1/payments/${paid.body.id}/refund`);
    expect([refund.status, refund.body.status]).toEqual([200, "refunded"]);
  });
});

const rowsOf = async () =>
  (await env.DB.prepare("SELECT * FROM provider_accounts WHERE merchant_id = ?").bind(merchant).all()).results;
