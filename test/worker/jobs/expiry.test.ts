import { createScheduledController } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import worker from "../../../src";
import { expirePayments } from "../../../src/jobs/expiry";
import type { DeliveryMessage } from "../../../src/outbox/outbox";
import { bringInto, type client, ORDER } from "../client";
import { instrumentD1, losesNth } from "../d1";
import { assertInvariants } from "../invariants";
import { newMerchant, PAYMENTS } from "../payment-list";

const MINUTE_MS = 60_000;
/** Small enough that requests have their turn between two steps; a run is bounded, and the next one goes on. */
const [PER_STEP, STEPS] = [200, 10];

const sent: DeliveryMessage[] = [];
const queue = {
  sendBatch: async (messages: Iterable<{ body: DeliveryMessage }>) => {
    for (const { body } of messages) sent.push(body);
  },
} as unknown as Queue<DeliveryMessage>;

const expire = (db = env.DB, now = Date.now()) => expirePayments(db, queue, now);

beforeEach(async () => {
  sent.length = 0;
  // What a test before has left to end.
  while (!(await expire()).finished);
  sent.length = 0;
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** Payments whose time is over: their ids. They are as the service would have made them a while ago. */
async function overdue(merchantId: number, count: number, since = MINUTE_MS): Promise<number[]> {
  const expiresAt = Date.now() - since;
  const at = Date.now() - 40 * 24 * 60 * MINUTE_MS;
  await env.DB.batch([
    env.DB.prepare(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
       INSERT INTO payments (merchant_id, order_id, amount_minor, currency, status, provider, expires_at, expiry_due_at, version,
         created_at, updated_at, event_positions)
       SELECT ?1, i, 100, 'USD', 'pending', 'internal', ?3 - i, ?3 - i, 1,
         max(?4, (SELECT coalesce(max(created_at), 0) FROM events WHERE merchant_id = ?1)),
         max(?4, (SELECT coalesce(max(created_at), 0) FROM events WHERE merchant_id = ?1)),
         json_array(i + (SELECT coalesce(max(position), 0) FROM events WHERE merchant_id = ?1)) FROM n`,
    ).bind(merchantId, count, expiresAt, at),
    env.DB.prepare(
      `INSERT INTO events (merchant_id, position, payment_id, sequence, type, data, request_id, created_at)
       SELECT merchant_id, event_positions ->> '$[0]', id, 1, 'payment.created', json_object('order_id', order_id,
         'amount_minor', amount_minor, 'currency', currency, 'status', status, 'provider', provider, 'expires_at', expires_at),
         'seed', created_at
       FROM payments WHERE merchant_id = ?1 AND NOT EXISTS (SELECT 1 FROM events WHERE payment_id = payments.id)`,
    ).bind(merchantId),
  ]);
  const { results } = await env.DB.prepare(
    "SELECT id FROM payments WHERE merchant_id = ? AND status = 'pending' ORDER BY id",
  )
    .bind(merchantId)
    .all<{ id: number }>();
  return results.map(({ id }) => id);
}

const counts = async (merchantId: number) =>
  env.DB.prepare(
    `SELECT (SELECT count(*) FROM payments WHERE merchant_id = ?1 AND status = 'expired') AS expired,
       (SELECT count(*) FROM payments WHERE merchant_id = ?1 AND status = 'pending') AS pending,
       (SELECT count(*) FROM events WHERE merchant_id = ?1 AND type = 'payment.expired') AS events`,
  )
    .bind(merchantId)
    .first();

describe("a payment whose time is over", () => {
  it("expires, with an event of the service's own, once", async () => {
    const { api, id: merchantId } = await newMerchant();
    const [id = 0] = await overdue(merchantId, 1);
    const before = (await api.get(id)).body;
    expect(await expire()).toEqual({ steps: 1, expired: 1, finished: true });
    const { body } = await api.get(id);
    const failure = {
      code: "expired",
      decline_code: null,
      message: "The payment was not completed in time. Order again.",
    };
    expect(body).toEqual({ ...before, status: "expired", failure, updated_at: body.updated_at });
    const { body: history } = await api.request<{ data: object[] }>("GET", `${PAYMENTS}/${id}/events`);
    expect(history.data[1]).toMatchObject({
      id: `evt_${id}_2`,
      type: "payment.expired",
      data: body,
      previous: { status: "pending", failure: null },
      key_id: null,
      idempotency_key: null,
    });
    for (let again = 0; again < 2; again++) expect(await expire()).toEqual({ steps: 0, expired: 0, finished: true });
    expect((await api.get(id)).body).toEqual(body);
    expect((await api.run(id, "confirm")).body.detail).toBe("Cannot confirm payment in expired status");
    const stored = await env.DB.prepare("SELECT stored_bytes AS n FROM events WHERE merchant_id = ? ORDER BY position")
      .bind(merchantId)
      .all<{ n: number }>();
    expect(stored.results.map(({ n }) => n > 0)).toEqual([false, true]);
  });

  it("is no other: without an end, before it, or of another status", async () => {
    const { api, id: merchantId } = await newMerchant();
    const body = { ...ORDER, expires_in: 3_600 };
    await api.create(ORDER);
    await api.create(body);
    for (const status of ["confirmed", "failed", "cancelled", "refunded"] as const) {
      await bringInto(status, (await api.create(body)).body, api);
    }
    expect(await expire()).toEqual({ steps: 0, expired: 0, finished: true });
    expect(await counts(merchantId)).toEqual({ expired: 0, pending: 2, events: 0 });
    // Neither is one at a provider, which is asked first.
    const [atProvider = 0] = await overdue(merchantId, 1);
    await env.DB.batch([
      env.DB.prepare("UPDATE payments SET provider = 'sandbox' WHERE id = ?").bind(atProvider),
      env.DB.prepare("UPDATE events SET data = json_set(data, '$.provider', 'sandbox') WHERE payment_id = ?").bind(
        atProvider,
      ),
    ]);
    await expire();
    expect((await api.get(atProvider)).body.status).toBe("pending");
    await env.DB.prepare("UPDATE payments SET expiry_due_at = NULL WHERE id = ?").bind(atProvider).run();
  });

  it("is what D1's clock says, whatever a machine's does", async () => {
    const { api, id: merchantId } = await newMerchant();
    // Half an hour from now.
    const [id = 0] = await overdue(merchantId, 1, -30 * MINUTE_MS);
    for (const ahead of [-24 * 60 * MINUTE_MS, 0, 60 * MINUTE_MS, 365 * 24 * 60 * MINUTE_MS]) {
      expect((await expire(env.DB, Date.now() + ahead)).expired).toBe(0);
    }
    expect((await api.run(id, "confirm")).status).toBe(200);
    const [due = 0] = await overdue(merchantId, 1);
    // A clock that is behind ends it later, and then at a time that is not before the merchant's newest event.
    expect((await expire(env.DB, Date.now() - 60 * MINUTE_MS)).expired).toBe(0);
    expect((await expire(env.DB, Date.now() + 60 * MINUTE_MS)).expired).toBe(1);
    expect(Date.parse((await api.get(due)).body.updated_at)).toBeLessThan(Date.now() + 2 * MINUTE_MS);
    await assertInvariants(env.DB);
  });
});

describe("thousands at once", () => {
  it("end in bounded steps and runs, each merchant's events without a gap", async () => {
    const merchants = [await newMerchant(), await newMerchant(), await newMerchant()];
    for (const [n, { id }] of merchants.entries()) await overdue(id, [1_500, 900, 1][n] ?? 0);
    let statements = 0;
    const counting = new Proxy(env.DB, {
      get(target, property) {
        const value: unknown = Reflect.get(target, property, target);
        if (property === "prepare") statements++;
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    expect(await expire(counting)).toEqual({ steps: STEPS, expired: STEPS * PER_STEP, finished: false });
    expect(statements).toBeLessThanOrEqual(45);
    await assertInvariants(env.DB);
    expect(await expire()).toEqual({ steps: 3, expired: 401, finished: true });
    for (const [n, { id }] of merchants.entries()) {
      const all = [1_500, 900, 1][n];
      expect(await counts(id)).toEqual({ expired: all, pending: 0, events: all });
    }
    await assertInvariants(env.DB);
  }, 60_000);

  it("let requests of the same merchant through between the steps", async () => {
    const { api, id: merchantId } = await newMerchant();
    await overdue(merchantId, 5 * PER_STEP);
    const times: number[] = [];
    let isOver = false;
    const asking = (async () => {
      while (!isOver) {
        const started = Date.now();
        expect((await api.create(ORDER)).status).toBe(201);
        times.push(Date.now() - started);
      }
    })();
    expect(await expire()).toMatchObject({ expired: 5 * PER_STEP });
    isOver = true;
    await asking;
    expect(times.length).toBeGreaterThan(1);
    await assertInvariants(env.DB);
  }, 60_000);
});

describe("at the same time", () => {
  it("a payment is confirmed or expired, and never both", async () => {
    const { api, id: merchantId } = await newMerchant();
    const ids = await overdue(merchantId, 40);
    // Their time to be looked at has come, and their end has not: either may be first.
    await env.DB.batch([
      env.DB.prepare("UPDATE payments SET expires_at = expires_at + 86400000 WHERE merchant_id = ?").bind(merchantId),
      env.DB.prepare(
        "UPDATE events SET data = json_set(data, '$.expires_at', (data ->> 'expires_at') + 86400000) WHERE merchant_id = ?",
      ).bind(merchantId),
    ]);
    const confirming = Promise.all(ids.map((id) => api.run(id, "confirm")));
    const slow = instrumentD1(env.DB, async (run) => {
      await Promise.all(ids.slice(0, 3).map((id) => api.get(id)));
      return run();
    });
    const [answers] = await Promise.all([confirming, expire(slow), expire()]);
    for (const [n, { status }] of answers.entries()) {
      const { body } = await api.get(ids[n] ?? 0);
      expect([body.status, status]).toEqual(status === 200 ? ["confirmed", 200] : ["expired", 409]);
    }
    const events = await env.DB.prepare("SELECT count(*) AS n FROM events WHERE merchant_id = ?")
      .bind(merchantId)
      .first("n");
    expect(events).toBe(2 * ids.length);
    await assertInvariants(env.DB);
  });

  it("two runs end each payment once", async () => {
    const { id: merchantId } = await newMerchant();
    await overdue(merchantId, 3 * PER_STEP);
    const runs = await Promise.all([expire(), expire(), expire()]);
    expect(runs.reduce((sum, { expired }) => sum + expired, 0)).toBe(3 * PER_STEP);
    expect(await counts(merchantId)).toEqual({ expired: 600, pending: 0, events: 600 });
    await assertInvariants(env.DB);
  }, 60_000);
});

describe("when D1 fails", () => {
  it.each([1, 2, 3, 4])("and loses the answer of round trip %i, each is ended once", async (n) => {
    const { id: merchantId } = await newMerchant();
    await overdue(merchantId, PER_STEP + 1);
    await expire(losesNth(env.DB, n));
    await expire();
    expect(await counts(merchantId)).toEqual({ expired: 201, pending: 0, events: 201 });
    await assertInvariants(env.DB);
  });

  it.each([1, 2, 3, 4])("at round trip %i, the run ends, and the next one goes on", async (n) => {
    const { id: merchantId } = await newMerchant();
    await overdue(merchantId, PER_STEP + 1);
    let trips = 0;
    const failing = instrumentD1(env.DB, async (run) => {
      if (++trips === n) throw new Error("D1_ERROR: overloaded");
      return run();
    });
    await expect(expire(failing)).rejects.toThrow("Out of reach");
    await assertInvariants(env.DB);
    expect((await counts(merchantId))?.expired).toBe(n > 2 ? PER_STEP : 0);
    expect(await expire()).toMatchObject({ finished: true });
    expect(await counts(merchantId)).toEqual({ expired: 201, pending: 0, events: 201 });
    await assertInvariants(env.DB);
  });
});

describe("webhook endpoints", () => {
  const endpointOf = async (api: ReturnType<typeof client>, types?: string[]) =>
    (
      await api.request("POST", "/api/v1/webhook-endpoints", {
        body: { url: "https://shop.example.com/", ...(types && { types }) },
      })
    ).body.id;
  const deliveriesTo = async (endpoint: number) =>
    (
      await env.DB.prepare(
        `SELECT events.payment_id, events.type, state, next_attempt_at IS NOT NULL AS due FROM webhook_deliveries AS delivery
         JOIN webhook_endpoints AS endpoint ON endpoint.id = delivery.endpoint_id
         JOIN events ON events.merchant_id = endpoint.merchant_id AND events.position = delivery.position
         WHERE endpoint_id = ? ORDER BY delivery.position`,
      )
        .bind(endpoint)
        .all()
    ).results;

  it("are woken, of each merchant those that receive the type", async () => {
    const [one, other, none] = [await newMerchant(), await newMerchant(), await newMerchant()];
    const ids = await overdue(one.id, 2);
    const [otherId] = await overdue(other.id, 1);
    await overdue(none.id, 1);
    const all = await endpointOf(one.api);
    const expired = await endpointOf(one.api, ["payment.expired"]);
    const confirmed = await endpointOf(one.api, ["payment.confirmed"]);
    const others = await endpointOf(other.api);
    await expire();
    const pending = (payment_id: number | undefined) => ({
      payment_id,
      type: "payment.expired",
      state: "pending",
      due: 1,
    });
    for (const endpoint of [all, expired]) expect(await deliveriesTo(endpoint)).toEqual(ids.map(pending));
    expect(await deliveriesTo(confirmed)).toEqual([]);
    expect(await deliveriesTo(others)).toEqual([pending(otherId)]);
    const told = sent.map(({ merchant_id, endpoint_ids }) => [merchant_id, [...endpoint_ids].sort((a, b) => a - b)]);
    expect(told.toSorted(([a], [b]) => Number(a) - Number(b))).toEqual([
      [one.id, [all, expired]],
      [other.id, [others]],
    ]);
  });

  it("are sent it behind the payment's earlier events", async () => {
    const { api, id: merchantId } = await newMerchant();
    const endpoint = await endpointOf(api);
    const [id] = await overdue(merchantId, 1);
    await env.DB.prepare(
      `INSERT INTO webhook_deliveries (endpoint_id, position, state, next_attempt_at, created_at)
       SELECT ?1, position, 'pending', ?3, ?3 FROM events WHERE payment_id = ?2`,
    )
      .bind(endpoint, id, Date.now())
      .run();
    await expire();
    expect((await deliveriesTo(endpoint)).map(({ state }) => state)).toEqual(["pending", "waiting"]);
  });

  it("are left to the sweep when the queue takes nothing", async () => {
    const { api, id: merchantId } = await newMerchant();
    const endpoint = await endpointOf(api);
    await overdue(merchantId, 1);
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const broken = { sendBatch: () => Promise.reject(new Error("no queue")) } as unknown as Queue<DeliveryMessage>;
    expect((await expirePayments(env.DB, broken, Date.now())).expired).toBe(1);
    expect(JSON.parse(String(logged.mock.calls[0]?.[0]))).toMatchObject({ message: "deliveries not queued" });
    expect(await deliveriesTo(endpoint)).toHaveLength(1);
  });
});

describe("the job of every minute", () => {
  const run = (bindings: Partial<Env>) =>
    worker.scheduled(createScheduledController({ scheduledTime: Date.now(), cron: "* * * * *" }), {
      ...env,
      ...bindings,
    });

  it("ends payments, and says so", async () => {
    const { id: merchantId } = await newMerchant();
    await overdue(merchantId, 3);
    const logged = vi.spyOn(console, "log").mockImplementation(() => {});
    await run({ DELIVERIES: queue });
    expect((await counts(merchantId))?.expired).toBe(3);
    const lines = logged.mock.calls.map(([line]) => JSON.parse(String(line)));
    expect(lines).toContainEqual({ message: "payments expired", expired: 3, finished: true });
    await run({ DELIVERIES: queue });
    const again = logged.mock.calls.map(([line]) => JSON.parse(String(line)).message);
    expect(again.filter((message) => message === "payments expired")).toHaveLength(1);
  });

  it("wakes a payment at a provider whose time is over, and says so, and nothing when there is none", async () => {
    const { api, id: merchantId } = await newMerchant();
    const { body } = await api.create({ ...ORDER, provider: "sandbox" });
    await env.DB.prepare("UPDATE payments SET expiry_due_at = ? WHERE id = ?").bind(Date.now(), body.id).run();
    const woken: string[] = [];
    const PAYMENT = {
      getByName: (name: string) => ({ wake: async () => void woken.push(name) }),
    } as unknown as Env["PAYMENT"];
    const logged = vi.spyOn(console, "log").mockImplementation(() => {});
    await run({ DELIVERIES: queue, PAYMENT });
    await run({ DELIVERIES: queue, PAYMENT });
    expect(woken).toEqual([`${merchantId}:${body.id}`]);
    const lines = logged.mock.calls.map(([line]) => JSON.parse(String(line)));
    expect(lines.filter(({ message }) => message === "operations swept")).toEqual([
      { message: "operations swept", woken: 1 },
    ]);
  });

  it("ends payments also when the sweep of deliveries fails, and fails with it", async () => {
    const { id: merchantId } = await newMerchant();
    await overdue(merchantId, 1);
    let trips = 0;
    const failing = instrumentD1(env.DB, async (roundTrip) => {
      if (++trips === 1) throw new Error("D1_ERROR: overloaded");
      return roundTrip();
    });
    await expect(run({ DB: failing, DELIVERIES: queue })).rejects.toThrow("Out of reach");
    expect((await counts(merchantId))?.expired).toBe(1);
  });
});
