import {
  createExecutionContext,
  createMessageBatch,
  createScheduledController,
  getQueueResult,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import worker from "../../../src";
import { sweepDeliveries } from "../../../src/webhook/wake";
import { client, ORDER } from "../client";
import { meterD1 } from "../d1";
import { answers } from "../receiver";
import {
  anEndpoint,
  aPayment,
  aShop,
  HOUR,
  MINUTE,
  run,
  SECOND,
  type Shop,
  stopClock,
  until,
  type WebhookEndpoint,
  watch,
} from "./shop";

// Much of this waits for what the runtime does by itself, also on a busy machine.
vi.setConfig({ testTimeout: 20_000 });

const output = watch();

describe("the queue", () => {
  /** Hands messages about endpoints to the consumer; which of them it acknowledges, and which it wants again. */
  async function consume(bindings: Env, shop: Shop, ...abouts: (readonly WebhookEndpoint[])[]) {
    const messages = abouts.map((endpoints, n) => ({
      id: `message-${n}`,
      timestamp: new Date(),
      attempts: 1,
      body: { merchant_id: shop.id, endpoint_ids: endpoints.map(({ id }) => id) },
    }));
    const batch = createMessageBatch("payment-deliveries", messages);
    await worker.queue(batch, bindings);
    const { explicitAcks, retryMessages } = await getQueueResult(batch, createExecutionContext());
    return { acknowledged: explicitAcks, again: retryMessages.map(({ msgId }) => msgId) };
  }

  it("may double and reorder: the rows decide what is sent, and in which order", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const other = await anEndpoint(shop);
    const id = await aPayment(shop);
    for (const action of ["confirm", "refund"] as const) await shop.unheard.run(id, action);
    const about = [[other, endpoint], [endpoint], [endpoint, other], [endpoint]];
    const all = await Promise.all([consume(env, shop, ...about), consume(env, shop, ...about.toReversed())]);
    for (const { acknowledged, again } of all) {
      expect([acknowledged.toSorted(), again]).toEqual([["message-0", "message-1", "message-2", "message-3"], []]);
    }
    await until(() => endpoint.statuses()).toEqual(new Array(3).fill("succeeded"));
    await consume(env, shop, ...about);
    await shop.api.create(ORDER);
    await until(() => endpoint.statuses()).toEqual(new Array(4).fill("succeeded"));
    await until(() => other.statuses()).toEqual(new Array(4).fill("succeeded"));
    const ids = [1, 2, 3].map((sequence) => `evt_${id}_${sequence}`);
    for (const { receiver } of [endpoint, other]) {
      expect([receiver.ids.slice(0, 3), receiver.ids.length]).toEqual([ids, 4]);
    }
  });

  it("is asked for a message again when an endpoint of it cannot be woken, and for no other", async () => {
    const shop = await aShop();
    const [broken, fine] = [await anEndpoint(shop), await anEndpoint(shop)];
    const woken: string[] = [];
    const getByName = (name: string) => ({
      wake: async () => {
        woken.push(name);
        if (name === `${shop.id}:${broken.id}`) throw new Error("The object is overloaded");
      },
    });
    const bindings = { ...env, WEBHOOK_ENDPOINT: Object.assign(Object.create(env.WEBHOOK_ENDPOINT), { getByName }) };
    const { acknowledged, again } = await consume(bindings, shop, [fine], [broken], [fine, broken], [fine], []);
    expect(acknowledged).toEqual(["message-0", "message-3", "message-4"]);
    expect(again).toEqual(["message-1", "message-2"]);
    // Each is woken once, however many messages are about it.
    expect(woken.toSorted()).toEqual([broken.id, fine.id].map((id) => `${shop.id}:${id}`).toSorted());
    expect(output.complained).toHaveBeenCalledOnce();
    output.complained.mockClear();
  });

  it("has what it gives up logged, and acknowledged, while the sweep goes on", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const timestamp = new Date("2026-11-25T10:00:00Z");
    const body = { merchant_id: shop.id, endpoint_ids: [endpoint.id] };
    const batch = createMessageBatch("payment-deliveries-dead", [{ id: "dead", timestamp, attempts: 6, body }]);
    await worker.queue(batch, env);
    expect((await getQueueResult(batch, createExecutionContext())).explicitAcks).toEqual(["dead"]);
    expect(output.complained.mock.calls.map(([line]) => JSON.parse(String(line)))).toEqual([
      { message: "deliveries given up by the queue", ...body, queued_at: "2026-11-25T10:00:00.000Z" },
    ]);
    output.complained.mockClear();
    expect(await endpoint.alarm()).toBeNull();
  });

  it("that takes nothing does not fail the request: the rows are there, and the log says so", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const send = () => Promise.reject(new Error("Queue sendBatch failed: too many requests"));
    const DELIVERIES = Object.assign(Object.create(env.DELIVERIES), { send });
    expect((await client({ ...env, DELIVERIES }, { key: shop.key }).create(ORDER)).status).toBe(201);
    expect(await endpoint.statuses()).toEqual(["pending"]);
    await until(() => output.complained).toHaveBeenCalledOnce();
    expect(String(output.complained.mock.calls[0]?.[0])).toContain("deliveries not queued");
    output.complained.mockClear();
  });
});

describe("the sweep", () => {
  const sweep = (scheduledTime: number, bindings = env) =>
    worker.scheduled(createScheduledController({ scheduledTime, cron: "* * * * *" }), bindings);

  /** Objects that only say who was woken; some cannot be. */
  function onlyWoken(broken: readonly number[] = []) {
    const woken: number[] = [];
    const getByName = (name: string) => ({
      wake: async () => {
        const id = Number(name.split(":")[1]);
        if (broken.includes(id)) throw new Error("The object broke");
        woken.push(id);
      },
    });
    return { woken, objects: Object.assign(Object.create(env.WEBHOOK_ENDPOINT), { getByName }) };
  }

  it("sends what the queue has lost, half a minute after it was due", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    const id = await aPayment(shop);
    await shop.unheard.run(id, "confirm");
    const due = Date.parse((await endpoint.delivery(`evt_${id}_1`)).next_attempt_at ?? "");
    await sweep(due + 30 * SECOND);
    expect(await endpoint.alarm()).toBeNull();
    await sweep(due + 30 * SECOND + 1);
    await until(() => endpoint.statuses()).toEqual(["succeeded", "succeeded"]);
    expect(endpoint.receiver.ids).toEqual([`evt_${id}_1`, `evt_${id}_2`]);
  });

  it("sends again what a broken object had under way, and what was to be tried again", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    endpoint.receiver.next(answers(500));
    stopClock();
    await aPayment(shop);
    await run(endpoint);
    const due = Date.parse((await endpoint.delivery()).next_attempt_at ?? "");
    // As if the object had lost its alarm.
    await runInDurableObject(endpoint.stub, (_, { storage }) => storage.deleteAlarm());
    vi.setSystemTime(due + 30 * SECOND + 1);
    await sweep(Date.now());
    await runDurableObjectAlarm(endpoint.stub);
    expect(await endpoint.statuses()).toEqual(["succeeded"]);
  });

  it("wakes nobody who has nothing that is due", async () => {
    const shop = await aShop();
    const [idle, later, fresh, late] = [
      await anEndpoint(shop, ["payment.refunded"]),
      await anEndpoint(shop),
      await anEndpoint(shop),
      await anEndpoint(shop),
    ];
    later.receiver.always(answers(503, "", { "Retry-After": "3600" }));
    const now = stopClock();
    await aPayment(shop);
    await run(later);
    await run(fresh);
    vi.setSystemTime(now + HOUR - 30 * SECOND);
    await aPayment(shop);
    // The database's own clock bounds when a delivery is due first.
    await env.DB.prepare("UPDATE webhook_deliveries SET next_attempt_at = ? WHERE position = 2 AND state = 'pending'")
      .bind(now + HOUR - 30 * SECOND)
      .run();
    const { woken, objects } = onlyWoken();
    expect(await sweepDeliveries(env.DB, objects, now + HOUR)).toEqual({ woken: 1, secrets_wiped: 0 });
    expect(woken).toEqual([late.id]);
    expect(await sweepDeliveries(env.DB, objects, now + HOUR + 1)).toEqual({ woken: 3, secrets_wiped: 0 });
    const three = [later.id, fresh.id, late.id];
    expect(new Set(woken.slice(1))).toEqual(new Set(three));
    expect(await idle.deliveries()).toEqual([]);
  });

  it("wakes in no order, so that nobody comes last each time", async () => {
    const shop = await aShop();
    const ids = [await anEndpoint(shop), await anEndpoint(shop), await anEndpoint(shop)].map(({ id }) => id);
    await aPayment(shop);
    const last = new Set<unknown>();
    // By chance one of three is never last in 60 sweeps once in ten thousand million times.
    for (let n = 0; n < 60; n++) {
      const { woken, objects } = onlyWoken();
      await sweepDeliveries(env.DB, objects, Date.now() + HOUR);
      last.add(woken.at(-1));
    }
    expect(last).toEqual(new Set(ids));
  });

  it("has what an endpoint has left that is disabled cancelled, although it is not due yet", async () => {
    const shop = await aShop();
    const endpoint = await anEndpoint(shop);
    endpoint.receiver.always(answers(500));
    stopClock();
    await aPayment(shop);
    await run(endpoint);
    // As if what has deleted it had been killed right after.
    await env.DB.prepare("UPDATE webhook_endpoints SET deleted_at = created_at WHERE id = ?").bind(endpoint.id).run();
    const { woken, objects } = onlyWoken();
    expect(await sweepDeliveries(env.DB, objects, Date.now())).toEqual({ woken: 1, secrets_wiped: 0 });
    expect(woken).toEqual([endpoint.id]);
    await run(endpoint);
    expect(await endpoint.statuses()).toEqual(["cancelled"]);
    expect(await sweepDeliveries(env.DB, objects, Date.now())).toEqual({ woken: 0, secrets_wiped: 0 });
  });

  it("goes on when one endpoint cannot be woken", async () => {
    const shop = await aShop();
    const [broken, fine] = [await anEndpoint(shop), await anEndpoint(shop)];
    await aPayment(shop);
    const { woken, objects } = onlyWoken([broken.id]);
    expect(await sweepDeliveries(env.DB, objects, Date.now() + MINUTE)).toEqual({ woken: 1, secrets_wiped: 0 });
    expect(woken).toEqual([fine.id]);
    expect(output.complained).toHaveBeenCalledOnce();
    output.complained.mockClear();
  });

  it.each([
    ["disabled", "disabled_at = created_at, disabled_reason = 'gone'"],
    ["deleted", "deleted_at = created_at"],
  ])("cancels what is left open of an endpoint that was %s", async (_, change) => {
    const shop = await aShop();
    const [endpoint, other] = [await anEndpoint(shop), await anEndpoint(shop)];
    stopClock();
    const id = await aPayment(shop);
    await shop.unheard.run(id, "confirm");
    await aPayment(shop);
    // As if what disables it had broken off before it cancelled.
    await env.DB.prepare(`UPDATE webhook_endpoints SET ${change} WHERE id = ?`).bind(endpoint.id).run();
    const { woken, objects } = onlyWoken();
    output.logged.mockClear();
    await sweep(Date.now() + MINUTE, { ...env, WEBHOOK_ENDPOINT: objects });
    expect(output.logged.mock.calls).toEqual([
      [JSON.stringify({ message: "deliveries swept", woken: 2, secrets_wiped: 0 })],
    ]);
    expect(woken.toSorted()).toEqual([endpoint.id, other.id].toSorted());
    await run(endpoint);
    expect(endpoint.receiver.received).toEqual([]);
    expect(await endpoint.statuses()).toEqual(new Array(3).fill("cancelled"));
    expect(await endpoint.alarm()).toBeNull();
    expect(await sweepDeliveries(env.DB, objects, Date.now() + MINUTE)).toEqual({ woken: 1, secrets_wiped: 0 });
  });

  it("reads a few rows for each endpoint, however many deliveries are open", async () => {
    const shop = await aShop();
    const endpoints = [await anEndpoint(shop), await anEndpoint(shop), await anEndpoint(shop)];
    const { objects } = onlyWoken();
    const cost = async () => {
      const meter = meterD1(env.DB);
      await sweepDeliveries(meter.db, objects, Date.now() + HOUR);
      return { trips: meter.trips, rowsRead: meter.rowsRead, rowsWritten: meter.rowsWritten };
    };
    const nothing = await cost();
    expect(nothing.rowsRead).toBeLessThanOrEqual(7);
    await aPayment(shop);
    const few = await cost();
    for (const { id } of endpoints) {
      for (const [position, state] of [
        [1_000, "pending"],
        [10_000, "succeeded"],
      ] as const) {
        await env.DB.prepare(
          `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
           INSERT INTO webhook_deliveries (endpoint_id, position, state, next_attempt_at, created_at)
           SELECT ?1, ?2 + i, ?3, iif(?3 = 'pending', ?4 + i, NULL), 1 FROM n`,
        )
          .bind(id, position, state, Date.now())
          .run();
      }
    }
    const many = await cost();
    await env.DB.exec("DELETE FROM webhook_deliveries WHERE position > 1000");
    expect(many).toEqual(few);
    expect([few.trips, few.rowsWritten]).toEqual([2, 0]);
    expect(few.rowsRead).toBeLessThanOrEqual(6 * endpoints.length + 6);
  });
});
