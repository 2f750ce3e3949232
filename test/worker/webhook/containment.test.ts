/** What a stolen key leaves behind: endpoints that lead events to a URL of the thief's. */
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { publicId } from "../../../src/auth/api-key";
import type { WebhookEndpointSchema } from "../../../src/outbox/endpoint-schemas";
import { Database } from "../../../src/storage/database";
import { findOverdue } from "../../../src/webhook/deliveries";
import { administrator, client, newKey } from "../client";
import { losesNth, meterD1 } from "../d1";
import { envWithD1 } from "../objects";
import { Receiver } from "../receiver";
import { anEndpoint, aPayment, aShop, disablings, ENDPOINTS, MINUTE, run, type Shop, stopClock, watch } from "./shop";

vi.setConfig({ testTimeout: 20_000 });

watch();

const idOf = (key: string) => publicId(key) ?? "";
const revoke = (key: string, api = administrator()) => api.request("POST", `/api/v1/api-keys/${idOf(key)}/revoke`);

/** The shop, as it is with another key of its merchant. */
const withKey = (shop: Shop, key: string): Shop => ({ ...shop, key, api: client(undefined, { key }) });

/** A key that another one creates. */
async function child(parent: string): Promise<string> {
  const body = { name: "child", scopes: ["keys:manage", "webhooks:manage", "events:read"] };
  const made = await client(undefined, { key: parent }).request<{ key: string }>("POST", "/api/v1/api-keys", { body });
  expect(made.status).toBe(201);
  return made.body.key;
}

/** A shop whose own key stays, and one that is stolen. */
async function robbed() {
  const shop = await aShop();
  const stolen = await newKey(undefined, shop.id);
  return { shop, stolen, thief: withKey(shop, stolen) };
}

/** An endpoint as the shop's own key sees it. */
async function seenBy({ api }: Shop, { path }: { path: string }) {
  return (await api.request<typeof WebhookEndpointSchema._output>("GET", path)).body;
}

describe("the revocation of a key", () => {
  it("disables the endpoints that it created, and that its descendants did, with an event each, and no other", async () => {
    const { shop, stolen, thief } = await robbed();
    const grandchild = await child(await child(stolen));
    const [theirs, deep, own] = [
      await anEndpoint(thief),
      await anEndpoint(withKey(shop, grandchild)),
      await anEndpoint(shop),
    ];
    expect((await seenBy(shop, theirs)).url_set_by).toBe(idOf(stolen));
    stopClock();
    await aPayment(shop);
    expect((await revoke(stolen)).status).toBe(200);
    for (const [endpoint, key] of [
      [theirs, stolen],
      [deep, grandchild],
    ] as const) {
      expect(await seenBy(shop, endpoint)).toMatchObject({ enabled: false, disabled_reason: "key_revoked" });
      const data = JSON.stringify({ reason: "key_revoked", revoked_key: idOf(key) });
      const by = { actor_merchant_id: 0, key_id: idOf(env.ADMIN_KEY ?? "") };
      expect(await disablings(endpoint)).toEqual([{ merchant_id: shop.id, data, ...by }]);
    }
    expect(await seenBy(shop, own)).toMatchObject({ enabled: true, url_set_by: idOf(shop.key) });
    for (const endpoint of [theirs, deep, own]) await run(endpoint);
    // The payment, and that each of the two is disabled.
    expect([theirs, deep, own].map(({ receiver }) => receiver.received.length)).toEqual([0, 0, 3]);
  });

  it("has what is open there cancelled by the sweep", async () => {
    const { shop, stolen, thief } = await robbed();
    const theirs = await anEndpoint(thief);
    stopClock();
    await aPayment(shop);
    await revoke(stolen);
    const overdue = await findOverdue(new Database(env.DB), Date.now() + MINUTE, 500);
    expect(overdue).toContainEqual({ endpoint_id: theirs.id, merchant_id: shop.id });
    await run(theirs);
    const { body } = await shop.api.request<{ data: { status: string }[] }>("GET", `${theirs.path}/deliveries`);
    expect(body.data.map(({ status }) => status)).toEqual(["cancelled"]);
  });

  it("disables one whose URL the key has changed, and not one whose types it has", async () => {
    const { shop, stolen, thief } = await robbed();
    const [turned, retyped, rolled] = [await anEndpoint(shop), await anEndpoint(shop), await anEndpoint(shop)];
    await thief.api.request("PATCH", turned.path, { body: { url: new Receiver().url } });
    await thief.api.request("PATCH", retyped.path, { body: { types: ["payment.created"] } });
    await thief.api.request("PATCH", rolled.path, { body: { url: new Receiver().url } });
    // The owner's URL again: the thief's is gone.
    await shop.api.request("PATCH", rolled.path, { body: { url: rolled.receiver.url } });
    await revoke(stolen);
    const enabled = await Promise.all([turned, retyped, rolled].map((endpoint) => seenBy(shop, endpoint)));
    expect(enabled.map((endpoint) => endpoint.enabled)).toEqual([false, true, true]);
    expect(enabled.map(({ url_set_by }) => url_set_by)).toEqual([stolen, shop.key, shop.key].map(idOf));
  });

  it("leaves one alone that another key has enabled since", async () => {
    const { shop, stolen } = await robbed();
    const heir = await child(stolen);
    const endpoint = await anEndpoint(withKey(shop, heir));
    await revoke(heir);
    const { status, body } = await shop.api.request("PATCH", endpoint.path, { body: { enabled: true } });
    expect([status, body]).toMatchObject([200, { enabled: true, disabled_reason: null, url_set_by: idOf(shop.key) }]);
    await revoke(stolen);
    expect((await seenBy(shop, endpoint)).enabled).toBe(true);
  });

  it("leaves those as they are that were disabled or deleted, and says nothing of them", async () => {
    const { shop, stolen, thief } = await robbed();
    const [disabled, deleted] = [await anEndpoint(thief), await anEndpoint(thief)];
    await shop.api.request("PATCH", disabled.path, { body: { enabled: false } });
    await shop.api.request("DELETE", deleted.path);
    await revoke(stolen);
    expect((await seenBy(shop, disabled)).disabled_reason).toBe("requested");
    expect([await disablings(disabled), await disablings(deleted)]).toEqual([[], []]);
  });

  it("whose answer was lost has disabled them once", async () => {
    const { stolen, thief } = await robbed();
    const theirs = await anEndpoint(thief);
    // The first trip looks the key up.
    const lossy = client(envWithD1(losesNth(env.DB, 2)), { key: stolen });
    expect((await revoke(stolen, lossy)).status).toBe(200);
    expect(await disablings(theirs)).toHaveLength(1);
  });

  it("wins against a key that creates endpoints while it is revoked: none of them is left enabled", async () => {
    const { shop, stolen, thief } = await robbed();
    const create = () => thief.api.request<{ id: number }>("POST", ENDPOINTS, { body: { url: new Receiver().url } });
    const creating = Array.from({ length: 12 }, create);
    await Promise.all([revoke(stolen), ...creating]);
    const { body } = await shop.api.request<{ data: { enabled: boolean }[] }>("GET", `${ENDPOINTS}?limit=100`);
    expect(body.data.filter(({ enabled }) => enabled)).toEqual([]);
  });

  it("reads no more rows for endpoints of other keys", async () => {
    const cost = async () => {
      const { id } = await aShop();
      const key = await newKey(["payments:read"], id);
      const meter = meterD1(env.DB);
      expect((await revoke(key, client(envWithD1(meter.db), { key: env.ADMIN_KEY }))).status).toBe(200);
      return meter.rowsRead;
    };
    await cost();
    const few = await cost();
    const { shop } = await robbed();
    await env.DB.prepare(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
       INSERT INTO webhook_endpoints (merchant_id, url, url_set_by, secret, created_at, updated_at)
       SELECT ?, 'https://shop.example.com/', ?, 'whsec_', 1, 1 FROM n`,
    )
      .bind(shop.id, idOf(shop.key))
      .run();
    expect(await cost()).toBe(few);
  });
});
