/** Payments that are stored by hand, with all that belongs to them: many of them, or at times that are given. */
import { env } from "cloudflare:workers";
import { eventType, INITIAL_STATUS, type Status } from "../../src/payment/lifecycle";
import { STATUSES_ON_THE_WAY } from "./client";

/** What a test says of a payment; what it leaves out is as in any other. */
export interface SeededPayment {
  readonly order_id?: number;
  /** In minor units. */
  readonly amount_minor?: number;
  readonly currency?: string;
  readonly status?: Status;
  readonly metadata?: Readonly<Record<string, string>>;
  /** In milliseconds; not before that of the payment before it. */
  readonly created_at: number;
}

export interface StoredPayment extends Required<SeededPayment> {
  readonly id: number;
}

/** What a payment is unless it is told to be something else. */
export const ORDINARY: Omit<Required<SeededPayment>, "created_at"> = {
  ...{ order_id: 1, amount_minor: 100, currency: "USD", status: INITIAL_STATUS, metadata: {} },
};

/** Stores payments of a merchant, oldest first: each with its pairs and, one after the other, its events. */
export async function seedPayments(
  merchantId: number,
  payments: readonly SeededPayment[],
): Promise<readonly StoredPayment[]> {
  const last = await env.DB.prepare(
    `SELECT (SELECT coalesce(max(id), 0) FROM payments) AS id,
       (SELECT coalesce(max(position), 0) FROM events WHERE merchant_id = ?) AS position`,
  )
    .bind(merchantId)
    .first<{ id: number; position: number }>();
  let { id, position } = last ?? { id: 0, position: 0 };
  const stored = payments.map((payment): StoredPayment => ({ ...ORDINARY, ...payment, id: ++id }));
  const rows = stored.map((payment) => {
    const { order_id, amount_minor, currency, status } = payment;
    const data = (to: Status) => ({
      status: to,
      ...(to === "confirmed" && { captured_minor: amount_minor }),
      ...(to === "refunded" && { refunded_minor: amount_minor }),
    });
    const first = { order_id, amount_minor, currency, provider: "internal", ...data(INITIAL_STATUS) };
    const later = STATUSES_ON_THE_WAY[status].map((to) => ({ data: data(to), type: eventType(to) }));
    return {
      ...payment,
      captured_minor: ["confirmed", "refunded"].includes(status) ? amount_minor : 0,
      refunded_minor: status === "refunded" ? amount_minor : 0,
      events: [{ data: first, type: eventType(INITIAL_STATUS) }, ...later].map((event) => ({
        ...event,
        position: ++position,
      })),
    };
  });
  const seed = (sql: string) => env.DB.prepare(sql).bind(merchantId, JSON.stringify(rows));
  await env.DB.batch([
    seed(
      `INSERT INTO payments (id, merchant_id, order_id, amount_minor, captured_minor, refunded_minor, currency, status, provider, version, created_at,
         updated_at, metadata, event_positions)
       SELECT value ->> 'id', ?1, value ->> 'order_id', value ->> 'amount_minor', value ->> 'captured_minor', value ->> 'refunded_minor',
         value ->> 'currency', value ->> 'status', 'internal', json_array_length(value -> 'events'), value ->> 'created_at', value ->> 'created_at',
         value -> 'metadata', (SELECT json_group_array(value ->> 'position') FROM json_each(row.value -> 'events'))
       FROM json_each(?2) AS row`,
    ),
    seed(
      `INSERT INTO payment_metadata (merchant_id, name, prefix, created_at, payment_id)
       SELECT ?1, pair.key, substr(pair.value, 1, 64), row.value ->> 'created_at', row.value ->> 'id'
       FROM json_each(?2) AS row, json_each(row.value -> 'metadata') AS pair`,
    ),
    seed(
      `INSERT INTO events (merchant_id, position, payment_id, sequence, type, data, request_id, created_at)
       SELECT ?1, event.value ->> 'position', row.value ->> 'id', event.key + 1, event.value ->> 'type',
         event.value -> 'data', 'seed', row.value ->> 'created_at'
       FROM json_each(?2) AS row, json_each(row.value -> 'events') AS event`,
    ),
  ]);
  return stored;
}
