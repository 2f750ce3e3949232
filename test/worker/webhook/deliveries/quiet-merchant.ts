/** A merchant whose queue is quiet: what its endpoints are sent, and the log of it, when a test says so. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeAll, beforeEach, expect, vi } from "vitest";
import type { z } from "zod";
import type { WebhookEndpointSchema } from "../../../../src/outbox/endpoint-schemas";
import { EVENT_TYPE_NAMES, type EventType } from "../../../../src/outbox/event-types";
import type { DeliveryMessage } from "../../../../src/outbox/outbox";
import type { DeliveryState } from "../../../../src/outbox/states";
import type { DeliverySchema } from "../../../../src/webhook/routes/schemas";
import { type Client, client, ORDER } from "../../client";
import { meterD1 } from "../../d1";
import { envWithD1 } from "../../objects";
import { newMerchant } from "../../payment-list";
import { answers, listen, Receiver, type Reply } from "../../receiver";
import { ENDPOINTS, MINUTE, SECOND } from "../shop";

/**
 * Of the clock, in the tests that move it: in whole seconds, after all that has happened, and not so far ahead that the
 * database's own clock would hold it back.
 */
export const NOON = Math.ceil(Date.now() / SECOND) * SECOND + MINUTE / 2;

export type WebhookEndpoint = z.output<typeof WebhookEndpointSchema>;
export type Delivery = z.output<typeof DeliverySchema>;

export interface Log {
  data: Delivery[];
  has_more: boolean;
  next_cursor: string | null;
}

export interface Replayed {
  delivery_count: number;
  has_more: boolean;
  next_cursor: string | null;
}

export const takes = answers(204);
export const fails = answers(500, "Ouch");

export function receiverThat(reply: Reply): Receiver {
  const receiver = new Receiver();
  receiver.always(reply);
  return receiver;
}

/** The bindings with a queue that keeps what it is told: nothing is sent before a test has it sent. */
export function quiet(bindings: Env, told: DeliveryMessage[] = []): Env {
  const send = async (message: DeliveryMessage) => void told.push(message);
  return { ...bindings, DELIVERIES: Object.assign(Object.create(bindings.DELIVERIES), { send }) };
}

export let merchant: Awaited<ReturnType<typeof newMerchant>>;
/** The test's merchant, with a queue that is quiet. */
export let api: Client;
/** What the queue was told. */
export let told: DeliveryMessage[];

/** Gives each test of a file a merchant of its own, whose queue is quiet. */
export function quietMerchant(): void {
  // Some wait for what the runtime does by itself, or write thousands of rows, also on a busy machine.
  vi.setConfig({ testTimeout: 20_000 });
  // Nothing leaves this machine: the receivers are all the servers that there are.
  beforeAll(listen);
  beforeEach(async () => {
    merchant = await newMerchant();
    told = [];
    api = client(quiet(env, told), { key: merchant.key });
  });
  afterEach(() => {
    vi.useRealTimers();
  });
}

/** A new endpoint, at a receiver that takes everything unless told otherwise. */
export async function newEndpoint(types: readonly EventType[] = EVENT_TYPE_NAMES, receiver = new Receiver(), by = api) {
  const { status, body } = await by.request<{ id: number; secret: string }>("POST", ENDPOINTS, {
    body: { url: receiver.url, types },
  });
  expect(status).toBe(201);
  return { id: body.id, secret: body.secret, receiver };
}

export const patch = (id: number, body: object, by = api) =>
  by.request<WebhookEndpoint>("PATCH", `${ENDPOINTS}/${id}`, { body });
export const remove = (id: number) => api.request("DELETE", `${ENDPOINTS}/${id}`);
export const retry = (id: number, eventId: string, by = api) =>
  by.request<Delivery>("POST", `${ENDPOINTS}/${id}/deliveries/${eventId}/retry`);
export const replay = (id: number, body: object, by = api) =>
  by.request<Replayed>("POST", `${ENDPOINTS}/${id}/replay`, { body });
export const one = (id: number, eventId: string, by = api) =>
  by.request<Delivery>("GET", `${ENDPOINTS}/${id}/deliveries/${eventId}`);
export const timeOf = (at: number) => new Date(at).toISOString();

export async function log(id: number, query = "", by = api): Promise<Log> {
  const { status, body } = await by.request<Log>("GET", `${ENDPOINTS}/${id}/deliveries${query}`);
  expect(status).toBe(200);
  return body;
}

/** What the log says of each event, newest first. */
export async function states(id: number): Promise<[event: string, state: DeliveryState][]> {
  return (await log(id, "?limit=100")).data.map(({ event_id, status }) => [event_id, status]);
}

export async function delivery(id: number, eventId: string): Promise<Delivery> {
  const found = (await log(id, "?limit=100")).data.find(({ event_id }) => event_id === eventId);
  if (!found) throw new Error(`There is no delivery of ${eventId}`);
  return found;
}

/** Sends all that is due to an endpoint, and waits for it. */
export function sendDue(id: number): Promise<void> {
  return runInDurableObject(env.WEBHOOK_ENDPOINT.getByName(`${merchant.id}:${id}`), (object) => object.alarm());
}

/** A new payment, with the ids of the events that it will have. */
export async function newPayment(by = api): Promise<{ id: number; events: [string, string, string] }> {
  const { status, body } = await by.create(ORDER);
  expect(status).toBe(201);
  return { id: body.id, events: [`evt_${body.id}_1`, `evt_${body.id}_2`, `evt_${body.id}_3`] };
}

/** Puts the deliveries of an endpoint into another state than they have come to. */
export async function put(id: number, state: DeliveryState, failures = 0): Promise<void> {
  const sql = "UPDATE webhook_deliveries SET state = ?, failures = ?, next_attempt_at = NULL WHERE endpoint_id = ?";
  await env.DB.prepare(sql).bind(state, failures, id).run();
}

/** Gives the test's merchant this many more payments with their first events, all of one time. */
export async function seed(count: number, at = Date.now()): Promise<void> {
  await env.DB.batch([
    env.DB.prepare(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
       INSERT INTO payments (merchant_id, order_id, amount_minor, currency, status, provider, version, created_at, updated_at)
       SELECT ?2, i, 100, 'USD', 'pending', 'internal', 1, ?3, ?3 FROM n`,
    ).bind(count, merchant.id, at),
    env.DB.prepare(
      `INSERT INTO events (merchant_id, position, payment_id, sequence, type, data, request_id, created_at)
       SELECT ?1, (SELECT coalesce(max(position), 0) FROM events WHERE merchant_id = ?1) + row_number() OVER (ORDER BY id),
       id, 1, 'payment.created', json_object('order_id', order_id, 'amount_minor', amount_minor, 'currency', currency,
       'status', status, 'provider', provider), 'seed', created_at
       FROM payments WHERE merchant_id = ?1 AND event_positions = '[]'`,
    ).bind(merchant.id),
    env.DB.prepare(
      `UPDATE payments SET event_positions = json_array(position) FROM events
       WHERE event_positions = '[]' AND events.payment_id = payments.id`,
    ),
  ]);
}

/** Gives an endpoint a delivery of every event of the test's merchant that it has none of. */
export async function seedDeliveries(id: number, state: "pending" | "succeeded", at = Date.now()): Promise<void> {
  await env.DB.prepare(
    `INSERT INTO webhook_deliveries (endpoint_id, position, state, next_attempt_at, created_at)
     SELECT ?1, position, ?2, iif(?2 = 'pending', ?3, NULL), ?3 FROM events WHERE merchant_id = ?4
     ON CONFLICT DO NOTHING`,
  )
    .bind(id, state, at, merchant.id)
    .run();
}

/** How many deliveries of an endpoint there are in each state. */
export async function counts(id: number): Promise<Record<string, number>> {
  const { results } = await env.DB.prepare(
    "SELECT state, count(*) AS n FROM webhook_deliveries WHERE endpoint_id = ? GROUP BY state",
  )
    .bind(id)
    .all<{ state: string; n: number }>();
  return Object.fromEntries(results.map(({ state, n }) => [state, n]));
}

/** What one operation costs the test's merchant in D1, in an isolate that knows its key. */
export async function costOf(operation: (by: Client) => Promise<{ status: number }>) {
  const meter = meterD1(env.DB);
  const metered = client(quiet(envWithD1(meter.db)), { key: merchant.key });
  await metered.create({});
  const { trips, rowsRead, rowsWritten } = meter;
  expect((await operation(metered)).status).toBeOneOf([200, 201, 204]);
  return {
    trips: meter.trips - trips,
    rowsRead: meter.rowsRead - rowsRead,
    rowsWritten: meter.rowsWritten - rowsWritten,
  };
}

/** What creating a payment and confirming one cost the test's merchant. */
export async function costs() {
  const { id } = await newPayment();
  return { create: await costOf((by) => by.create(ORDER)), confirm: await costOf((by) => by.run(id, "confirm")) };
}
