/** What the tests of statistics ask, and payments that are made fast: by the statements of the routes, and without HTTP. */
import { env } from "cloudflare:workers";
import { expect } from "vitest";
import type { Origin } from "../../../src/context";
import { type ActionRequest, applyAction } from "../../../src/operation/run-action";
import { createPayment, type NewPayment } from "../../../src/payment/create";
import type { FiguresResponse, StatisticsResponse } from "../../../src/statistics/response";
import { Database } from "../../../src/storage/database";
import type { Client } from "../client";

export const STATISTICS = "/api/v1/statistics";

/** The statistics as a client is answered. */
export async function statisticsOf(api: Client, query = ""): Promise<StatisticsResponse> {
  const { status, body } = await api.request<StatisticsResponse>("GET", `${STATISTICS}${query}`);
  expect(status, JSON.stringify(body)).toBe(200);
  return body;
}

/** The statistics once every event is counted, and how many requests that took. */
export async function caughtUp(api: Client, query = ""): Promise<{ found: StatisticsResponse; requests: number }> {
  for (let requests = 1; ; requests++) {
    const found = await statisticsOf(api, query);
    if (found.is_complete) return { found, requests };
  }
}

/** The figures of a currency, all days together. */
export function figuresIn({ data }: StatisticsResponse, currency = "USD"): FiguresResponse | undefined {
  return data.find((one) => one.currency === currency)?.figures;
}

const originOf = (merchantId: number, now = Date.now()): Origin => {
  const commitId = crypto.randomUUID();
  return { merchantId, keyId: null, requestId: commitId, commitId, now };
};

/** A new payment of a merchant; its id. */
export async function make(merchantId: number, more: Partial<NewPayment> = {}): Promise<number> {
  const payment = { order_id: 1, amount_minor: 9_999, currency: "USD", metadata: {}, ...more };
  const idempotency = { key: crypto.randomUUID(), fingerprint: "0".repeat(64) };
  const created = await createPayment(new Database(env.DB), originOf(merchantId), idempotency, payment);
  if (created.tag !== "created") throw new Error(`A payment was not created: ${created.tag}`);
  return created.payment.id;
}

/** Does something to a payment that settles at once. */
export async function run(
  merchantId: number,
  id: number,
  action: ActionRequest["action"],
  amount: string | undefined = undefined,
): Promise<void> {
  const request = { action, amount: amount ?? null, idempotency: null, expected: null };
  const { tag } = await applyAction(new Database(env.DB), originOf(merchantId), id, request);
  expect(tag).toBe("changed");
}

/** Adds events to the feed of a merchant, of one payment that is confirmed and changed again and again. */
export async function fill(merchantId: number, events: number): Promise<void> {
  const id = await make(merchantId);
  await env.DB.batch([
    env.DB.prepare(
      `INSERT INTO events (merchant_id, position, payment_id, sequence, type, data, request_id, created_at)
       WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?3)
       SELECT merchant_id, position + i, payment_id, 1 + i, iif(i = 1, 'payment.confirmed', 'payment.updated'),
         iif(i = 1, json_object('status', 'confirmed', 'captured_minor', 9999), json_object('description', 'text ' || i)), 'seed', created_at
       FROM n, events WHERE merchant_id = ?1 AND payment_id = ?2 AND sequence = 1`,
    ).bind(merchantId, id, events - 1),
    env.DB.prepare(
      `UPDATE payments SET status = 'confirmed', captured_minor = 9999, description = iif(?3 > 1, 'text ' || CAST(?3 AS INTEGER), NULL), version = 1 + ?3,
         event_positions = (SELECT json_group_array(position) FROM events WHERE merchant_id = ?1 AND payment_id = ?2)
       WHERE id = ?2 AND merchant_id = ?1`,
    ).bind(merchantId, id, events - 1),
  ]);
}

/** All daily totals of a merchant and its cursor, as they are stored. */
export async function stored(merchantId: number): Promise<unknown[]> {
  const totals = env.DB.prepare("SELECT * FROM daily_totals WHERE merchant_id = ? ORDER BY day, currency, provider");
  const cursor = env.DB.prepare("SELECT * FROM totals_cursors WHERE merchant_id = ?");
  const answers = await env.DB.batch([totals.bind(merchantId), cursor.bind(merchantId)]);
  return answers.map(({ results }) => results);
}
