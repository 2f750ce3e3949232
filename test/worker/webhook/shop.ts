/** A merchant with its endpoints and their receivers, whose deliveries are sent when a test says so. */
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, beforeEach, expect, type MockInstance, vi } from "vitest";
import type { z } from "zod";
import type { WebhookEndpointSchema } from "../../../src/outbox/endpoint-schemas";
import type { EventType } from "../../../src/outbox/event-types";
import { objectName } from "../../../src/storage/object-name";
import { WebhookEndpointObject } from "../../../src/webhook/object";
import type { DeliverySchema } from "../../../src/webhook/routes/schemas";
import { type Client, client, ORDER } from "../client";
import { newMerchant } from "../payment-list";
import { drops, expectAllSigned, listen, Receiver, type Reply } from "../receiver";

export const ENDPOINTS = "/api/v1/webhook-endpoints";
export const [SECOND, MINUTE, HOUR, DAY_MS] = [1_000, 60_000, 3_600_000, 86_400_000];

/** The bindings with a queue that loses what it is told. */
export const UNHEARD: Env = {
  ...env,
  DELIVERIES: Object.assign(Object.create(env.DELIVERIES), { send: async () => {} }),
};

export interface Shop {
  readonly id: number;
  readonly key: string;
  readonly api: Client;
  /** Does what `api` does, and the queue is not told: nothing is sent before a test says so. */
  readonly unheard: Client;
}

export async function aShop(): Promise<Shop> {
  const { id, key, api } = await newMerchant();
  return { id, key, api, unheard: client(UNHEARD, { key }) };
}

/** A new payment that the queue was not told of; its id. */
export async function aPayment({ unheard }: Shop): Promise<number> {
  const { status, body } = await unheard.create(ORDER);
  expect(status).toBe(201);
  return body.id;
}

/** An event as the API answers it, to the letter. */
export async function eventText({ key }: Shop, id: string): Promise<string> {
  const headers = { Authorization: `Bearer ${key}` };
  const response = await exports.default.fetch(new Request(`http://localhost/api/v1/events/${id}`, { headers }));
  expect(response.status).toBe(200);
  return response.text();
}

export type WebhookEndpoint = Awaited<ReturnType<typeof anEndpoint>>;
export type Delivery = z.output<typeof DeliverySchema>;

/** A new endpoint of a shop, with who receives what is sent to it. */
export async function anEndpoint({ id: merchantId, api }: Shop, types?: readonly EventType[]) {
  const receiver = new Receiver();
  const made = await api.request<{ id: number; secret: string }>("POST", ENDPOINTS, {
    body: { url: receiver.url, ...(types && { types }) },
  });
  expect(made.status).toBe(201);
  const { id, secret } = made.body;
  receiver.secrets.push(secret);
  const path = `${ENDPOINTS}/${id}`;
  const stub = env.WEBHOOK_ENDPOINT.getByName(objectName({ merchantId, id }));
  /** What is to be sent, and was, oldest event first. */
  const deliveries = async () => {
    const { body } = await api.request<{ data: Delivery[] }>("GET", `${path}/deliveries?limit=100`);
    return body.data.reverse();
  };
  return {
    ...{ id, path, receiver, stub, secret, deliveries },
    /** The one delivery there is, or that of an event. */
    delivery: async (event?: string, { whole = false } = {}) => {
      // By itself it has all its attempts, and not the newest ten.
      if (whole) return (await api.request<Delivery>("GET", `${path}/deliveries/${event}`)).body;
      const found = (await deliveries()).filter(({ event_id }) => event === undefined || event === event_id);
      const [delivery] = found;
      if (!delivery || found.length > 1) throw new Error(`There are ${found.length} deliveries`);
      return delivery;
    },
    statuses: async () => (await deliveries()).map(({ status }) => status),
    get: async () => (await api.request<z.output<typeof WebhookEndpointSchema>>("GET", path)).body,
    alarm: () => runInDurableObject(stub, (_, { storage }) => storage.getAlarm()),
  };
}

/** Takes the app's clock in hand, on a full second and an hour ahead, so that no alarm goes off by itself. */
export function stopClock(): number {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(Math.ceil(Date.now() / SECOND) * SECOND + HOUR);
  return Date.now();
}

/** Has an endpoint's object send what is due, while the clock is stopped, and waits until it has. */
export async function run({ stub }: WebhookEndpoint): Promise<void> {
  await stub.wake();
  expect(await runDurableObjectAlarm(stub)).toBe(true);
}

/** Waits for what happens by itself; meanwhile a stopped clock goes on a little. */
export const until = <T>(read: () => T) => expect.poll(read, { timeout: 10_000, interval: 5 });

export type Around = <T>(sql: string, roundTrip: () => Promise<T>) => Promise<T>;

/** The database with `around` put around every round trip; it is told of the statements. */
export function d1With(around: Around): D1Database {
  const known = new WeakMap<D1PreparedStatement, { real: D1PreparedStatement; sql: string }>();
  const wrap = (real: D1PreparedStatement, sql: string): D1PreparedStatement => {
    const wrapped: D1PreparedStatement = Object.assign(Object.create(real), {
      bind: (...values: unknown[]) => wrap(real.bind(...values), sql),
      all: () => around(sql, () => real.all()),
    });
    known.set(wrapped, { real, sql });
    return wrapped;
  };
  return Object.assign(Object.create(env.DB), {
    prepare: (sql: string) => wrap(env.DB.prepare(sql), sql),
    batch: (statements: D1PreparedStatement[]) => {
      const found = statements.map((statement) => known.get(statement) ?? { real: statement, sql: "" });
      return around(found.map(({ sql }) => sql).join(";"), () => env.DB.batch(found.map(({ real }) => real)));
    },
  });
}

export const isLook = (sql: string) => sql.includes("JOIN webhook_deliveries AS due");
export const isRecord = (sql: string) => sql.includes("UPDATE webhook_deliveries SET\n    attempts =");
export const isLastLook = (sql: string) => sql.includes("AS is_closed");

/** Fails a round trip of this kind, as an outage does, so many times. */
export function failing(
  isMeant: (sql: string) => boolean,
  times: number,
  message = "D1_ERROR: D1 DB is overloaded.",
): Around {
  let left = times;
  return (sql, roundTrip) => (isMeant(sql) && left-- > 0 ? Promise.reject(new Error(message)) : roundTrip());
}

/** Lets something happen after a round trip of this kind, the nth, and before its answer arrives. */
export function following(isMeant: (sql: string) => boolean, n: number, then: () => Promise<unknown>): Around {
  let seen = 0;
  return async (sql, roundTrip) => {
    const answer = await roundTrip();
    if (isMeant(sql) && ++seen === n) await then();
    return answer;
  };
}

/** Runs with one more object of an endpoint, in the context of the real one, on another D1. */
export function withObject<T>(
  { stub }: WebhookEndpoint,
  db: D1Database,
  use: (object: WebhookEndpointObject) => Promise<T>,
): Promise<T> {
  return runInDurableObject(stub, (_, state) => use(new WebhookEndpointObject(state, { ...env, DB: db })));
}

/** What was recorded of an endpoint's being disabled. */
export async function disablings({ id }: WebhookEndpoint): Promise<object[]> {
  const sql = `SELECT merchant_id, data, actor_merchant_id, key_id FROM account_events
    WHERE type = 'webhook_endpoint.disabled' AND subject = ?`;
  return (await env.DB.prepare(sql).bind(String(id)).all<object>()).results;
}

/** One attempt for each of these replies; the deliveries, in the same order, with the attempt of each. */
export async function attempted(...replies: Reply[]) {
  const shop = await aShop();
  const endpoint = await anEndpoint(shop);
  stopClock();
  const byEvent = new Map<string, Reply>();
  for (const reply of replies) byEvent.set(`evt_${await aPayment(shop)}_1`, reply);
  endpoint.receiver.always((received) => (byEvent.get(received.id) ?? drops)(received));
  await run(endpoint);
  const deliveries = await endpoint.deliveries();
  expect(endpoint.receiver.received).toHaveLength(replies.length);
  return deliveries.map(({ attempts, ...delivery }) => {
    expect(attempts).toHaveLength(1);
    return { ...delivery, attempt: attempts[0] };
  });
}

/** Gives a shop many payments at once, each with a delivery that is due. */
export async function seedPayments({ id }: Shop, endpoint: WebhookEndpoint, count: number): Promise<void> {
  const n = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)";
  const made = "'order_id', 1, 'amount_minor', 100, 'currency', 'USD', 'status', 'pending', 'provider', 'internal'";
  await env.DB.batch([
    env.DB.prepare(
      `INSERT INTO payments (merchant_id, order_id, amount_minor, currency, status, provider, version, created_at,
         updated_at, event_positions)
       ${n} SELECT ?2, 1, 100, 'USD', 'pending', 'internal', 1, 1, 1, json_array(i) FROM n`,
    ).bind(count, id),
    env.DB.prepare(
      `INSERT INTO events (merchant_id, position, payment_id, sequence, type, data, request_id, created_at)
       SELECT merchant_id, event_positions ->> '$[0]', id, 1, 'payment.created', json_object(${made}), 'seed', 1
       FROM payments WHERE merchant_id = ?`,
    ).bind(id),
    env.DB.prepare(
      `INSERT INTO webhook_deliveries (endpoint_id, position, state, next_attempt_at, created_at)
       SELECT ?, position, 'pending', 1, 1 FROM events WHERE merchant_id = ?`,
    ).bind(endpoint.id, id),
  ]);
}
/**
 * Puts receivers in the place of the network for each test of a file, and listens to its log. A test that expects an
 * error in the log takes it with `complained.mockClear()`.
 */
export function watch(): {
  readonly logged: MockInstance<typeof console.log>;
  readonly complained: MockInstance<typeof console.error>;
} {
  const output = {
    logged: undefined as unknown as MockInstance<typeof console.log>,
    complained: undefined as unknown as MockInstance<typeof console.error>,
  };
  beforeEach(() => {
    listen();
    output.logged = vi.spyOn(console, "log").mockImplementation(() => {});
    output.complained = vi.spyOn(console, "error").mockImplementation(() => {});
  });
  afterEach(async () => {
    vi.useRealTimers();
    // The sweep is about all endpoints, so no test leaves anything open.
    await env.DB.exec(
      "UPDATE webhook_deliveries SET state = 'cancelled', next_attempt_at = NULL WHERE state IN ('waiting', 'pending')",
    );
    const complaints = output.complained.mock.calls;
    vi.restoreAllMocks();
    expectAllSigned();
    expect(complaints).toEqual([]);
  });
  return output;
}
