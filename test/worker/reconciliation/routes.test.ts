/** Reconciliation on demand: beginning a run, reading runs, and what is refused. */
import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import type { RunResponse } from "../../../src/reconciliation/routes/run-schemas";
import { SCOPE_NAMES, type Scope } from "../../../src/scopes";
import { type Body, type Client, client, newKey, newMerchant } from "../client";
import { DAY_MS, HOUR_MS, newAccount, Shop } from "./ledger";

interface Page {
  data: RunResponse[];
  next_cursor: string | null;
}

const NONE = {
  ...{ late_success: 0, amount_mismatch: 0, over_refunded: 0, unknown_payment: 0, missing_here: 0 },
  ...{ missing_there: 0, status_mismatch: 0, unknown_refund: 0, unknown_dispute: 0 },
};

let shop: Shop;
let api: Client;
beforeEach(async () => {
  shop = await Shop.open();
  api = client(undefined, { key: await newKey(undefined, shop.merchantId) });
});

const pathOf = (account = shop.account) => `/api/v1/provider-accounts/${account}`;
const reconcile = (body?: unknown, { account = shop.account, key = "", by = api } = {}) =>
  by.request<RunResponse & Body>("POST", `${pathOf(account)}/reconcile`, {
    ...(body !== undefined && { body }),
    ...(key && { headers: { "Idempotency-Key": key } }),
  });
const list = (query = "", account = shop.account) =>
  api.request<Page>("GET", `${pathOf(account)}/reconciliations${query}`);

const iso = (at: number) => new Date(at).toISOString();
const near = (text: string, at: number) => expect(Math.abs(Date.parse(text) - at)).toBeLessThan(60_000);

/** Has a run of the account end, as one that the service began. */
const end = (id: number, state: "done" | "failed", changes: { to?: number; source?: string } = {}) =>
  env.DB.prepare(
    "UPDATE reconciliation_runs SET state = ?, finished_at = started_at, due_at = NULL, to_at = coalesce(?, to_at), from_at = min(from_at, coalesce(?, to_at) - 1), source = ? WHERE id = ?",
  )
    .bind(state, changes.to ?? null, changes.to ?? null, changes.source ?? "service", id)
    .run();

describe("a run on demand", () => {
  it("is begun over the last seven days where there was none, and says where it is read", async () => {
    const { status, headers, body } = await reconcile();
    expect([status, headers.get("Location")]).toEqual([202, `${pathOf()}/reconciliations/${body.id}`]);
    expect(body).toMatchObject({
      ...{ account: shop.account, state: "running", source: "request", compared: 0, differing: 0, items: NONE },
      ...{ failing_since: null, failure: null, finished_at: null },
    });
    near(body.to, Date.now());
    expect(Date.parse(body.to) - Date.parse(body.from)).toBe(7 * DAY_MS);
    const read = await api.request<RunResponse>("GET", headers.get("Location") ?? "");
    expect(read.body).toEqual(body);
    expect((await list()).body.data).toEqual([body]);
  });

  it("takes no body, null, and an empty object alike", async () => {
    for (const body of [undefined, null, {}]) {
      const { status, body: run } = await reconcile(body);
      expect(status).toBe(202);
      await end(run.id, "failed");
    }
  });

  it("is of the time that is asked for, to the millisecond", async () => {
    const [from, to] = [Date.now() - 31 * DAY_MS, Date.now() - 1];
    const { status, body } = await reconcile({ from: iso(from), to: iso(to) });
    expect([status, body.from, body.to]).toEqual([202, iso(from), iso(to)]);
    const row = await env.DB.prepare("SELECT from_at, to_at, key_id FROM reconciliation_runs WHERE id = ?")
      .bind(body.id)
      .first();
    expect(row).toEqual({ from_at: from, to_at: to, key_id: expect.stringMatching(/^\w{12}$/) });
  });

  it("goes from a day before the end of the last run that the service began and that is done", async () => {
    const to = Date.now() - 3 * DAY_MS;
    await end((await reconcile()).body.id, "done", { to });
    // What failed, and what a request asked for, leaves no mark.
    await end((await reconcile({ from: iso(to + HOUR_MS) })).body.id, "failed");
    await end((await reconcile({ from: iso(to + HOUR_MS) })).body.id, "done", { source: "request" });
    expect((await reconcile()).body.from).toBe(iso(to - DAY_MS));
  });

  it("goes back 31 days at most", async () => {
    await end((await reconcile()).body.id, "done", { to: Date.now() - 40 * DAY_MS });
    near((await reconcile()).body.from, Date.now() - 31 * DAY_MS);
  });

  it("is recorded in the account events", async () => {
    const { body } = await reconcile();
    const { body: trail } = await api.request<{ data: object[] }>(
      "GET",
      "/api/v1/account-events?type=reconciliation_run.started",
    );
    expect(trail.data).toMatchObject([
      { subject: String(body.id), data: { account: shop.account, from_at: body.from, to_at: body.to } },
    ]);
  });

  it("is one at a time, of an account", async () => {
    const answers = await Promise.all([reconcile(), reconcile(), reconcile()]);
    expect(answers.map(({ status }) => status).sort()).toEqual([202, 409, 409]);
    expect((await reconcile()).body.type).toBe("/problems/reconciliation-in-progress");
    const other = `stripe_${await newAccount(shop.merchantId)}`;
    expect((await reconcile(undefined, { account: other })).status).toBe(202);
    const [running] = (await list()).body.data;
    await end(running?.id ?? 0, "done");
    expect((await reconcile()).status).toBe(202);
  });

  it("is begun once for one key", async () => {
    const first = await reconcile({}, { key: "nightly" });
    await end(first.body.id, "done");
    const again = await reconcile({}, { key: "nightly" });
    expect([again.status, again.replayed, again.body.id]).toEqual([202, true, first.body.id]);
    const other = await reconcile({ from: iso(Date.now() - HOUR_MS) }, { key: "nightly" });
    expect(other.body.type).toBe("/problems/idempotency-key-reused");
    expect((await list()).body.data.length).toBe(1);
  });
});

const DATE = /^Must be an RFC 3339 time/;
const now = Date.now();

describe("what is refused", () => {
  it.each([
    ["a window that is reversed", { from: iso(now - HOUR_MS), to: iso(now - 2 * HOUR_MS) }, "to", /later than from/],
    ["a window of nothing", { from: iso(now - HOUR_MS), to: iso(now - HOUR_MS) }, "to", /later than from/],
    [
      "a window that is too long",
      { from: iso(now - 32 * DAY_MS), to: iso(now - DAY_MS + 1) },
      "to",
      /^Must be at most 31 days after from$/,
    ],
    [
      "a window that begins too early",
      { from: iso(now - 31 * DAY_MS - 60_000) },
      "from",
      /^Must be at most 31 days ago$/,
    ],
    [
      "a window that ends in the future",
      { from: iso(now), to: iso(now + DAY_MS) },
      "to",
      /^Must not be in the future$/,
    ],
    ["a window in the future", { from: iso(now + DAY_MS), to: iso(now + 2 * DAY_MS) }, "to", /future/],
    ["a beginning in the future", { from: iso(now + DAY_MS) }, "from", /future/],
    ["an end without a beginning", { to: iso(now - DAY_MS) }, "from", /^Required with to$/],
    ["no time", { from: "yesterday" }, "from", DATE],
    ["a number", { from: 1_795_000_000 }, "from", DATE],
    ["null", { from: null }, "from", DATE],
    ["a field that there is not", { form: iso(now) }, "form", /^Unknown field$/],
  ])("%s", async (_, body, field, detail) => {
    const answer = await reconcile(body);
    expect([answer.status, answer.body.errors]).toEqual([
      422,
      [{ detail: expect.stringMatching(detail), pointer: `#/${field}` }],
    ]);
    expect((await list()).body.data).toEqual([]);
  });

  it.each([[], true, 5])("a body that is no object: %j", async (body) => {
    expect((await reconcile(body)).status).toBe(422);
  });

  it("an account of another merchant, one that there is not, and one of another provider", async () => {
    const stranger = await Shop.open();
    for (const account of [
      stranger.account,
      "stripe_9007199254740991",
      shop.account.replace("stripe", "mollie"),
      "sandbox_1",
    ]) {
      for (const answer of [await reconcile({}, { account }), await list("", account)]) {
        expect([answer.status, answer.body]).toMatchObject([404, { type: "/problems/provider-account-not-found" }]);
      }
    }
    expect((await list("", "Stripe")).status).toBe(422);
    expect((await reconcile({}, { account: "stripe_0" })).status).toBe(422);
  });

  it("a disabled account", async () => {
    await env.DB.prepare("UPDATE provider_accounts SET disabled_at = 2, updated_at = 2 WHERE id = ?")
      .bind(shop.accountId)
      .run();
    expect((await reconcile()).body).toMatchObject({ status: 409, type: "/problems/provider-account-disabled" });
    expect((await list()).body.data).toEqual([]);
  });

  it("a run of another account, and one that there is not", async () => {
    const { body } = await reconcile();
    const other = `stripe_${await newAccount(shop.merchantId)}`;
    for (const path of [
      `${pathOf(other)}/reconciliations/${body.id}`,
      `${pathOf()}/reconciliations/9007199254740991`,
    ]) {
      expect((await api.request("GET", path)).body.type).toBe("/problems/reconciliation-run-not-found");
    }
    expect((await api.request("GET", `${pathOf()}/reconciliations/0`)).status).toBe(422);
  });

  it("a key without the scope providers:manage", async () => {
    const others = SCOPE_NAMES.filter((scope): scope is Scope => scope !== "providers:manage");
    const by = client(undefined, { key: await newKey(others, shop.merchantId) });
    expect((await reconcile({}, { by })).body.type).toBe("/problems/insufficient-scope");
  });
});

describe("the list of runs", () => {
  it("is newest first, page by page, with what each has found", async () => {
    const ids: number[] = [];
    for (let runs = 0; runs < 3; runs++) {
      const { id } = (await reconcile()).body;
      ids.unshift(id);
      await end(id, "done");
    }
    await env.DB.prepare("UPDATE reconciliation_runs SET compared = 9, differing = 2, items = ? WHERE id = ?")
      .bind('{"missing_there":2}', ids[0] ?? 0)
      .run();
    const first = (await list("?limit=2")).body;
    expect(first.data.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    expect(first.data[0]).toMatchObject({ compared: 9, differing: 2, items: { ...NONE, missing_there: 2 } });
    const rest = (await list(`?limit=2&cursor=${first.next_cursor}`)).body;
    expect([rest.data.map(({ id }) => id), rest.next_cursor]).toEqual([ids.slice(2), null]);
  });

  it("is of the account alone", async () => {
    await reconcile();
    expect((await list("", `stripe_${await newAccount(shop.merchantId)}`)).body.data).toEqual([]);
    expect(await newMerchant()).toBeGreaterThan(shop.merchantId);
  });
});
