/** Provider accounts in the dashboard: what their forms do, what the pages say, and that no secret is ever in one. */
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Client, client, newKey, newMerchant } from "../client";
import { StripeStandIn } from "../provider/stripe-stand-in";
import { signIn, type Visitor } from "./visitor";

const PATH = "/dashboard/providers";
const WEBHOOK_SECRET = "whsec_wRNftLajMZNeslQOP6vEPm4iVx5NlZ6z";
const PUBLISHABLE_KEY = "pk_test_TYooMQauvdEDq54NiTphI7jx";
const HOSTILE = `<script>alert("name")</script> & 'quotes'`;

interface Account {
  readonly id: string;
  readonly name: string;
  readonly mode: string;
  readonly is_default: boolean;
  readonly has_webhook_secret: boolean;
  readonly publishable_key: string | null;
  readonly failing_since: string | null;
  readonly disabled_at: string | null;
  readonly notification_url: string;
}

let stripe: StripeStandIn;
let merchant: number;
let api: Client;
let visitor: Visitor;

beforeEach(async () => {
  stripe = new StripeStandIn();
  merchant = await newMerchant();
  const key = await newKey(undefined, merchant);
  api = client(undefined, { key });
  visitor = await signIn(key);
});
afterEach(() => vi.restoreAllMocks());

const accounts = async () => (await api.request<{ data: Account[] }>("GET", "/api/v1/provider-accounts")).body.data;
const get = async (id: string) => (await api.request<Account>("GET", `/api/v1/provider-accounts/${id}`)).body;

/** Adds an account by the form; its page. */
async function add(fields: Readonly<Record<string, string>> = {}): Promise<{ id: string; path: string; key: string }> {
  const key = fields.api_key ?? stripe.newKey();
  const sent = await visitor.fill(`${PATH}/new`, { provider: "stripe", name: "Shop", ...fields, api_key: key });
  expect([sent.status, sent.text]).toEqual([303, ""]);
  const [, path = "", id = ""] =
    /^(\/dashboard\/providers\/(stripe_\d+))\?notice=account_added$/.exec(sent.location ?? "") ?? [];
  expect(id).not.toBe("");
  return { id, path, key };
}

describe("the accounts", () => {
  it("say what they are for while there are none, and how to begin", async () => {
    const page = await visitor.open(PATH);
    expect([page.status, page.text.includes("No provider account yet")]).toEqual([200, true]);
    expect(page.html).toContain(`href="${PATH}/new"`);
  });

  it("are listed with their mode in words, their default and their health", async () => {
    const test = await add({ name: HOSTILE });
    const live = await add({
      name: "Live shop",
      api_key: stripe.newKey("live"),
      webhook_secret: WEBHOOK_SECRET,
      is_default: "yes",
    });
    const { html, text } = await visitor.open(PATH);
    const row = (id: string) => text.slice(text.indexOf(id)).split(/ UTC /)[0] ?? "";
    expect(row(test.id)).toMatch(/^stripe_\d+ Stripe TEST no real money no webhook secret sk_test_…/);
    expect(row(live.id)).toMatch(/^stripe_\d+ Stripe LIVE real money working sk_live_…/);
    expect(text).toMatch(/Live shop default stripe_/);
    expect(text).toContain(HOSTILE);
    expect(html).not.toContain("<script>alert");
  });

  it("are not shown to a key without the scope, in the navigation either", async () => {
    const reader = await signIn(await newKey(["payments:read"], merchant));
    const page = await reader.open(PATH);
    expect([page.status, page.text.includes("providers:manage")]).toEqual([403, true]);
    expect(page.html).not.toContain(`href="${PATH}"`);
    expect((await visitor.open(PATH)).html).toContain(`href="${PATH}" aria-current="page"`);
  });

  it("of another merchant are not there", async () => {
    const { id, path } = await add();
    const before = await get(id);
    const stranger = await signIn(await newKey(undefined, await newMerchant()));
    for (const part of ["", "/change", "/default", "/not-default", "/disable", "/enable", "/reconcile"]) {
      expect([part, (await stranger.open(path + part)).status]).toEqual([part, 404]);
    }
    await stranger.open(`${PATH}/new`);
    for (const part of ["/change", "/default", "/not-default", "/disable", "/enable", "/reconcile", "/check"]) {
      expect([part, (await stranger.send(path + part, { name: "Mine" })).status]).toEqual([part, 404]);
    }
    expect(await get(id)).toEqual(before);
  });
});

describe("adding an account", () => {
  it("offers each provider's own fields, with secrets as passwords that are empty", async () => {
    const page = await visitor.open(`${PATH}/new`);
    for (const name of ["api_key", "webhook_secret"]) {
      const [input = ""] =
        new RegExp(`<input[^>]* name="${name}"[^>]*>|<input name="${name}"[^>]*>`).exec(page.html) ?? [];
      expect(input).toContain('type="password"');
      expect(input).not.toContain(" value=");
    }
    expect(page.html).toContain('name="publishable_key"');
    const mollie = await visitor.open(`${PATH}/new?provider=mollie&api_key=test_in_the_address&name=x`);
    expect(mollie.html).toContain('name="provider" value="mollie"');
    expect(mollie.html).not.toMatch(/name="(webhook_secret|publishable_key)"|test_in_the_address/);
  });

  it("asks the provider for the key, and happens once however often the form is sent", async () => {
    const fields = { provider: "stripe", name: "Shop", api_key: stripe.newKey(), idempotency_key: crypto.randomUUID() };
    const [first, again] = [await visitor.send(`${PATH}/new`, fields), await visitor.send(`${PATH}/new`, fields)];
    expect([first.status, again.status, again.location]).toEqual([303, 303, first.location]);
    expect(await accounts()).toHaveLength(1);
  });

  it("refuses in the API's words, and gives no key back, whichever field it was typed in", async () => {
    const secrets = {
      ...{ api_key: "sk_test_4eC39HqLyjWDarjtT1zdp7dc", webhook_secret: WEBHOOK_SECRET },
      publishable_key: "sk_test_8eC39HqLyjWDarjtT1zdp7dc",
    };
    for (const fields of [secrets, { ...secrets, publishable_key: PUBLISHABLE_KEY }]) {
      const sent = { provider: "stripe", name: "Shop & sons", is_default: "yes", ...fields };
      const page = await visitor.fill(`${PATH}/new`, sent);
      expect([page.status, page.location]).toEqual([422, null]);
      expect(page.html).toMatch(/name="name"[^>]* value="Shop &amp; sons"/);
      expect(page.html).toMatch(/name="is_default" value="yes" checked/);
      expect(page.text).toContain("Enter the keys again");
      for (const secret of Object.values(fields)) expect(page.html).not.toContain(secret);
    }
    expect((await visitor.open(PATH)).text).toContain("No provider account yet");
  });

  it("says so when the provider gives no answer, and keeps nothing", async () => {
    stripe.failures.push(new Response("", { status: 500 }));
    vi.spyOn(console, "error").mockImplementation(() => {});
    const page = await visitor.fill(`${PATH}/new`, { provider: "stripe", name: "Shop", api_key: stripe.newKey() });
    expect([page.status, page.text.includes("The provider gave no answer")]).toEqual([503, true]);
    expect(await accounts()).toEqual([]);
  });
});

describe("an account", () => {
  it("has its notification URL to copy, and what to do with it at Stripe until that is done", async () => {
    const { id, path } = await add();
    const { notification_url: url } = await get(id);
    const page = await visitor.open(path);
    expect(page.html).toContain(`data-copy="${url}"`);
    expect(page.text).toContain("charge.dispute.created");
    expect(page.text).toContain("Until the secret is entered, notifications are refused");
    const changed = await visitor.fill(`${path}/change`, { name: "Shop", webhook_secret: ` ${WEBHOOK_SECRET}\n` });
    expect(changed.location).toBe(`${path}?notice=account_changed`);
    const after = await visitor.open(path);
    expect(after.text).not.toContain("notifications are refused");
    expect(after.text).toContain("Webhook secret Stored, not shown");
    expect(after.html).not.toContain(WEBHOOK_SECRET);
  });

  it("needs nothing at Mollie", async () => {
    vi.mocked(fetch).mockImplementation(async () =>
      Response.json({ count: 0, _embedded: { payments: [] }, _links: { next: null } }),
    );
    const sent = await visitor.fill(`${PATH}/new?provider=mollie`, {
      ...{ provider: "mollie", name: "Shop", api_key: `test_${"a".repeat(30)}` },
    });
    const page = await visitor.open(sent.location ?? "");
    expect(page.text).toContain("The account is added");
    expect(page.text).toMatch(/Mode TEST no real money Health working/);
    expect(page.text).toContain("Nothing to set up: each payment tells Mollie");
  });

  it("keeps its key, its secret and what was not shown when nothing of that is typed", async () => {
    const { id, path } = await add({ webhook_secret: WEBHOOK_SECRET, publishable_key: PUBLISHABLE_KEY });
    const row = () =>
      env.DB.prepare("SELECT api_key, webhook_secret FROM provider_accounts WHERE merchant_id = ?")
        .bind(merchant)
        .first();
    const before = await row();
    await visitor.fill(`${path}/change`, {
      name: "Renamed",
      api_key: "",
      webhook_secret: " ",
      publishable_key: PUBLISHABLE_KEY,
    });
    expect(await get(id)).toMatchObject({
      name: "Renamed",
      publishable_key: PUBLISHABLE_KEY,
      has_webhook_secret: true,
    });
    expect(await row()).toEqual(before);
    await visitor.fill(`${path}/change`, { name: "Renamed", publishable_key: "", remove_webhook_secret: "yes" });
    expect(await get(id)).toMatchObject({ publishable_key: null, has_webhook_secret: false });
  });

  it("refuses another key that is not taken, or of the other mode, and shows neither", async () => {
    const { path, key } = await add();
    for (const api_key of ["sk_test_4eC39HqLyjWDarjtT1zdp7dc", stripe.newKey("live")]) {
      const page = await visitor.fill(`${path}/change`, { name: "Typed", api_key, publishable_key: "" });
      expect(page.status).toBe(422);
      expect(page.html).toMatch(/name="name"[^>]* value="Typed"/);
      for (const secret of [api_key, key]) expect(page.html).not.toContain(secret);
    }
  });

  it("whose key is refused says since when and what to do, until another is taken", async () => {
    const { id, path, key } = await add({ webhook_secret: WEBHOOK_SECRET });
    stripe.keys.delete(key);
    await visitor.open(path);
    const refused = await visitor.send(`${path}/check`);
    expect(refused.location).toBe(`${path}?notice=account_refused`);
    const page = await visitor.open(refused.location ?? "");
    expect(page.text).toContain("The provider does not take the key.");
    expect(page.text).toContain("Stripe refuses this account's API key");
    expect(page.text).toContain("The provider answered 401 to the account's credentials, since");
    expect(page.text).toContain("make a new one and enter it under “Change”");
    expect((await visitor.open(PATH)).text).toContain("key refused since");
    stripe.keys.add(key);
    expect((await visitor.send(`${path}/check`)).location).toBe(`${path}?notice=account_accepted`);
    expect(await get(id)).toMatchObject({ failing_since: null });
    expect((await visitor.open(path)).text).not.toContain("refuses this account's API key");
  });

  it("says on its page that the provider gave no answer to a check", async () => {
    const { path } = await add();
    stripe.failures.push(new Response("", { status: 500 }));
    vi.spyOn(console, "error").mockImplementation(() => {});
    const page = await visitor.send(`${path}/check`);
    expect([page.status, page.text.includes("Provider unreachable")]).toEqual([503, true]);
    expect(page.text).toContain("Notification URL");
  });

  it("is on the pages of its payments, as a link for who may see it", async () => {
    const { id, path } = await add();
    const body = { amount: 12.5, currency: "USD", order_id: 1, provider_account: id };
    const headers = { "Idempotency-Key": crypto.randomUUID() };
    const payment = await api.request<{ id: number }>("POST", "/api/v1/payments", { body, headers });
    const page = `/dashboard/payments/${payment.body.id}`;
    expect((await visitor.open(page)).html).toContain(`<a href="${path}"><code>${id}</code></a>`);
    const reader = await signIn(await newKey(["payments:read"], merchant));
    const read = await reader.open(page);
    expect(read.text).toContain(`Provider account ${id} `);
    expect(read.html).not.toContain(path);
  });

  it("becomes the default, and no longer is; is disabled, and enabled", async () => {
    const { id, path } = await add();
    const steps = [
      ["default", { is_default: true }],
      ["not-default", { is_default: false }],
      ["disable", { disabled_at: expect.any(String) }],
      ["enable", { disabled_at: null }],
    ] as const;
    for (const [name, expected] of steps) {
      expect((await visitor.open(path)).html, name).toContain(`href="${path}/${name}"`);
      const sent = await visitor.fill(`${path}/${name}`);
      expect([name, sent.status]).toEqual([name, 303]);
      expect(await get(id)).toMatchObject(expected);
      expect((await visitor.open(sent.location ?? "")).html, name).toContain('<p class="notice">');
    }
    await visitor.fill(`${path}/disable`);
    expect((await visitor.open(PATH)).text).toContain("disabled since");
    expect((await visitor.open(path)).text).toContain("cannot be created or confirmed at this account");
  });
});

describe("the reconciliations of an account", () => {
  it("are begun by a form, once however often it is sent, and one at a time", async () => {
    const { id, path } = await add();
    expect((await visitor.open(path)).text).toContain("No run yet.");
    const fields = { from: "", to: "", idempotency_key: crypto.randomUUID() };
    for (const _ of ["sent", "sent again"]) {
      const sent = await visitor.send(`${path}/reconcile`, fields);
      expect([sent.status, sent.location]).toEqual([303, `${path}?notice=reconciliation_started`]);
    }
    const page = await visitor.open(`${path}?notice=reconciliation_started`);
    expect(page.text).toContain("The account is being reconciled.");
    expect(page.text.match(/on demand running/g)).toHaveLength(1);
    expect(page.html).toContain(`href="/dashboard/reconciliation?account=${id}"`);
    const second = await visitor.fill(`${path}/reconcile`);
    expect([second.status, second.text.includes("The account is being reconciled already")]).toEqual([409, true]);
    const trail = await visitor.open("/dashboard/account");
    expect(trail.html).toMatch(new RegExp(`<a href="${path}">Reconciliation \\d+</a>`));
  });

  it("are of the time that is named, and refuse one that is none with what was typed", async () => {
    const { path } = await add();
    const refused = await visitor.fill(`${path}/reconcile`, { from: "yesterday", to: "" });
    expect(refused.status).toBe(422);
    expect(refused.html).toMatch(/name="from" value="yesterday"/);
    const day = (ago: number) => new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10);
    const sent = await visitor.fill(`${path}/reconcile`, { from: day(3), to: day(1) });
    expect(sent.status).toBe(303);
    const page = await visitor.open(path);
    for (const at of [day(3), day(1)]) expect(page.html).toContain(`datetime="${at}T00:00:00.000Z"`);
  });

  it("say what they have compared and found, or why they do not go on", async () => {
    const { id, path } = await add();
    const insert = env.DB.prepare(`INSERT INTO reconciliation_runs
      (merchant_id, account_id, source, from_at, to_at, state, progress, compared, items, failure, started_at, finished_at)
      VALUES (?, ?, 'service', 1, 2, ?, '{}', ?, ?, ?, ?, ?)`);
    const account = Number(id.replace("stripe_", ""));
    await env.DB.batch([
      insert.bind(merchant, account, "done", 1234, '{"late_success":2,"missing_here":1}', null, 10, 20),
      insert.bind(merchant, account, "failed", 7, "{}", HOSTILE, 30, 40),
    ]);
    const { html, text } = await visitor.open(path);
    expect(text).toMatch(/the daily run done 1,234 from .* 2 × Late success 1 × Missing here/);
    expect(text).toContain(`the daily run failed ${HOSTILE} 7 from`);
    expect(html).not.toContain("<script>alert");
  });

  it("are not begun at an account that is disabled", async () => {
    const { path } = await add();
    await visitor.fill(`${path}/disable`);
    expect((await visitor.open(path)).html).not.toContain(`${path}/reconcile`);
    const sent = await visitor.fill(`${path}/reconcile`);
    expect([sent.status, sent.text.includes("disabled")]).toEqual([409, true]);
  });
});
