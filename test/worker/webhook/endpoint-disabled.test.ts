/** The event that says that the service has disabled an endpoint: in the feed, and at the merchant's other endpoints. */

import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import { publicId } from "../../../src/auth/api-key";
import type { DeliveryMessage } from "../../../src/outbox/outbox";
import { WebhookEndpointObject } from "../../../src/webhook/object";
import { administrator, client, newKey } from "../client";
import { losesNth, meterD1 } from "../d1";
import { assertInvariants } from "../invariants";
import { envWithD1 } from "../objects";
import { answers, held } from "../receiver";
import {
  anEndpoint,
  aPayment,
  aShop,
  DAY_MS,
  d1With,
  disablings,
  eventText,
  HOUR,
  isRecord,
  MINUTE,
  run,
  type Shop,
  stopClock,
  UNHEARD,
  until,
  type WebhookEndpoint,
  watch,
  withObject,
} from "./shop";

vi.setConfig({ testTimeout: 20_000 });

watch();

const TYPE = "webhook_endpoint.disabled";

interface Event {
  id: string;
  type: string;
  timestamp: string;
  data: { id: number };
}

/** A page of the feed. */
async function feed({ api }: Shop, query = "", limit = 100) {
  const path = `/api/v1/events?limit=${limit}${query}`;
  const { status, body } = await api.request<{ data: Event[]; has_more: boolean; next_cursor: string }>("GET", path);
  expect(status).toBe(200);
  return body;
}

const idsOf = async (shop: Shop, query = "") => (await feed(shop, query)).data.map(({ id }) => id);

/** The positions of a merchant's events, as they are stored. */
async function positions({ id }: Shop): Promise<number[]> {
  const sql = "SELECT position FROM events WHERE merchant_id = ? ORDER BY position";
  return (await env.DB.prepare(sql).bind(id).all<{ position: number }>()).results.map(({ position }) => position);
}

/** Has an endpoint answer 410 to a new payment's event, which disables it; the payment. */
async function goes(shop: Shop, endpoint: WebhookEndpoint): Promise<number> {
  endpoint.receiver.always(answers(410));
  const id = await aPayment(shop);
  await run(endpoint);
  expect(await endpoint.get()).toMatchObject({ enabled: false, disabled_reason: "gone" });
  return id;
}

describe("an endpoint that only failed for five days", () => {
  it("is disabled with an event in the feed, of which the other endpoint is told once, signed, and itself never", async () => {
    const shop = await aShop();
    const [failing, other] = [await anEndpoint(shop), await anEndpoint(shop)];
    failing.receiver.always(answers(500));
    const now = stopClock();
    const one = await aPayment(shop);
    await run(failing);
    vi.setSystemTime(now + 5 * DAY_MS);
    const two = await aPayment(shop);
    await run(failing);
    const three = await aPayment(shop);

    const id = `evt_m${shop.id}_3`;
    const disabledAt = new Date(now + 5 * DAY_MS).toISOString();
    const event = {
      id,
      type: TYPE,
      timestamp: expect.any(String),
      data: {
        ...(await failing.get()),
        id: failing.id,
        enabled: false,
        disabled_at: disabledAt,
        disabled_reason: "failing",
        failing_since: new Date(now).toISOString(),
        all_types: true,
        url_set_by: publicId(shop.key),
      },
      request_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      key_id: null,
    };
    const { data } = await feed(shop);
    expect(data.map((each) => each.id)).toEqual([`evt_${one}_1`, `evt_${two}_1`, id, `evt_${three}_1`]);
    expect(data[2]).toEqual(event);
    // The clock of the machine that disabled it is five days ahead, and the merchant's times are not held there.
    expect(Date.parse(data[2]?.timestamp ?? "")).toBeLessThan(now);
    expect(JSON.parse(await eventText(shop, id))).toEqual(event);
    expect(await positions(shop)).toEqual([1, 2, 3, 4]);

    await run(other);
    expect(other.receiver.ids.toSorted()).toEqual([`evt_${one}_1`, `evt_${two}_1`, `evt_${three}_1`, id].toSorted());
    const told = other.receiver.received.find((received) => received.id === id);
    // The message is the event, to the letter, and signed with the endpoint's own secret.
    expect([told?.body, told?.signedBy]).toEqual([await eventText(shop, id), [other.secret]]);
    expect(JSON.stringify(event)).not.toContain("whsec_");
    await run(failing);
    expect(failing.receiver.ids).not.toContain(id);
    expect((await failing.deliveries()).map(({ event_id }) => event_id)).not.toContain(id);
    expect(await disablings(failing)).toHaveLength(1);
    await assertInvariants(env.DB);
  });

  it("is not disabled by what came before it was enabled again, and says nothing of it", async () => {
    const shop = await aShop();
    const [failing, other] = [await anEndpoint(shop), await anEndpoint(shop)];
    const late = held(answers(500));
    failing.receiver.next(answers(500), late);
    const now = stopClock();
    await aPayment(shop);
    await run(failing);
    vi.setSystemTime(now + 5 * DAY_MS);
    await aPayment(shop);
    const running = run(failing);
    // Two are due: one is answered at once, the other when the endpoint has been enabled again.
    await until(() => failing.receiver.received.length).toBe(3);
    await shop.api.request("PATCH", failing.path, { body: { enabled: false } });
    await shop.api.request("PATCH", failing.path, { body: { enabled: true } });
    late.letGo();
    await running;
    expect(await failing.get()).toMatchObject({ enabled: true });
    expect(await idsOf(shop, `&type=${TYPE}`)).toEqual([]);
    await run(other);
    expect(other.receiver.received).toHaveLength(2);
  });
});

describe("the event of a disabled endpoint", () => {
  it("goes to those alone that receive its type and are enabled", async () => {
    const [shop, neighbour] = [await aShop(), await aShop()];
    const gone = await anEndpoint(shop);
    const [all, named, unnamed, disabled, deleted] = [
      await anEndpoint(shop),
      await anEndpoint(shop, [TYPE]),
      await anEndpoint(shop, ["payment.created", "payment.confirmed"]),
      await anEndpoint(shop),
      await anEndpoint(shop),
    ];
    const theirs = await anEndpoint(neighbour);
    await shop.api.request("PATCH", disabled.path, { body: { enabled: false } });
    await shop.api.request("DELETE", deleted.path);
    stopClock();
    const payment = `evt_${await goes(shop, gone)}_1`;
    const id = `evt_m${shop.id}_2`;
    for (const endpoint of [all, named, unnamed]) await run(endpoint);
    expect(all.receiver.ids.toSorted()).toEqual([payment, id].toSorted());
    expect(named.receiver.ids).toEqual([id]);
    expect(unnamed.receiver.ids).toEqual([payment]);
    const { results } = await env.DB.prepare(
      "SELECT endpoint_id FROM webhook_deliveries WHERE position = 2 AND endpoint_id IN (SELECT value FROM json_each(?)) ORDER BY 1",
    )
      .bind(JSON.stringify([gone, all, named, unnamed, disabled, deleted, theirs].map((endpoint) => endpoint.id)))
      .all<{ endpoint_id: number }>();
    expect(results.map(({ endpoint_id }) => endpoint_id)).toEqual([all.id, named.id]);
  });

  it("is there once, whatever is lost and however many attempts are told that the endpoint is gone", async () => {
    for (const lostAnswers of [0, 1, 2]) {
      const shop = await aShop();
      const [gone, other] = [await anEndpoint(shop), await anEndpoint(shop)];
      gone.receiver.always(answers(410));
      stopClock();
      for (let n = 0; n < 4; n++) await aPayment(shop);
      let lost = 0;
      const db = d1With(async (sql, roundTrip) => {
        const answer = await roundTrip();
        if (isRecord(sql) && ++lost <= lostAnswers) throw new Error("D1_ERROR: Network connection lost.");
        return answer;
      });
      await withObject(gone, db, (object) => object.alarm());
      expect(gone.receiver.received).toHaveLength(4);
      expect(await idsOf(shop, `&type=${TYPE}`)).toEqual([`evt_m${shop.id}_5`]);
      await run(other);
      expect(other.receiver.ids.filter((id) => id === `evt_m${shop.id}_5`)).toHaveLength(1);
      expect(other.receiver.received).toHaveLength(5);
      expect(await disablings(gone)).toHaveLength(1);
      vi.useRealTimers();
    }
    await assertInvariants(env.DB);
  });

  it("wakes the others at once, and a queue that is out of reach breaks nothing", async () => {
    const shop = await aShop();
    const [gone, other] = [await anEndpoint(shop), await anEndpoint(shop)];
    await anEndpoint(shop, ["payment.failed"]);
    gone.receiver.always(answers(410));
    stopClock();
    const queued: DeliveryMessage[] = [];
    const send = async (message: DeliveryMessage) => void queued.push(message);
    const bindings = { ...env, DELIVERIES: Object.assign(Object.create(env.DELIVERIES), { send }) };
    await aPayment(shop);
    await runInDurableObject(gone.stub, (_, state) => new WebhookEndpointObject(state, bindings).alarm());
    expect(queued).toEqual([{ merchant_id: shop.id, endpoint_ids: [other.id] }]);
  });

  it("is replayed, sent again, and read by its id; an id of anybody else's event is none of it", async () => {
    const [shop, neighbour] = [await aShop(), await aShop()];
    const gone = await anEndpoint(shop);
    const [other, late] = [await anEndpoint(shop), await anEndpoint(shop)];
    await shop.api.request("PATCH", late.path, { body: { enabled: false } });
    const now = stopClock();
    const payment = `evt_${await goes(shop, gone)}_1`;
    const id = `evt_m${shop.id}_2`;
    other.receiver.next(answers(204), answers(500));
    await run(other);
    vi.setSystemTime(now + MINUTE);
    await run(other);
    expect((await other.delivery(id, { whole: true })).status).toBe("succeeded");

    const sent = other.receiver.ids.filter((each) => each === id).length;
    const again = await shop.unheard.request("POST", `${other.path}/deliveries/${id}/retry`);
    expect([again.status, again.body]).toMatchObject([200, { event_id: id, event_type: TYPE, status: "pending" }]);
    await run(other);
    expect(other.receiver.ids.filter((each) => each === id)).toHaveLength(sent + 1);

    await shop.api.request("PATCH", late.path, { body: { enabled: true } });
    const range = { from: new Date(now - HOUR).toISOString(), to: new Date(now + HOUR).toISOString() };
    const replayed = await shop.unheard.request("POST", `${late.path}/replay`, { body: range });
    expect([replayed.status, replayed.body]).toMatchObject([200, { delivery_count: 2, has_more: false }]);
    await run(late);
    expect(late.receiver.ids.toSorted()).toEqual([payment, id].toSorted());

    // The position of a payment's event, one that nothing has, a stranger's, and a stranger who asks.
    const strange = [`evt_m${shop.id}_1`, `evt_m${shop.id}_3`, `evt_m${neighbour.id}_2`, `evt_${shop.id}_2`];
    for (const each of strange) {
      expect((await shop.api.request("GET", `/api/v1/events/${each}`)).status).toBe(404);
      expect((await shop.api.request("GET", `${other.path}/deliveries/${each}`)).status).toBe(404);
    }
    expect((await neighbour.api.request("GET", `/api/v1/events/${id}`)).status).toBe(404);
    for (const each of ["evt_m0_1", "evt_m1_0", "evt_m_1", "evt_mm1_1", "evt_m1", "evt_m01_1", "evt_M1_1"]) {
      expect((await shop.api.request("GET", `/api/v1/events/${each}`)).status).toBe(422);
    }
  });

  it("is in the feed by type and time, and not among a payment's events, nor in the log of one", async () => {
    const shop = await aShop();
    const [gone, other] = [await anEndpoint(shop), await anEndpoint(shop)];
    stopClock();
    const one = await goes(shop, gone);
    await shop.unheard.run(one, "confirm");
    await run(other);
    const id = `evt_m${shop.id}_2`;
    expect(await idsOf(shop)).toEqual([`evt_${one}_1`, id, `evt_${one}_2`]);
    expect(await idsOf(shop, `&type=${TYPE}`)).toEqual([id]);
    expect(await idsOf(shop, "&type=payment.created,payment.confirmed")).toEqual([`evt_${one}_1`, `evt_${one}_2`]);
    expect(await idsOf(shop, `&payment_id=${one}`)).toEqual([`evt_${one}_1`, `evt_${one}_2`]);
    const { timestamp } = JSON.parse(await eventText(shop, id));
    expect(await idsOf(shop, `&created_from=${timestamp}&created_to=${timestamp}`)).toContain(id);
    // Page by page, and by way of it: a cursor that ends on it goes on behind it.
    const pages: string[] = [];
    for (let cursor = ""; ; ) {
      const page = await feed(shop, cursor, 1);
      pages.push(...page.data.map((each) => each.id));
      cursor = `&cursor=${page.next_cursor}`;
      if (!page.has_more) break;
    }
    expect(pages).toEqual([`evt_${one}_1`, id, `evt_${one}_2`]);
    const logOf = async (query: string) =>
      (await shop.api.request<{ data: { event_id: string }[] }>("GET", `${other.path}/deliveries?${query}`)).body.data;
    expect((await logOf(`type=${TYPE}`)).map(({ event_id }) => event_id)).toEqual([id]);
    expect((await logOf(`payment_id=${one}`)).map(({ event_id }) => event_id)).toEqual([
      `evt_${one}_2`,
      `evt_${one}_1`,
    ]);
  });

  it("never changes, shows no query of the URL, and keeps the types that there were", async () => {
    const shop = await aShop();
    const gone = await anEndpoint(shop, ["payment.created", TYPE]);
    await anEndpoint(shop);
    await shop.api.request("PATCH", gone.path, { body: { url: `${gone.receiver.url}?token=s3cret` } });
    stopClock();
    await goes(shop, gone);
    const id = `evt_m${shop.id}_2`;
    const text = await eventText(shop, id);
    expect(JSON.parse(text).data).toMatchObject({
      url: `${gone.receiver.url}?…`,
      types: ["payment.created", TYPE],
      all_types: false,
      disabled_reason: "gone",
    });
    expect(text).not.toContain("s3cret");
    await shop.api.request("PATCH", gone.path, {
      body: { enabled: true, all_types: true, url: "https://b.example.com/" },
    });
    expect(await eventText(shop, id)).toBe(text);
  });

  it("is cancelled like any other, where its endpoint is disabled or no longer receives the type", async () => {
    const shop = await aShop();
    const gone = await anEndpoint(shop);
    const [disabled, retyped] = [await anEndpoint(shop), await anEndpoint(shop)];
    stopClock();
    const payment = `evt_${await goes(shop, gone)}_1`;
    const id = `evt_m${shop.id}_2`;
    await shop.unheard.request("PATCH", disabled.path, { body: { enabled: false } });
    expect((await disabled.delivery(id)).status).toBe("cancelled");
    await shop.unheard.request("PATCH", retyped.path, { body: { types: ["payment.created"] } });
    expect((await retyped.delivery(id)).status).toBe("cancelled");
    await run(retyped);
    expect(retyped.receiver.ids).toEqual([payment]);
    await run(disabled);
    expect([disabled.receiver.ids, await disabled.alarm()]).toEqual([[], null]);
  });

  it("does not come of what the merchant asks for itself", async () => {
    const shop = await aShop();
    const [one, two] = [await anEndpoint(shop), await anEndpoint(shop)];
    await shop.api.request("PATCH", one.path, { body: { enabled: false } });
    await shop.api.request("DELETE", two.path);
    expect(await idsOf(shop)).toEqual([]);
  });

  it("counts as stored, and the payments' events go on counting from there", async () => {
    const shop = await aShop();
    const [gone] = [await anEndpoint(shop), await anEndpoint(shop)];
    const stored = async () =>
      (await administrator().request<{ stored_bytes: number }>("GET", `/api/v1/merchants/${shop.id}`)).body
        .stored_bytes;
    stopClock();
    const first = await aPayment(shop);
    const before = await stored();
    await shop.unheard.run(first, "confirm");
    const action = (await stored()) - before;
    gone.receiver.always(answers(410));
    await run(gone);
    const after = await stored();
    expect(after).toBeGreaterThan(before + action + 300);
    await shop.unheard.run(first, "refund");
    expect(await stored()).toBe(after + action);
  });
});

describe("the revocation of a key that set the URLs of endpoints", () => {
  const revoke = (key: string, api = administrator()) =>
    api.request("POST", `/api/v1/api-keys/${publicId(key)}/revoke`);
  /** A shop, and what somebody has set up in it with a key that is stolen. */
  async function robbed() {
    const shop = await aShop();
    const stolen = await newKey(undefined, shop.id);
    const thief = { ...shop, key: stolen, api: client(undefined, { key: stolen }) };
    const theirs = [await anEndpoint(thief), await anEndpoint(thief)];
    return { shop, stolen, theirs, own: await anEndpoint(shop) };
  }

  it("has an event of each in the feed, and tells the merchant's own endpoint of them alone", async () => {
    const { shop, stolen, theirs, own } = await robbed();
    stopClock();
    const one = await aPayment(shop);
    expect((await revoke(stolen, client(UNHEARD, { key: env.ADMIN_KEY }))).status).toBe(200);
    const two = await aPayment(shop);
    const ids = [`evt_${one}_1`, `evt_m${shop.id}_2`, `evt_m${shop.id}_3`, `evt_${two}_1`];
    const { data } = await feed(shop);
    expect(data.map(({ id }) => id)).toEqual(ids);
    expect(data.slice(1, 3)).toMatchObject(
      theirs.map(({ id }) => ({
        type: TYPE,
        data: { id, enabled: false, disabled_reason: "key_revoked", url_set_by: publicId(stolen) },
        key_id: publicId(env.ADMIN_KEY ?? ""),
      })),
    );
    await run(own);
    expect(own.receiver.ids.toSorted()).toEqual(ids.toSorted());
    for (const endpoint of theirs) {
      await run(endpoint);
      expect(endpoint.receiver.received).toEqual([]);
    }
    await assertInvariants(env.DB);
  });

  it("numbers each merchant's by itself, where it crosses merchants, and wakes those of each", async () => {
    const [shop, victim] = [await aShop(), await aShop()];
    const stolen = await newKey(undefined, shop.id);
    const body = { name: "there", scopes: ["webhooks:manage", "events:read"], merchant_id: victim.id };
    const { key } = (
      await client(undefined, { key: stolen }).request<{ key: string }>("POST", "/api/v1/api-keys", { body })
    ).body;
    await anEndpoint({ ...victim, key, api: client(undefined, { key }) });
    await anEndpoint({ ...shop, key: stolen, api: client(undefined, { key: stolen }) });
    const [own, theirs] = [await anEndpoint(shop), await anEndpoint(victim)];
    await aPayment(victim);
    const queued: DeliveryMessage[] = [];
    const send = async (message: DeliveryMessage) => void queued.push(message);
    const bindings = { ...env, DELIVERIES: Object.assign(Object.create(env.DELIVERIES), { send }) };
    await revoke(stolen, client(bindings, { key: env.ADMIN_KEY }));
    expect((await feed(shop)).data.map(({ id }) => id)).toEqual([`evt_m${shop.id}_1`]);
    expect((await feed(victim)).data.map(({ id }) => id).slice(1)).toEqual([`evt_m${victim.id}_2`]);
    expect(queued.toSorted((a, b) => a.merchant_id - b.merchant_id)).toEqual([
      { merchant_id: shop.id, endpoint_ids: [own.id] },
      { merchant_id: victim.id, endpoint_ids: [theirs.id] },
    ]);
    await assertInvariants(env.DB);
  });

  it("whose answer was lost has each event once", async () => {
    const { shop, stolen, own } = await robbed();
    // The first trip looks the key up.
    expect(
      (await revoke(stolen, client({ ...UNHEARD, ...envWithD1(losesNth(env.DB, 2)) }, { key: stolen }))).status,
    ).toBe(200);
    expect(await idsOf(shop)).toEqual([`evt_m${shop.id}_1`, `evt_m${shop.id}_2`]);
    stopClock();
    await run(own);
    expect(own.receiver.ids.toSorted()).toEqual([`evt_m${shop.id}_1`, `evt_m${shop.id}_2`]);
  });

  it("asks D1 once, however many there are", async () => {
    const { shop, stolen } = await robbed();
    const meter = meterD1(env.DB);
    const api = client({ ...UNHEARD, DB: meter.db }, { key: env.ADMIN_KEY });
    await revoke(stolen, api);
    const { trips } = meter;
    await revoke(await newKey(undefined, shop.id), api);
    // The second revokes a key that had set no URL.
    expect(meter.trips - trips).toBe(trips);
  });
});
