/**
 * The outbox: the deliveries of an event, written in the batch of the change itself. After the commit the queue is
 * given them; it may lose, double or reorder what it is given, for the rows decide.
 */
import type { Context } from "hono";
import type { App, Origin } from "../context";
import { commitTime } from "../storage/clock";
import { logError } from "../storage/log";
import { raw, type Sql, sql } from "../storage/sql";

/** How many endpoints a merchant may have: each is a row more for every event. */
export const MAX_ENDPOINTS = 20;

/** Which event is delivered to which endpoint. */
export interface DeliveryId {
  readonly endpoint_id: number;
  /** The event's position, among those of the endpoint's merchant. */
  readonly position: number;
}

/** What the queue carries: a merchant's endpoints that have something to do. */
export interface DeliveryMessage {
  readonly merchant_id: number;
  readonly endpoint_ids: readonly number[];
}

/** Whether an endpoint receives events of this type, as SQL; an endpoint without a list receives all, also new ones. */
export const receives = (type: string): Sql =>
  raw(
    `(endpoint.types IS NULL OR EXISTS (SELECT 1 FROM json_each(endpoint.types) AS wanted WHERE wanted.value = ${type}))`,
  );

/**
 * Joins the line that an event stands in, as `place`: the positions of its payment's events, or its own alone where it is of
 * no payment. The order of the tables is kept.
 */
export const joinLine = (event: string): Sql =>
  raw(`LEFT JOIN payments ON payments.id = ${event}.payment_id
    CROSS JOIN json_each(ifnull(event_positions, json_array(${event}.position))) AS place`);

/** Which events a statement makes deliveries of, and for which endpoints. */
export interface DeliverySource {
  /** The tables `endpoint` and `event`, joined, and what else `first` needs. */
  readonly from: Sql;
  /** Rows that exist while another event of the same payment goes first. */
  readonly first: Sql;
  /** What becomes of a delivery that there is already. */
  readonly onConflict: Sql;
}

/**
 * Inserts the deliveries of a source's events, to each of its endpoints that is enabled and receives their type. A
 * delivery whose payment has an earlier event to deliver waits for that.
 */
export function insertDeliveriesOf({ from, first, onConflict }: DeliverySource, now: number): Sql {
  return sql`
  INSERT INTO webhook_deliveries (endpoint_id, position, state, next_attempt_at, created_at)
  SELECT endpoint_id, position, iif(waits, 'waiting', 'pending'), iif(waits, NULL, ${commitTime(now)}), ${commitTime(now)}
  FROM (
    SELECT endpoint.id AS endpoint_id, event.position, EXISTS (${first}) AS waits
    FROM ${from}
    WHERE endpoint.disabled_at IS NULL AND endpoint.deleted_at IS NULL AND ${receives("event.type")}
  )
  WHERE true
  ON CONFLICT (endpoint_id, position) ${onConflict}
  RETURNING endpoint_id, position`;
}

/**
 * The deliveries of the newest event of a payment, when this request has written it: one for each endpoint of the
 * merchant that receives its type, and no row read or written where there is none. Running it again does nothing.
 * CROSS JOIN keeps the order of its tables, which reads a few rows for each endpoint, however many deliveries it has.
 *
 * @param payment the payment's id, or SQL for it
 */
export function insertDeliveries(
  payment: number | Sql,
  { merchantId, commitId, now }: Pick<Origin, "merchantId" | "commitId" | "now">,
): Sql {
  const from = sql`webhook_endpoints AS endpoint INDEXED BY webhook_endpoints_enabled
    CROSS JOIN payments ON endpoint.merchant_id = ${merchantId} AND payments.id = ${payment}
      AND payments.merchant_id = endpoint.merchant_id
    CROSS JOIN events AS event ON event.merchant_id = payments.merchant_id
      AND event.position = event_positions ->> '$[#-1]' AND event.commit_id = ${commitId}`;
  return insertDeliveriesOf({ from, first: EARLIER_OPEN, onConflict: raw("DO NOTHING") }, now);
}

/** The open deliveries of a payment's earlier events, to the same endpoint. */
const EARLIER_OPEN = raw(`
      SELECT 1 FROM json_each(event_positions) AS place
      CROSS JOIN webhook_deliveries AS earlier ON earlier.endpoint_id = endpoint.id AND earlier.position = place.value
      WHERE earlier.state IN ('waiting', 'pending')`);

/**
 * The same for many payments at once, of any merchants: each delivery is returned with its merchant.
 *
 * @param payments tables that give `payments`, joined
 * @param commitId what the newest event of a payment was committed under, as SQL on its row
 */
export function insertDeliveriesOfPayments(payments: Sql, commitId: Sql, now: number): Sql {
  const from = sql`${payments}
    CROSS JOIN events AS event ON event.merchant_id = payments.merchant_id
      AND event.position = event_positions ->> '$[#-1]' AND event.commit_id = ${commitId}
    CROSS JOIN webhook_endpoints AS endpoint INDEXED BY webhook_endpoints_enabled
      ON endpoint.merchant_id = payments.merchant_id`;
  const inserted = insertDeliveriesOf({ from, first: EARLIER_OPEN, onConflict: raw("DO NOTHING") }, now);
  return sql`${inserted},
    (SELECT merchant_id FROM webhook_endpoints WHERE id = webhook_deliveries.endpoint_id) AS merchant_id`;
}

export const isDeliveryId = (row: object): row is DeliveryId => "endpoint_id" in row && "position" in row;

/** A delivery, with the merchant whose it is. */
export interface OwnedDelivery extends DeliveryId {
  readonly merchant_id: number;
}

/** Has deliveries sent, after the answer; of the principal's merchant, unless they say whose. The sweep finds what the queue loses. */
export function enqueueDeliveries(c: Context<App>, deliveries: readonly (DeliveryId | OwnedDelivery)[]): void {
  const merchantOf = (delivery: DeliveryId | OwnedDelivery) =>
    "merchant_id" in delivery ? delivery.merchant_id : c.get("principal").merchantId;
  for (const [merchantId, own] of Map.groupBy(deliveries, merchantOf)) {
    enqueueEndpoints(c, [...new Set(own.map(({ endpoint_id }) => endpoint_id))], merchantId);
  }
}

/** Has endpoints do what there is to do, after the answer; of the principal's merchant, unless another is named. */
export function enqueueEndpoints(
  c: Context<App>,
  endpoint_ids: readonly number[],
  merchant_id: number = c.get("principal").merchantId,
): void {
  if (endpoint_ids.length === 0) return;
  c.executionCtx.waitUntil(
    queueEndpoints(c.env.DELIVERIES, { merchant_id, endpoint_ids }, { request_id: c.get("requestId") }),
  );
}

/** Has the queue wake endpoints. Never throws: the sweep finds what the queue does not take. */
export async function queueEndpoints(
  queue: Queue<DeliveryMessage>,
  message: DeliveryMessage,
  fields: { readonly [name: string]: string | number },
): Promise<void> {
  try {
    await queue.send(message);
  } catch (error) {
    logError({ message: "deliveries not queued", ...fields, cause: String(error) });
  }
}

/** How many messages the queue takes in one call. */
const MESSAGES_PER_CALL = 100;

/** Has the queue wake the endpoints of deliveries of many merchants. Never throws, as `queueEndpoints` does not. */
export async function queueMany(
  queue: Queue<DeliveryMessage>,
  deliveries: readonly OwnedDelivery[],
  fields: { readonly [name: string]: string | number },
): Promise<void> {
  const messages = [...Map.groupBy(deliveries, ({ merchant_id }) => merchant_id)].map(([merchant_id, own]) => ({
    body: { merchant_id, endpoint_ids: [...new Set(own.map(({ endpoint_id }) => endpoint_id))] },
  }));
  try {
    for (let first = 0; first < messages.length; first += MESSAGES_PER_CALL) {
      await queue.sendBatch(messages.slice(first, first + MESSAGES_PER_CALL));
    }
  } catch (error) {
    logError({ message: "deliveries not queued", ...fields, cause: String(error) });
  }
}
