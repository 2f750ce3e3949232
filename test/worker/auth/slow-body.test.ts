/** A key that ends while the body of its request is on its way has ended for that request, too. */
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { publicId } from "../../../src/auth/api-key";
import { SCOPE_NAMES } from "../../../src/scopes";
import { administrator, client, newKey, newMerchant, ORDER, paymentIn } from "../client";
import { instrumentD1, meterD1 } from "../d1";
import { envWithD1 } from "../objects";

/** A body that comes to a stop after its first byte: `begun` once the service waits for the second. */
function slowBody(body: object) {
  const text = new TextEncoder().encode(JSON.stringify(body));
  const begun = Promise.withResolvers<void>();
  const rest = Promise.withResolvers<void>();
  let pulls = 0;
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (pulls++ === 0) return controller.enqueue(text.subarray(0, 1));
        begun.resolve();
        await rest.promise;
        controller.enqueue(text.subarray(1));
        controller.close();
      },
    },
    { highWaterMark: 0 },
  );
  return { stream, begun: begun.promise, send: () => rest.resolve() };
}

const REQUESTS: [what: string, method: string, path: (paymentId: number) => string, body: object][] = [
  ["a creation", "POST", () => "/api/v1/payments", ORDER],
  ["a confirmation", "POST", (id) => `/api/v1/payments/${id}/confirm`, {}],
  ["a new key", "POST", () => "/api/v1/api-keys", { name: "x", scopes: ["payments:read"] }],
  ["a new merchant", "POST", () => "/api/v1/merchants", { name: "x" }],
  ["a new endpoint", "POST", () => "/api/v1/webhook-endpoints", { url: "https://shop.example.com/x" }],
];

const counts = () =>
  env.DB.prepare(
    `SELECT (SELECT sum(version) FROM payments) AS payments, (SELECT count(*) FROM api_keys) AS keys,
       (SELECT count(*) FROM merchants) AS merchants, (SELECT count(*) FROM webhook_endpoints) AS endpoints`,
  ).first();

it.each(REQUESTS)("%s", async (_, method, path, body) => {
  const merchant = await newMerchant();
  const key = await newKey(SCOPE_NAMES, merchant);
  const inside = envWithD1(env.DB);
  const { id } = await paymentIn("pending", client(inside, { key }));
  const slow = slowBody(body);
  const headers = { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() };
  const answer = client(inside, { key }).request(method, path(id), { body: slow.stream, headers });
  await slow.begun;
  const revoked = await client(inside, { key: env.ADMIN_KEY }).request(
    "POST",
    `/api/v1/api-keys/${publicId(key)}/revoke`,
  );
  expect(revoked.status).toBe(200);
  const before = await counts();
  slow.send();
  const { status, body: problem } = await answer;
  expect([status, problem.type]).toEqual([401, "/problems/invalid-token"]);
  expect(await counts()).toEqual(before);
});

it("a merchant that is disabled meanwhile", async () => {
  const merchant = await newMerchant();
  const inside = envWithD1(env.DB);
  const slow = slowBody(ORDER);
  const headers = { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID() };
  const api = client(inside, { key: await newKey(SCOPE_NAMES, merchant) });
  const answer = api.request("POST", "/api/v1/payments", { body: slow.stream, headers });
  await slow.begun;
  await client(inside, { key: env.ADMIN_KEY }).request("POST", `/api/v1/merchants/${merchant}/disable`);
  slow.send();
  expect((await answer).body.type).toBe("/problems/merchant-disabled");
});

const END = {
  revoked: "UPDATE api_keys SET revoked_at = 1 WHERE id = ?",
  expired: "UPDATE api_keys SET expires_at = 1 WHERE id = ?",
  "of a merchant that is disabled":
    "UPDATE merchants SET disabled_at = 1 WHERE id = (SELECT merchant_id FROM api_keys WHERE id = ?)",
};

const CHANGES: [
  what: string,
  method: string,
  path: (ids: { key: string; merchant: number; endpoint: number }) => string,
  body?: object,
][] = [
  ["a key is created", "POST", () => "/api/v1/api-keys", { name: "x", scopes: ["payments:read"] }],
  ["a key is renamed", "PATCH", ({ key }) => `/api/v1/api-keys/${key}`, { name: "y" }],
  ["a key is revoked", "POST", ({ key }) => `/api/v1/api-keys/${key}/revoke`],
  ["a key is rolled", "POST", ({ key }) => `/api/v1/api-keys/${key}/roll`, { overlap_seconds: 0 }],
  ["a merchant is created", "POST", () => "/api/v1/merchants", { name: "x" }],
  ["a merchant is renamed", "PATCH", ({ merchant }) => `/api/v1/merchants/${merchant}`, { name: "y" }],
  ["a merchant is disabled", "POST", ({ merchant }) => `/api/v1/merchants/${merchant}/disable`],
  ["an endpoint is created", "POST", () => "/api/v1/webhook-endpoints", { url: "https://shop.example.com/x" }],
  ["an endpoint is changed", "PATCH", ({ endpoint }) => `/api/v1/webhook-endpoints/${endpoint}`, { enabled: false }],
  ["an endpoint is deleted", "DELETE", ({ endpoint }) => `/api/v1/webhook-endpoints/${endpoint}`],
  [
    "a secret is rolled",
    "POST",
    ({ endpoint }) => `/api/v1/webhook-endpoints/${endpoint}/roll`,
    { overlap_seconds: 0 },
  ],
];

it.each(CHANGES.flatMap((change) => Object.keys(END).map((how) => [change[0], how, change] as const)))(
  "nothing changes when %s by a key that is %s just before the batch",
  async (_, how, [, method, path, body]) => {
    const merchant = await newMerchant();
    const key = await newKey(SCOPE_NAMES, merchant);
    const owner = client(undefined, { key: await newKey(SCOPE_NAMES, merchant) });
    const endpoint = await owner.request("POST", "/api/v1/webhook-endpoints", {
      body: { url: "https://shop.example.com/a" },
    });
    const ids = {
      key: publicId(await newKey(["payments:read"], merchant)) ?? "",
      merchant,
      endpoint: endpoint.body.id,
    };
    const state = () =>
      env.DB.prepare(
        `SELECT (SELECT json_group_array(json_array(id, name, expires_at, revoked_at)) FROM api_keys WHERE id <> ?1) AS keys,
         (SELECT json_group_array(json_array(id, name)) FROM merchants) AS merchants,
         (SELECT json_group_array(json_array(id, url, secret, disabled_at, deleted_at)) FROM webhook_endpoints) AS endpoints,
         (SELECT count(*) FROM account_events) AS events`,
      )
        .bind(publicId(key))
        .first();
    const meter = meterD1(env.DB);
    let before: unknown;
    // The last moment: what comes next is the batch of the change.
    const db = instrumentD1(env.DB, (roundTrip) => roundTrip());
    const batch = async (statements: D1PreparedStatement[]) => {
      if (before === undefined) {
        await env.DB.prepare(END[how as keyof typeof END])
          .bind(publicId(key))
          .run();
        before = await state();
      }
      return db.batch(statements);
    };
    const late = new Proxy(db, {
      get: (target, property) => (property === "batch" ? batch : Reflect.get(target, property, target)),
    });
    const { status, body: problem } = await client(envWithD1(late), { key }).request(method, path(ids), { body });
    expect([status, problem.type]).toEqual([401, "/problems/invalid-token"]);
    expect(await state()).toEqual(before);
    expect(meter.trips).toBe(0);
  },
);

it("a management route looks at the key once more after the body, and no other does", async () => {
  const meter = meterD1(env.DB);
  const key = await newKey();
  const api = client(envWithD1(meter.db), { key });
  await api.request("GET", "/api/v1/payments/1");
  await administrator().request("GET", "/api/v1/merchants/1");
  const trips = async (method: string, path: string, body?: object) => {
    const before = meter.trips;
    const headers = { "Idempotency-Key": crypto.randomUUID() };
    expect((await api.request(method, path, { body, headers })).status).toBeLessThan(300);
    return meter.trips - before;
  };
  expect(await trips("POST", "/api/v1/payments", ORDER)).toBe(1);
  expect(await trips("GET", "/api/v1/merchants/1")).toBe(2);
  expect(await trips("POST", "/api/v1/api-keys", { name: "x", scopes: ["payments:read"] })).toBe(2);
});
