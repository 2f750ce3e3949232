/** What happened to payments: events as they are stored, and what each says of its payment as of then. */
import type { InferSelectModel } from "drizzle-orm";
import type { events } from "../db/schema";
import type { Database } from "../storage/database";
import type { Payment } from "./store";

type EventRow = InferSelectModel<typeof events>;

/** An event's own columns. */
type Told = Omit<EventRow, "merchant_id" | "payment_id" | "data" | "commit_id">;

/** An event with the payment as it was just after it, and just before. */
export interface PaymentEvent extends Told {
  readonly payment: Payment;
  readonly before: Payment | null;
}

type Found = Told & Pick<EventRow, "payment_id" | "data">;

const TOLD = `event.position, event.payment_id, event.sequence, event.type, event.data, event.request_id, event.key_id,
    event.idempotency_key, event.created_at`;

/** Joins the events of `payments`, which are where it says: CROSS JOIN keeps the order of its tables. */
const ITS_EVENTS = `CROSS JOIN json_each(event_positions) AS place
  CROSS JOIN events AS event ON event.merchant_id = payments.merchant_id AND event.position = place.value`;

const FIND_EVENTS = `
  SELECT ${TOLD} FROM payments ${ITS_EVENTS}
  WHERE payments.id = ? AND payments.merchant_id = ? ORDER BY event.sequence`;

/** A payment's events, oldest first; none when the merchant has no such payment. One round trip. */
export async function findEvents(db: Database, merchantId: number, paymentId: number): Promise<PaymentEvent[]> {
  return replay(merchantId, await db.all<Found>(db.prepare(FIND_EVENTS).bind(paymentId, merchantId)));
}

/** Replays a payment's events from its first: that one's data is the payment, each later one's what it changed. */
function replay(merchantId: number, events: readonly Found[]): PaymentEvent[] {
  let before: Payment | null = null;
  return events.map(({ data, payment_id, ...event }) => {
    const { metadata, ...changed } = JSON.parse(data);
    const payment: Payment = {
      ...(before ?? {
        id: payment_id,
        merchant_id: merchantId,
        created_at: event.created_at,
        metadata: JSON.stringify(metadata ?? {}),
      }),
      ...changed,
      version: event.sequence,
      updated_at: event.created_at,
    };
    const told = { ...event, payment, before };
    before = payment;
    return told;
  });
}

/** The events at some positions, and before each its payment's earlier ones, which it takes to tell it. */
const atPositions = (positions: string) => `
  SELECT chosen.position AS chosen, ${TOLD}
  FROM (${positions}) AS chosen
  CROSS JOIN events AS told ON told.merchant_id = ?1 AND told.position = chosen.position
  CROSS JOIN payments ON payments.id = told.payment_id
  ${ITS_EVENTS} AND event.position <= chosen.position
  ORDER BY chosen.position, event.sequence`;

/** Replays what `atPositions` found, and keeps the chosen events. */
function chosenOf(merchantId: number, found: readonly (Found & { chosen: number })[]): PaymentEvent[] {
  return [...Map.groupBy(found, ({ chosen }) => chosen).values()].flatMap((events) =>
    replay(merchantId, events).slice(-1),
  );
}

/** The events at some positions of a merchant's feed, in its order. One round trip. */
export async function findEventsAt(
  db: Database,
  merchantId: number,
  positions: readonly number[],
): Promise<PaymentEvent[]> {
  const sql = atPositions("SELECT value AS position FROM json_each(?2)");
  return chosenOf(merchantId, await db.all(db.prepare(sql).bind(merchantId, JSON.stringify(positions))));
}

export interface FeedQuestion {
  /** The position that was read last; 0 before the first. */
  readonly after: number;
  readonly limit: number;
  readonly types?: readonly string[] | undefined;
  readonly paymentId?: number | undefined;
}

export interface Feed {
  /** Oldest first. */
  readonly events: readonly PaymentEvent[];
  /** Where to read on, now or later: nothing up to here is left out. */
  readonly end: number;
  /** Whether the feed goes on from there. */
  readonly hasMore: boolean;
}

/**
 * How many events, for each one asked for, are looked at where types are asked for. A page then ends early, and
 * its cursor leads on.
 */
export const EVENTS_LOOKED_AT_PER_ROW = 10;

/**
 * A merchant's events after a position, in the order of their commits. A position is given in the transaction
 * that writes the event, so that nothing ever appears behind one that was read. One round trip; null when the
 * feed has never been so far.
 */
export async function readFeed(
  db: Database,
  merchantId: number,
  { after, limit, types, paymentId }: FeedQuestion,
): Promise<Feed | null> {
  const looked = types && paymentId === undefined ? limit * EVENTS_LOOKED_AT_PER_ROW : null;
  const table =
    paymentId === undefined
      ? "events AS seen"
      : `payments CROSS JOIN json_each(event_positions) AS place
        CROSS JOIN events AS seen ON seen.merchant_id = payments.merchant_id AND seen.position = place.value`;
  const positions = `
    SELECT seen.position FROM ${table} WHERE seen.merchant_id = ?1 AND seen.position > ?2
    ${paymentId === undefined ? "" : "AND payments.id = ?5 AND payments.merchant_id = ?1"}
    ${looked === null ? "" : `AND seen.position <= ?2 + ${looked}`}
    ${types ? "AND seen.type IN (SELECT value FROM json_each(?4))" : ""} ORDER BY seen.position LIMIT ?3`;
  const values = [merchantId, after, limit + 1, JSON.stringify(types ?? []), paymentId ?? 0];
  const used = paymentId !== undefined ? 5 : types ? 4 : 3;
  const { rows } = await db.batch<(Found & { chosen: number }) | { newest: number }>([
    db.prepare(atPositions(positions)).bind(...values.slice(0, used)),
    db.prepare("SELECT coalesce(max(position), 0) AS newest FROM events WHERE merchant_id = ?").bind(merchantId),
  ]);
  const newest = rows[1]?.find((row) => "newest" in row)?.newest ?? 0;
  if (after > newest) return null;
  const found = chosenOf(
    merchantId,
    (rows[0] ?? []).filter((row) => "chosen" in row),
  );
  const events = found.slice(0, limit);
  const last = events.at(-1);
  const end = last && found.length > limit ? last.position : Math.min(newest, after + (looked ?? newest));
  return { events, end, hasMore: end < newest && (found.length > limit || looked !== null) };
}
