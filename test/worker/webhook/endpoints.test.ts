import { createExecutionContext } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { Webhook } from "standardwebhooks";
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { z } from "zod";
import { app } from "../../../src/app";
import { publicId } from "../../../src/auth/api-key";
import { pageSchema } from "../../../src/http/pages";
import { EVENT_TYPE_NAMES } from "../../../src/outbox/event-types";
import { type TestSchema, WebhookEndpointSchema } from "../../../src/webhook/routes/schemas";
import { sweepDeliveries } from "../../../src/webhook/wake";
import { type Answer, type Client, client, newKey, ORDER } from "../client";
import { losesNth } from "../d1";
import { envWithD1 } from "../objects";
import { newMerchant } from "../payment-list";
import { answers, listen, type Received, Receiver, type Reply } from "../receiver";

/** Each is a row written with every event that it receives, in the batch of the payment's change. */
const MAX_ENDPOINTS = 20;
/** What an error page begins with; fifty attempts of a delivery then keep 25 KB. */
const MAX_RESPONSE_BYTES_KEPT = 512;

// Some wait for what the runtime does by itself, or write thousands of rows, also on a busy machine.
vi.setConfig({ testTimeout: 20_000 });

const ENDPOINTS = "/api/v1/webhook-endpoints";
const SECOND = 1000;
const DAY_MS = 24 * 3600 * SECOND;

/** An endpoint; with its secret in the answer to the request that made that. */
type WebhookEndpoint = z.output<typeof WebhookEndpointSchema> & { secret?: string };
const PageSchema = pageSchema(WebhookEndpointSchema);

function receiverThat(reply: Reply): Receiver {
  const receiver = new Receiver();
  receiver.always(reply);
  return receiver;
}

// Nothing leaves this machine: the receivers are all the servers that there are.
beforeAll(listen);

let merchant: Awaited<ReturnType<typeof newMerchant>>;
let api: Client;
beforeEach(async () => {
  merchant = await newMerchant();
  ({ api } = merchant);
});
afterEach(() => {
  vi.useRealTimers();
});

const keyed = (key?: string): HeadersInit => (key === undefined ? {} : { "Idempotency-Key": key });
const create = (body: object, key?: string, by = api) =>
  by.request<WebhookEndpoint>("POST", ENDPOINTS, { body, headers: keyed(key) });
const get = (id: number, by = api) => by.request<WebhookEndpoint>("GET", `${ENDPOINTS}/${id}`);
const patch = (id: number, body: object, by = api) =>
  by.request<WebhookEndpoint>("PATCH", `${ENDPOINTS}/${id}`, { body });
const remove = (id: number, by = api) => by.request("DELETE", `${ENDPOINTS}/${id}`);
const roll = (id: number, overlap_seconds: number, key?: string, by = api) =>
  by.request<WebhookEndpoint>("POST", `${ENDPOINTS}/${id}/roll`, { body: { overlap_seconds }, headers: keyed(key) });

async function list(query = "", by = api) {
  const { status, body } = await by.request("GET", `${ENDPOINTS}${query}`);
  expect(status).toBe(200);
  return PageSchema.parse(body);
}

/** A new endpoint of the test's merchant, at a receiver that takes everything unless told otherwise. */
async function made(more: object = {}, receiver = new Receiver()) {
  const { status, body } = await create({ url: receiver.url, ...more });
  expect(status).toBe(201);
  const { secret = "", ...shown } = body;
  return { id: body.id, secret, shown, receiver };
}

/** What came of a test event. */
async function test(id: number, by = api) {
  const { status, body } = await by.request<z.output<typeof TestSchema>>("POST", `${ENDPOINTS}/${id}/test`);
  expect(status).toBe(200);
  return body;
}

/** The signatures of a message by these secrets, as the specification's own library makes them. */
function signaturesBy(secrets: readonly string[], { headers, body }: Received): string {
  const at = new Date(Number(headers.get("webhook-timestamp")) * SECOND);
  return secrets.map((secret) => new Webhook(secret).sign(headers.get("webhook-id") ?? "", at, body)).join(" ");
}

/** Holds what an endpoint is sent now to be signed by these secrets, and by no other. */
async function expectSignedBy(secrets: readonly string[], id: number, { received }: Receiver) {
  expect((await test(id)).succeeded).toBe(true);
  const last = received.at(-1);
  if (!last) throw new Error("Nothing was sent");
  expect(last.headers.get("webhook-signature")).toBe(signaturesBy(secrets, last));
}

/** How many endpoints the test's merchant has, deleted ones too. */
async function count(): Promise<number> {
  const found = env.DB.prepare("SELECT count(*) AS n FROM webhook_endpoints WHERE merchant_id = ?");
  return (await found.bind(merchant.id).first<number>("n")) ?? 0;
}

/** The trail of what the test's merchant has done to its endpoints. */
async function trail() {
  const { results } = await env.DB.prepare(
    `SELECT type, subject, json(data) AS data, actor_merchant_id, key_id, request_id FROM account_events
     WHERE merchant_id = ? AND type LIKE 'webhook_endpoint.%' ORDER BY id`,
  )
    .bind(merchant.id)
    .all<{ type: string; subject: string; data: string; key_id: string; request_id: string }>();
  return results.map(({ data, ...event }) => ({ ...event, data: JSON.parse(data) }));
}
const trailTypes = async () => (await trail()).map(({ type }) => type.replace("webhook_endpoint.", ""));

/** Everything that is stored, but for the columns that hold secrets. */
async function dump(): Promise<string> {
  const { results: tables } = await env.DB.prepare(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
  ).all<{ name: string }>();
  const rows = tables.map(async ({ name }) => {
    const { results } = await env.DB.prepare(`SELECT * FROM "${name}"`).all();
    return results.map((row) => (name === "webhook_endpoints" ? { ...row, secret: 0, previous_secret: 0 } : row));
  });
  return JSON.stringify(await Promise.all(rows));
}

const problemOf = ({ status, body }: Answer<unknown>) => ({ status, body });
const NOT_FOUND = { status: 404, body: { type: "/problems/webhook-endpoint-not-found" } };

describe("create", () => {
  it("shows the endpoint with its secret, and where it is", async () => {
    const before = Date.now();
    const { status, headers, body } = await create({ url: "https://shop.example.com/webhooks" });
    expect(status).toBe(201);
    expect(body).toEqual({
      id: body.id,
      url: "https://shop.example.com/webhooks",
      url_set_by: publicId(merchant.key),
      types: EVENT_TYPE_NAMES,
      all_types: true,
      enabled: true,
      disabled_at: null,
      disabled_reason: null,
      failing_since: null,
      previous_secret_ends_at: null,
      created_at: body.created_at,
      updated_at: body.created_at,
      secret: expect.stringMatching(/^whsec_[\w+/]{43}=$/),
    });
    expect(Date.parse(body.created_at)).toBeGreaterThanOrEqual(before);
    expect(Date.parse(body.created_at)).toBeLessThanOrEqual(Date.now());
    expect(headers.get("Location")).toBe(`${ENDPOINTS}/${body.id}`);
    const { secret: _, ...shown } = body;
    expect((await get(body.id)).body).toEqual(shown);
  });

  it("keeps the URL in its normal spelling, and the types once each in their order", async () => {
    const { body } = await create({
      url: "HTTPS://Shop.Example.com:443/a/../b?x=1",
      types: ["payment.refunded", "payment.created", "payment.refunded"],
    });
    expect(body).toMatchObject({
      url: "https://shop.example.com/b?x=1",
      types: ["payment.created", "payment.refunded"],
    });
  });

  it("makes each endpoint a secret of its own, also at the same URL", async () => {
    const receiver = new Receiver();
    const [one, other] = [await made({}, receiver), await made({}, receiver)];
    expect(one.id).not.toBe(other.id);
    expect(one.secret).not.toBe(other.secret);
  });

  it("shows a secret once: no other answer, log line, event or column has it", async () => {
    const logged = (["log", "error", "warn"] as const).map((level) => vi.spyOn(console, level));
    const { id, secret, receiver } = await made();
    const seen: Answer<unknown>[] = [];
    const note = async <B>(answer: Promise<Answer<B>>) => {
      const { body, ...rest } = await answer;
      seen.push({ ...rest, body });
      return body;
    };
    const { secret: next = "" } = (await roll(id, 60, "the-roll")).body;
    await note(roll(id, 60, "the-roll"));
    const payment = await note(api.create(ORDER));
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1), 15 * SECOND);
    await note(get(id));
    await note(api.request("GET", ENDPOINTS));
    await note(patch(id, { types: ["payment.refunded"] }));
    await note(api.request("POST", `${ENDPOINTS}/${id}/test`));
    await note(api.request("GET", `${ENDPOINTS}/${id}/deliveries`));
    await note(api.request("POST", `${ENDPOINTS}/${id}/deliveries/evt_${payment.id}_1/retry`));
    await note(api.request("GET", "/api/v1/events"));
    await note(remove(id));

    const lines = JSON.stringify(logged.flatMap(({ mock }) => mock.calls));
    for (const spy of logged) spy.mockRestore();
    expect(lines).toContain(`"status\\":201`);
    const sent = JSON.stringify(receiver.received.map(({ headers, body }) => [[...headers], body]));
    const told = JSON.stringify(seen.map(({ headers, body }) => [[...headers], body]));
    const stored = await dump();
    for (const each of [secret, next]) {
      const bytes = each.slice("whsec_".length, -1);
      expect(bytes).toHaveLength(43);
      for (const [where, text] of Object.entries({ told, lines, sent, stored })) {
        expect(text, where).not.toContain(bytes);
      }
    }
    expect(secret).not.toBe(next);
    // The endpoint is deleted, so not even its row has them.
    const { results } = await env.DB.prepare("SELECT secret, previous_secret FROM webhook_endpoints WHERE id = ?")
      .bind(id)
      .all();
    expect(results).toEqual([{ secret: null, previous_secret: null }]);
  });

  it("is replayed for its idempotency key: one endpoint, whose secret is not shown again", async () => {
    const body = { url: "https://shop.example.com/webhooks", types: ["payment.created", "payment.failed"] };
    const first = await create(body, "once");
    expect([first.status, first.replayed]).toEqual([201, false]);
    const { secret: _, ...shown } = first.body;
    for (const same of [
      body,
      { ...body, types: ["payment.failed", "payment.created", "payment.failed"] },
      { ...body, url: "https://SHOP.example.com:443/webhooks" },
    ]) {
      const again = await create(same, "once");
      expect([again.status, again.replayed]).toEqual([200, true]);
      expect(again.body).toEqual(shown);
      expect(again.headers.get("Location")).toBe(first.headers.get("Location"));
    }
    // As it is now.
    await patch(shown.id, { enabled: false });
    expect((await create(body, "once")).body.enabled).toBe(false);
    expect(await count()).toBe(1);
    expect(await trailTypes()).toEqual(["created", "updated"]);
  });

  it("has nothing to show to the idempotency key of an endpoint that is deleted", async () => {
    const { body } = await create({ url: "https://shop.example.com/" }, "deleted");
    await remove(body.id);
    expect(await create({ url: "https://shop.example.com/" }, "deleted")).toMatchObject(NOT_FOUND);
    expect(await count()).toBe(1);
  });

  it.each([
    ["another URL", { url: "https://other.example.com/" }],
    ["other types", { types: ["payment.created"] }],
  ])("refuses the idempotency key for %s", async (_, other) => {
    const body = { url: "https://shop.example.com/", types: EVENT_TYPE_NAMES };
    await create(body, "one");
    const { status, body: problem } = await create({ ...body, ...other }, "one");
    expect([status, problem]).toMatchObject([409, { type: "/problems/idempotency-key-reused" }]);
    expect(await count()).toBe(1);
  });

  it("refuses the idempotency key of another operation, and leaves another merchant's alone", async () => {
    const { id } = await made();
    await roll(id, 0, "of-a-roll");
    expect((await create({ url: "https://shop.example.com/" }, "of-a-roll")).status).toBe(409);
    const { api: other } = await newMerchant();
    expect((await create({ url: "https://shop.example.com/" }, "of-a-roll", other)).status).toBe(201);
  });

  it("makes one endpoint of ten concurrent requests with one idempotency key", async () => {
    const body = { url: "https://shop.example.com/" };
    const answers = await Promise.all(Array.from({ length: 10 }, () => create(body, "crowd")));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(9).fill(200), 201]);
    expect(answers.filter((answer) => answer.body.secret !== undefined)).toHaveLength(1);
    expect(await count()).toBe(1);
  });

  it(`has at most ${MAX_ENDPOINTS} for a merchant, disabled ones included`, async () => {
    const [{ id }] = [await made()];
    await patch(id, { enabled: false });
    for (let n = 2; n < MAX_ENDPOINTS; n++) await made();
    const last = { url: "https://last.example.com/" };
    expect((await create(last, "the-last")).status).toBe(201);
    const refused = await create({ url: "https://shop.example.com/" }, "one-more");
    expect(problemOf(refused)).toMatchObject({ status: 409, body: { type: "/problems/too-many-webhook-endpoints" } });
    expect(await count()).toBe(MAX_ENDPOINTS);
    // A replay makes none, and another merchant has its own.
    expect((await create(last, "the-last")).status).toBe(200);
    const { api: other } = await newMerchant();
    expect((await create(last, undefined, other)).status).toBe(201);
    // What is deleted makes room, and a refusal has not used its key up.
    await remove(id);
    expect((await create({ url: "https://shop.example.com/" }, "one-more")).status).toBe(201);
    expect((await create(last)).status).toBe(409);
  });

  it(`has at most ${MAX_ENDPOINTS} of requests at once`, async () => {
    const requests = Array.from({ length: MAX_ENDPOINTS + 5 }, () => create({ url: "https://shop.example.com/" }));
    const statuses = (await Promise.all(requests)).map(({ status }) => status);
    expect(statuses.sort()).toEqual([...Array(MAX_ENDPOINTS).fill(201), ...Array(5).fill(409)]);
    expect(await count()).toBe(MAX_ENDPOINTS);
  });
});

describe("a change whose answer was lost on the way to the Worker is made once, and shown, whichever answer it was:", () => {
  const lossy = (n: number) => client(envWithD1(losesNth(env.DB, n)), { key: merchant.key });

  it.each([1, 2, 3])("create, trip %i", async (n) => {
    const receiver = new Receiver();
    const { status, body } = await create({ url: receiver.url }, undefined, lossy(n));
    expect(status).toBe(201);
    await expectSignedBy([body.secret ?? ""], body.id, receiver);
    expect([await count(), await trailTypes()]).toEqual([1, ["created"]]);
  });

  it.each([1, 2, 3])("roll, trip %i", async (n) => {
    const { id, secret, receiver } = await made();
    const { status, body } = await roll(id, 60, undefined, lossy(n));
    expect(status).toBe(201);
    await expectSignedBy([body.secret ?? "", secret], id, receiver);
    expect(await trailTypes()).toEqual(["created", "rolled"]);
  });

  it.each([1, 2, 3, 4])("update, trip %i", async (n) => {
    const { id } = await made();
    const { status, body } = await patch(id, { enabled: false }, lossy(n));
    expect([status, body.enabled]).toEqual([200, false]);
    expect(await trailTypes()).toEqual(["created", "updated"]);
  });

  it.each([1, 2, 3])("delete, trip %i", async (n) => {
    const { id } = await made();
    expect((await remove(id, lossy(n))).status).toBe(204);
    expect(await trailTypes()).toEqual(["created", "deleted"]);
  });
});

describe("list and get", () => {
  it("show a merchant's endpoints, newest first, page by page in both directions", async () => {
    const ids: number[] = [];
    for (let n = 0; n < 5; n++) ids.unshift((await made()).id);
    const first = await list("?limit=2");
    const second = await list(`?limit=2&cursor=${first.next_cursor}`);
    const third = await list(`?limit=2&cursor=${second.next_cursor}`);
    const pages = [first, second, third];
    expect(pages.map(({ data }) => data.map(({ id }) => id))).toEqual([ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)]);
    expect(pages.map(({ has_more }) => has_more)).toEqual([true, true, false]);
    expect(third.next_cursor).toBeNull();

    const back = await list(`?limit=2&cursor=${third.previous_cursor}`);
    expect(back.data).toEqual(second.data);
    expect((await list(`?limit=2&cursor=${back.previous_cursor}`)).data).toEqual(first.data);
    const newest = await list(`?limit=2&cursor=${first.previous_cursor}`);
    expect(newest.data).toEqual([]);
    const { shown } = await made();
    expect((await list(`?limit=2&cursor=${newest.previous_cursor}`)).data).toEqual([shown]);
  });

  it("link to the pages before and after", async () => {
    await made();
    await made();
    const { headers } = await api.request("GET", `${ENDPOINTS}?limit=1`);
    const { next_cursor, previous_cursor } = await list("?limit=1");
    expect(headers.get("Link")).toBe(
      [
        `<${ENDPOINTS}?limit=1>; rel="first"`,
        `<${ENDPOINTS}?limit=1&cursor=${previous_cursor}>; rel="prev"`,
        `<${ENDPOINTS}?limit=1&cursor=${next_cursor}>; rel="next"`,
      ].join(", "),
    );
  });

  it("are empty for a merchant without endpoints", async () => {
    expect(await list()).toEqual({ data: [], has_more: false, next_cursor: null, previous_cursor: null });
  });

  it("show endpoints that are disabled, and none that is deleted", async () => {
    const [one, two, three] = [await made(), await made(), await made()];
    const disabled = await patch(one.id, { enabled: false });
    await remove(two.id);
    expect((await list()).data).toEqual([three.shown, disabled.body]);
  });
});

describe("update", () => {
  const OTHER = { url: "https://other.example.com/hooks", types: ["payment.failed" as const], enabled: false };

  it.each<[what: string, body: Partial<typeof OTHER>]>([
    ["the URL", { url: OTHER.url }],
    ["the types", { types: OTHER.types }],
    ["whether it is enabled", { enabled: OTHER.enabled }],
    ["all of it", OTHER],
  ])("changes %s, and nothing else", async (_, body) => {
    const { id, shown } = await made();
    const later = Date.now() + 5 * SECOND;
    vi.setSystemTime(later);
    const at = new Date(later).toISOString();
    const { status, body: after } = await patch(id, body);
    const expected = {
      ...shown,
      ...body,
      all_types: body.types === undefined,
      updated_at: at,
      ...(body.enabled === false && { disabled_at: at, disabled_reason: "requested" }),
    };
    expect([status, after]).toEqual([200, expected]);
    expect((await get(id)).body).toEqual(expected);
    expect((await trail()).slice(1)).toMatchObject([{ type: "webhook_endpoint.updated", data: body }]);
  });

  it("changes nothing where there is nothing to change, and leaves no trace", async () => {
    const { id, shown, receiver } = await made({ types: ["payment.created", "payment.failed"] });
    vi.setSystemTime(Date.now() + 5 * SECOND);
    for (const same of [
      {},
      { url: receiver.url },
      { url: receiver.url.replace("https://", "HTTPS://") },
      { types: ["payment.failed", "payment.created"] },
      { enabled: true },
      { url: receiver.url, types: shown.types, enabled: true },
    ]) {
      const { status, body } = await patch(id, same);
      expect([status, body]).toEqual([200, shown]);
    }
    expect(await trailTypes()).toEqual(["created"]);
  });

  it("keeps since when and why an endpoint is disabled, until it is enabled", async () => {
    const { id, shown } = await made();
    const now = Date.now() + 5 * SECOND;
    vi.setSystemTime(now);
    const { body: disabled } = await patch(id, { enabled: false });
    vi.setSystemTime(now + SECOND);
    expect((await patch(id, { enabled: false })).body).toEqual(disabled);
    const changed = await patch(id, { enabled: false, types: ["payment.failed"] });
    expect(changed.body).toMatchObject({ disabled_at: disabled.disabled_at, types: ["payment.failed"] });
    await patch(id, { all_types: true });
    vi.setSystemTime(now + 2 * SECOND);
    const { body: enabled } = await patch(id, { enabled: true });
    expect(enabled).toEqual({ ...shown, updated_at: new Date(now + 2 * SECOND).toISOString() });
    expect(await trailTypes()).toEqual(["created", "updated", "updated", "updated", "updated"]);
  });

  it.each(["gone", "failing"])("gives an endpoint that was disabled as %s a new start", async (reason) => {
    const { id } = await made();
    const since = Date.now() - 6 * DAY_MS;
    const disable = `UPDATE webhook_endpoints SET disabled_at = ?, disabled_reason = ?, failing_since = ? WHERE id = ?`;
    await env.DB.prepare(disable).bind(Date.now(), reason, since, id).run();
    const { body: stays } = await patch(id, { enabled: false });
    expect(stays).toMatchObject({ disabled_reason: reason, failing_since: new Date(since).toISOString() });
    expect((await patch(id, { enabled: false, types: ["payment.created"] })).body).toEqual({
      ...stays,
      types: ["payment.created"],
      all_types: false,
      updated_at: expect.any(String),
    });
    const { body } = await patch(id, { enabled: true });
    expect(body).toMatchObject({ enabled: true, disabled_at: null, disabled_reason: null, failing_since: null });
  });

  it("of the URL is a new start: the failures of the old one say nothing of it", async () => {
    const { id } = await made();
    const age = env.DB.prepare("UPDATE webhook_endpoints SET failing_since = ? WHERE id = ?");
    await age.bind(Date.now() - 6 * DAY_MS, id).run();
    expect((await patch(id, { url: new Receiver().url })).body).toMatchObject({ failing_since: null });
  });

  it("of the URL is where the next event goes", async () => {
    const { id, receiver } = await made();
    const next = new Receiver();
    await patch(id, { url: next.url });
    await test(id);
    expect([receiver.received.length, next.received.length]).toEqual([0, 1]);
  });
});

describe("delete", () => {
  it("answers 204, and from then on there is no such endpoint but in its delivery log", async () => {
    const { id, receiver } = await made();
    const { body: payment } = await api.create(ORDER);
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1), 15 * SECOND);
    const { status, body } = await remove(id);
    expect([status, body]).toEqual([204, null]);
    const answers = [
      await get(id),
      await patch(id, { enabled: false }),
      await patch(id, {}),
      await remove(id),
      await roll(id, 0),
      await api.request("POST", `${ENDPOINTS}/${id}/test`),
      await api.request("POST", `${ENDPOINTS}/${id}/deliveries/evt_${payment.id}_1/retry`),
      await api.request("POST", `${ENDPOINTS}/${id}/replay`, {
        body: { from: "2026-01-01T00:00:00Z", to: "2100-01-01T00:00:00Z" },
      }),
    ];
    for (const answer of answers) expect(answer).toMatchObject(NOT_FOUND);
    expect((await list()).data).toEqual([]);
    expect(receiver.received).toHaveLength(1);
    const log = await api.request<{ data: object[] }>("GET", `${ENDPOINTS}/${id}/deliveries`);
    expect([log.status, log.body.data]).toMatchObject([200, [{ event_id: `evt_${payment.id}_1` }]]);
    expect(await trailTypes()).toEqual(["created", "deleted"]);
  });

  it("is of one of two requests at once", async () => {
    const { id } = await made();
    const statuses = (await Promise.all([remove(id), remove(id)])).map(({ status }) => status);
    expect(statuses.sort()).toEqual([204, 404]);
  });
});

describe("roll", () => {
  it("makes a new secret beside which the old one signs, to the end of the overlap and no longer", async () => {
    const now = Date.now();
    vi.setSystemTime(now);
    const { id, secret, shown, receiver } = await made();
    await expectSignedBy([secret], id, receiver);
    vi.setSystemTime(now + SECOND);
    const { status, headers, body } = await roll(id, 3600);
    expect(status).toBe(201);
    expect(headers.get("Location")).toBe(`${ENDPOINTS}/${id}`);
    const end = now + SECOND + 3600 * SECOND;
    const { secret: next = "", ...after } = body;
    expect(after).toEqual({
      ...shown,
      previous_secret_ends_at: new Date(end).toISOString(),
      updated_at: new Date(now + SECOND).toISOString(),
    });
    expect((await get(id)).body).toEqual(after);
    expect(next).not.toBe(secret);
    vi.setSystemTime(end - 1);
    await expectSignedBy([next, secret], id, receiver);
    expect((await get(id)).body.previous_secret_ends_at).toBe(new Date(end).toISOString());
    vi.setSystemTime(end);
    await expectSignedBy([next], id, receiver);
    expect((await get(id)).body.previous_secret_ends_at).toBeNull();
  });

  it("without an overlap ends the old secret at once", async () => {
    const { id, receiver } = await made();
    const { body } = await roll(id, 0);
    expect(body.previous_secret_ends_at).toBeNull();
    await expectSignedBy([body.secret ?? ""], id, receiver);
  });

  it("twice leaves the two newest secrets, whatever time the oldest had", async () => {
    const now = Date.now();
    vi.setSystemTime(now);
    const { id, receiver } = await made();
    const { secret: second = "" } = (await roll(id, 7200)).body;
    vi.setSystemTime(now + SECOND);
    const { secret: third = "", previous_secret_ends_at } = (await roll(id, 60)).body;
    expect(previous_secret_ends_at).toBe(new Date(now + 61 * SECOND).toISOString());
    await expectSignedBy([third, second], id, receiver);
    vi.setSystemTime(now + 61 * SECOND);
    await expectSignedBy([third], id, receiver);
  });

  it("takes place of an endpoint that is disabled, too", async () => {
    const { id, receiver } = await made();
    await patch(id, { enabled: false });
    const { status, body } = await roll(id, 0);
    expect([status, body.enabled]).toEqual([201, false]);
    await expectSignedBy([body.secret ?? ""], id, receiver);
  });

  it("has the sweep wipe the old secret when its time has ended, and not before", async () => {
    const { id } = await made();
    const now = Date.now() + 5 * SECOND;
    vi.setSystemTime(now);
    const { body } = await roll(id, 60);
    const stored = async () => {
      const sql = "SELECT secret, previous_secret, previous_secret_ends_at FROM webhook_endpoints WHERE id = ?";
      return env.DB.prepare(sql).bind(id).first();
    };
    const before = await stored();
    expect(before).toMatchObject({ secret: body.secret, previous_secret_ends_at: now + 60 * SECOND });
    await sweepDeliveries(env.DB, env.WEBHOOK_ENDPOINT, now + 60 * SECOND - 1);
    expect(await stored()).toEqual(before);
    const swept = await sweepDeliveries(env.DB, env.WEBHOOK_ENDPOINT, now + 60 * SECOND);
    expect(swept.secrets_wiped).toBe(1);
    expect(await stored()).toEqual({ secret: body.secret, previous_secret: null, previous_secret_ends_at: null });
    // Without an overlap there is none to keep.
    const { body: next } = await roll(id, 0);
    expect(await stored()).toEqual({ secret: next.secret, previous_secret: null, previous_secret_ends_at: null });
  });

  it("is replayed for its idempotency key: one new secret, which is not shown again", async () => {
    const { id, secret, receiver } = await made();
    const first = await roll(id, 60, "roll-once");
    const { secret: next = "", ...shown } = first.body;
    const again = await roll(id, 60, "roll-once");
    expect([again.status, again.replayed, again.body]).toEqual([200, true, shown]);
    expect(again.headers.get("Location")).toBe(first.headers.get("Location"));
    expect((await roll(id, 61, "roll-once")).status).toBe(409);
    const other = await made();
    expect((await roll(other.id, 60, "roll-once")).status).toBe(409);
    await expectSignedBy([next, secret], id, receiver);
    await expectSignedBy([other.secret], other.id, other.receiver);
    expect(await trailTypes()).toEqual(["created", "rolled", "created"]);
  });
});

describe("a test event", () => {
  it("is sent at once and signed, and what came of it is the answer", async () => {
    const receiver = receiverThat(answers(202, "Thank you"));
    const { id, secret } = await made({}, receiver);
    const now = Date.now() + 5 * SECOND;
    vi.setSystemTime(now);
    const came = await test(id);
    expect(came).toEqual({
      event_id: expect.stringMatching(/^evt_test_[\da-f-]{36}$/),
      succeeded: true,
      at: new Date(now).toISOString(),
      duration_ms: 0,
      http_status: 202,
      error: null,
      answer: "Thank you",
    });
    expect(receiver.received).toHaveLength(1);
    const [sent] = receiver.received;
    if (!sent) throw new Error("Nothing was sent");
    expect(() => new Webhook(secret).verify(sent.body, Object.fromEntries(sent.headers))).not.toThrow();
    expect(JSON.parse(sent.body)).toEqual({
      id: came.event_id,
      type: "webhook_endpoint.test",
      timestamp: new Date(now).toISOString(),
      data: { webhook_endpoint_id: id },
    });
    expect(sent.method).toBe("POST");
    expect(Object.fromEntries(sent.headers)).toEqual({
      "content-type": "application/json",
      "user-agent": "payment-service-webhooks",
      "webhook-id": came.event_id,
      "webhook-timestamp": String(Math.floor(now / 1000)),
      "webhook-signature": signaturesBy([secret], sent),
    });
  });

  it("has an id of its own each time, and no place in the log, the feed or the trail", async () => {
    const { id, shown } = await made();
    const [one, other] = [await test(id), await test(id)];
    expect(one.event_id).not.toBe(other.event_id);
    const log = await api.request<{ data: object[] }>("GET", `${ENDPOINTS}/${id}/deliveries`);
    const feed = await api.request<{ data: object[] }>("GET", "/api/v1/events");
    expect([log.body.data, feed.body.data]).toEqual([[], []]);
    expect(await trailTypes()).toEqual(["created"]);
    expect((await get(id)).body).toEqual(shown);
  });

  it("is sent to an endpoint that is disabled, and one that is told of other types", async () => {
    const { id, receiver } = await made({ types: ["payment.refunded"] });
    await patch(id, { enabled: false });
    expect((await test(id)).succeeded).toBe(true);
    expect(receiver.received).toHaveLength(1);
  });

  it.each([
    ["400", answers(400, "What?"), { http_status: 400, answer: "What?" }],
    ["410", answers(410), { http_status: 410, answer: "" }],
    ["500", answers(500, "Ouch"), { http_status: 500, answer: "Ouch" }],
    ["304", answers(304), { http_status: 304, answer: "" }],
  ])("that is answered %s has not succeeded, is not repeated and disables nothing", async (_, answer, expected) => {
    const receiver = receiverThat(answer);
    const { id, shown } = await made({}, receiver);
    expect(await test(id)).toMatchObject({ succeeded: false, error: null, ...expected });
    expect(receiver.received).toHaveLength(1);
    expect((await get(id)).body).toEqual(shown);
  });

  it("that is answered with a redirect does not follow it", async () => {
    const elsewhere = new Receiver();
    const receiver = receiverThat(answers(307, "Over there", { Location: elsewhere.url }));
    const { id } = await made({}, receiver);
    expect(await test(id)).toMatchObject({ succeeded: false, http_status: 307, answer: "Over there" });
    expect(receiver.received.map(({ redirect }) => redirect)).toEqual(["manual"]);
    expect(elsewhere.received).toEqual([]);
  });

  it("that is not answered in time is given up", async () => {
    const timeout = vi.spyOn(AbortSignal, "timeout").mockImplementation(() => {
      return AbortSignal.abort(new DOMException("Out of time", "TimeoutError"));
    });
    // As fetch does it.
    const { id } = await made(
      {},
      receiverThat(({ signal }) => {
        signal?.throwIfAborted();
        return new Response(null, { status: 204 });
      }),
    );
    expect(await test(id)).toMatchObject({
      succeeded: false,
      http_status: null,
      error: "No connection",
      answer: "",
    });
    expect(timeout.mock.calls).toEqual([[15_000]]);
    timeout.mockRestore();
  });

  it("that finds no server says so, and nothing of the inside", async () => {
    const { id } = await made(
      {},
      receiverThat(() => Promise.reject(new TypeError("connect ECONNREFUSED 10.0.0.7:443"))),
    );
    const came = await test(id);
    expect(came).toMatchObject({ succeeded: false, http_status: null, error: "No connection", answer: "" });
    expect(JSON.stringify(came)).not.toContain("10.0.0.7");
  });

  it("keeps the beginning of a long answer", async () => {
    const { id } = await made(
      {},
      receiverThat(answers(200, "a".repeat(MAX_RESPONSE_BYTES_KEPT) + "b".repeat(100_000))),
    );
    expect((await test(id)).answer).toBe("a".repeat(MAX_RESPONSE_BYTES_KEPT));
  });

  it("is not sent to where none may be sent, though the endpoint is from a time when one might", async () => {
    const { id } = await made();
    const url = "http://localhost:8787/webhooks";
    await env.DB.prepare("UPDATE webhook_endpoints SET url = ? WHERE id = ?").bind(url, id).run();
    vi.mocked(fetch).mockClear();
    expect(await test(id)).toMatchObject({
      succeeded: false,
      http_status: null,
      error: "The URL is not allowed: Must be an https URL",
    });
    expect(fetch).not.toHaveBeenCalled();
  });
});

describe("loopback URLs", () => {
  it("are taken and sent to with keys too, where ALLOW_LOOPBACK_WEBHOOKS says so, on this machine alone", async () => {
    const bindings = { ...env, ALLOW_LOOPBACK_WEBHOOKS: "yes" };
    const local = client(bindings, { key: merchant.key });
    const url = "http://localhost:8788/webhooks";
    expect((await create({ url })).status).toBe(422);
    const { status, body } = await create({ url }, undefined, local);
    expect([status, body.url]).toEqual([201, url]);
    vi.mocked(fetch).mockImplementationOnce(async () => new Response(null, { status: 204 }));
    expect((await test(body.id, local)).succeeded).toBe(true);
    expect(fetch).toHaveBeenLastCalledWith(url, expect.anything());
    // Without it, not even what was created with it is sent to.
    vi.mocked(fetch).mockClear();
    expect(await test(body.id)).toMatchObject({
      succeeded: false,
      error: "The URL is not allowed: Must be an https URL",
    });
    expect(fetch).not.toHaveBeenCalled();
    // A deployment is no such machine.
    const request = new Request("https://pay.example.com/api/v1/webhook-endpoints", {
      headers: { Authorization: `Bearer ${merchant.key}` },
    });
    const refused = await app.fetch(request, bindings, createExecutionContext());
    expect([refused.status, await refused.json()]).toMatchObject([503, { type: "/problems/not-configured" }]);
  });

  it("are taken and told in open mode, which answers this machine alone", async () => {
    const open = client(env);
    const url = "http://localhost:8788/webhooks";
    const { status, body } = await create({ url }, undefined, open);
    expect([status, body.url]).toEqual([201, url]);
    vi.mocked(fetch).mockImplementationOnce(async () => new Response(null, { status: 204 }));
    expect((await test(body.id, open)).succeeded).toBe(true);
    expect(fetch).toHaveBeenLastCalledWith(url, expect.anything());
    expect((await patch(body.id, { url: "https://localhost/x" }, open)).status).toBe(200);
    expect((await patch(body.id, { url: "http://192.168.0.1/x" }, open)).status).toBe(422);
    await remove(body.id, open);
  });
});

describe("another merchant's endpoint", () => {
  it("is not seen, and not changed", async () => {
    const { id, secret, shown, receiver } = await made();
    const { body: payment } = await api.create(ORDER);
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1), 15 * SECOND);
    const { api: stranger } = await newMerchant();
    expect((await list("", stranger)).data).toEqual([]);
    const cursor = (await list("?limit=1")).previous_cursor;
    await made();
    expect((await list(`?cursor=${cursor}`, stranger)).data).toEqual([]);
    for (const answer of [
      await get(id, stranger),
      await patch(id, { enabled: false }, stranger),
      await remove(id, stranger),
      await roll(id, 0, undefined, stranger),
      await stranger.request("POST", `${ENDPOINTS}/${id}/test`),
      await stranger.request("GET", `${ENDPOINTS}/${id}/deliveries`),
      await stranger.request("POST", `${ENDPOINTS}/${id}/deliveries/evt_${payment.id}_1/retry`),
      await stranger.request("POST", `${ENDPOINTS}/${id}/replay`, {
        body: { from: "2026-01-01T00:00:00Z", to: "2100-01-01T00:00:00Z" },
      }),
    ]) {
      expect(answer).toMatchObject(NOT_FOUND);
    }
    expect((await get(id)).body).toEqual(shown);
    await expectSignedBy([secret], id, receiver);
    expect(receiver.received).toHaveLength(2);
    expect(await trailTypes()).toEqual(["created", "created"]);
  });
});

describe("the trail", () => {
  it("has each change once, with the key and the request that made it", async () => {
    const other = await newKey(["webhooks:manage", "events:read"], merchant.id);
    const [mine, theirs] = [api, client(undefined, { key: other })];
    const url = "https://shop.example.com/";
    const by = (requestId: string) => ({ "X-Request-Id": requestId });
    const { body } = await mine.request("POST", ENDPOINTS, { body: { url }, headers: by("the-creation") });
    const path = `${ENDPOINTS}/${body.id}`;
    const now = Date.now() + 5 * SECOND;
    vi.setSystemTime(now);
    await theirs.request("PATCH", path, { body: { enabled: false }, headers: by("the-update") });
    await mine.request("POST", `${path}/roll`, { body: { overlap_seconds: 60 }, headers: by("the-roll") });
    await theirs.request("DELETE", path, { headers: by("the-end") });
    const made = (type: string, request_id: string, key: string, data: object) => ({
      ...{ type: `webhook_endpoint.${type}`, subject: String(body.id), data },
      ...{ actor_merchant_id: merchant.id, key_id: publicId(key), request_id },
    });
    expect(await trail()).toEqual([
      made("created", "the-creation", merchant.key, { url, types: null }),
      made("updated", "the-update", other, { enabled: false }),
      made("rolled", "the-roll", merchant.key, { previous_secret_ends_at: now + 60 * SECOND }),
      made("deleted", "the-end", other, {}),
    ]);
  });

  it("has nothing of what was refused, or only asked", async () => {
    const { id } = await made();
    await create({ url: "http://shop.example.com/" });
    await patch(id, { url: "https://127.0.0.1/" });
    await patch(id, { enabled: null });
    await roll(id, -1);
    await roll(9_999_999, 0);
    await patch(9_999_999, { enabled: false });
    await remove(9_999_999);
    await list();
    await test(id);
    expect(await trailTypes()).toEqual(["created"]);
  });
});

describe("bad input is refused, and says where it is:", () => {
  const TYPES = `Must be one or several of ${EVENT_TYPE_NAMES.join(", ")}`;
  const HTTPS = "Must be an https URL";
  const NAMED = "Must name its host, not an address";
  const PUBLIC = "Must name a public host";
  const url = "https://shop.example.com/";
  type Case = [what: string, body: unknown, errors: [pointer: string, detail: string][]];

  const WRONG_URLS: [url: unknown, detail: string][] = [
    [1, "Must be a string"],
    [null, "Must be a string"],
    [[url], "Must be a string"],
    ["", "Must be an absolute URL, such as https://shop.example.com/webhooks"],
    ["/webhooks", "Must be an absolute URL, such as https://shop.example.com/webhooks"],
    [`${url}${"x".repeat(2048)}`, "Must be at most 2048 characters long"],
    ["http://shop.example.com/", HTTPS],
    ["ftp://shop.example.com/", HTTPS],
    ["http://localhost:8787/", HTTPS],
    ["https://user@shop.example.com/", "Must have no user name and no password"],
    ["https://user:secret@shop.example.com/", "Must have no user name and no password"],
    ["https://shop.example.com/#here", "Must have no fragment"],
    ["https://127.0.0.1/", NAMED],
    ["https://2130706433/", NAMED],
    ["https://0x7f.1/", NAMED],
    ["https://１２７.0.0.1/", NAMED],
    ["https://203.0.113.7./", NAMED],
    ["https://[::1]/", NAMED],
    ["https://[::ffff:7f00:1]/", NAMED],
    ["https://localhost/", PUBLIC],
    ["https://LOCALHOST./", PUBLIC],
    ["https://api.localhost/", PUBLIC],
    ["https://printer.local/", PUBLIC],
    ["https://metadata.google.internal./", PUBLIC],
    ["https://shop/", PUBLIC],
  ];
  const WRONG_TYPES: [types: unknown, pointer: string][] = [
    [[], "#/types"],
    [null, "#/types"],
    ["payment.created", "#/types"],
    [{ 0: "payment.created" }, "#/types"],
    [["payment.*"], "#/types/0"],
    [["payment.created", "webhook_endpoint.test"], "#/types/1"],
    [[null], "#/types/0"],
    [["toString"], "#/types/0"],
  ];

  const EVERYWHERE: Case[] = [
    ...WRONG_URLS.map(
      ([wrong, detail]): Case => [
        `the URL ${JSON.stringify(wrong)?.slice(0, 60)}`,
        { url: wrong },
        [["#/url", detail]],
      ],
    ),
    ...WRONG_TYPES.map(
      ([wrong, pointer]): Case => [`the types ${JSON.stringify(wrong)}`, { url, types: wrong }, [[pointer, TYPES]]],
    ),
    [
      "all types and some",
      { url, types: ["payment.created"], all_types: true },
      [["#/all_types", "Leave out either types or all_types"]],
    ],
    ...[false, null, "true"].map(
      (wrong): Case => [
        `all_types ${wrong}`,
        { url, all_types: wrong },
        [["#/all_types", "Must be true; to receive some types, name them in types"]],
      ],
    ),
    [
      "unknown fields",
      { url, secret: "x", "a/b": 1 },
      [
        ["#/secret", "Unknown field"],
        ["#/a~1b", "Unknown field"],
      ],
    ],
    ["an array", [], [["#", "Must be a JSON object"]]],
    ["null", null, [["#", "Must be a JSON object"]]],
  ];

  const refusal = (errors: [pointer: string, detail: string][]) => [
    422,
    "/problems/validation-failed",
    errors.map(([pointer, detail]) => ({ detail, pointer })),
  ];

  it.each<Case>([
    ...EVERYWHERE,
    ["nothing", {}, [["#/url", "Field required"]]],
    ["whether it is enabled", { url, enabled: true }, [["#/enabled", "Unknown field"]]],
    [
      "several wrong fields",
      { url: "http://shop.example.com/", types: [], x: 1 },
      [
        ["#/url", HTTPS],
        ["#/types", TYPES],
        ["#/x", "Unknown field"],
      ],
    ],
  ])("create with %s", async (_, body, errors) => {
    const { status, body: problem } = await api.request("POST", ENDPOINTS, { body });
    expect([status, problem.type, problem.errors]).toEqual(refusal(errors));
    expect(await count()).toBe(0);
  });

  it.each<Case>([
    ...EVERYWHERE,
    ["a text for enabled", { enabled: "false" }, [["#/enabled", "Must be true or false"]]],
    ["a number for enabled", { enabled: 0 }, [["#/enabled", "Must be true or false"]]],
    ["null for enabled", { url, enabled: null }, [["#/enabled", "Must be true or false"]]],
    ["what is not to be changed", { id: 1, enabled: false }, [["#/id", "Unknown field"]]],
  ])("update with %s", async (_, body, errors) => {
    const { id, shown } = await made();
    const { status, body: problem } = await api.request("PATCH", `${ENDPOINTS}/${id}`, { body });
    expect([status, problem.type, problem.errors]).toEqual(refusal(errors));
    expect((await get(id)).body).toEqual(shown);
  });

  it.each<Case>([
    ["nothing", {}, [["#/overlap_seconds", "Field required"]]],
    ["a negative overlap", { overlap_seconds: -1 }, [["#/overlap_seconds", "Must be an integer from 0 to 604800"]]],
    ["more than a week", { overlap_seconds: 604_801 }, [["#/overlap_seconds", "Must be an integer from 0 to 604800"]]],
    ["a text", { overlap_seconds: "60" }, [["#/overlap_seconds", "Must be an integer from 0 to 604800"]]],
    ["a secret", { overlap_seconds: 0, secret: "whsec_AAAA" }, [["#/secret", "Unknown field"]]],
  ])("roll with %s", async (_, body, errors) => {
    const { id, secret, receiver } = await made();
    const { status, body: problem } = await api.request("POST", `${ENDPOINTS}/${id}/roll`, { body });
    expect([status, problem.type, problem.errors]).toEqual(refusal(errors));
    await expectSignedBy([secret], id, receiver);
  });

  it("a delete or a test event with a body", async () => {
    const { id, receiver } = await made();
    for (const [method, path] of [
      ["DELETE", ""],
      ["POST", "/test"],
    ] as const) {
      const { status, body } = await api.request(method, `${ENDPOINTS}/${id}${path}`, { body: { at: "noon" } });
      expect([status, body.type, body.errors]).toEqual(refusal([["#/at", "Unknown field"]]));
    }
    expect((await get(id)).status).toBe(200);
    expect(receiver.received).toEqual([]);
  });

  it("the service's own host, however it is spelled", async () => {
    const ask = async (method: string, path: string, wanted: string, service = "pay.example.com") => {
      const response = await exports.default.fetch(
        new Request(`https://${service}${path}`, {
          method,
          headers: { Authorization: `Bearer ${merchant.key}`, "Content-Type": "application/json" },
          body: JSON.stringify({ url: wanted }),
        }),
      );
      const { errors } = await response.json<{ errors?: object[] }>();
      return [response.status, errors];
    };
    const refused = [422, [{ detail: "Must not name this service itself", pointer: "#/url" }]];
    const { id } = await made();
    for (const own of ["pay.example.com", "PAY.example.com:8443", "pay.example.com.", "ｐａｙ.example.com"]) {
      expect(await ask("POST", ENDPOINTS, `https://${own}/webhooks`), own).toEqual(refused);
      expect(await ask("PATCH", `${ENDPOINTS}/${id}`, `https://${own}/webhooks`), own).toEqual(refused);
    }
    expect(await ask("POST", ENDPOINTS, "https://pay.example.com/", "pay.example.com.")).toEqual(refused);
    for (const other of ["example.com", "eu.pay.example.com", "otherpay.example.com", "pay.example.com.evil.example"]) {
      expect(await ask("POST", ENDPOINTS, `https://${other}/`), other).toEqual([201, undefined]);
    }
  });

  it.each(["0", "-1", "1.5", "x", "01", "9007199254740992", "%00"])("the id %s", async (id) => {
    const errors = [{ detail: "Must be an integer from 1 to 9007199254740991", parameter: "endpoint_id" }];
    for (const [method, path, body] of [
      ["GET", ""],
      ["PATCH", "", {}],
      ["DELETE", ""],
      ["POST", "/roll", { overlap_seconds: 0 }],
      ["POST", "/test"],
    ] as const) {
      const answer = await api.request(method, `${ENDPOINTS}/${id}${path}`, { body });
      expect([answer.status, answer.body.errors]).toEqual([422, errors]);
    }
  });

  it.each([
    ["limit=0", "limit"],
    ["limit=101", "limit"],
    ["limit=1&limit=2", "limit"],
    ["cursor=abc", "cursor"],
    ["enabled=true", "enabled"],
  ])("the query %s", async (query, parameter) => {
    const { status, body } = await api.request("GET", `${ENDPOINTS}?${query}`);
    expect([status, body.errors]).toEqual([422, [{ detail: expect.any(String), parameter }]]);
  });

  it("a wrong idempotency key", async () => {
    const { id } = await made();
    for (const { status, body } of [await create({ url }, "two words"), await roll(id, 0, "two words")]) {
      expect([status, body]).toMatchObject([400, { errors: [{ header: "Idempotency-Key" }] }]);
    }
    expect([await count(), await trailTypes()]).toEqual([1, ["created"]]);
  });
});
