/**
 * Finding payments: the statements of the list. Each filter either has an index, or is applied to a bounded
 * number of payments: no question reads the whole table, however it is put and however much is stored.
 */
import { type Page, type Position, pageOf, type Window } from "../http/pages";
import type { Database } from "../storage/database";
import { join, raw, type Sql, sql } from "../storage/sql";
import type { Status } from "./lifecycle";
import { hasPair, isIndexed, prefixOf } from "./metadata";
import { PAYMENT_COLUMNS, type Payment } from "./payment";

export interface Filters {
  readonly status?: readonly Status[] | undefined;
  readonly order_id?: number | undefined;
  readonly reference?: string | undefined;
  readonly provider_reference?: string | undefined;
  readonly currency?: string | undefined;
  /** In milliseconds, both included. */
  readonly created_from?: number | undefined;
  readonly created_to?: number | undefined;
  /** In minor units of `currency`, both included. */
  readonly amount_min?: number | undefined;
  readonly amount_max?: number | undefined;
  /** All of these pairs. */
  readonly metadata?: readonly (readonly [name: string, value: string])[] | undefined;
}

/**
 * How many payments, for each one asked for, are scanned at most where a filter has no index. A page then ends
 * early, and its cursor leads on.
 */
export const MAX_PAYMENTS_SCANNED_PER_RESULT = 10;

/*
 * A page, drawn: five payments, newest first, and the question `currency=EUR&limit=2` after the position of payment 5.
 *
 *   payment   5    4    3    2    1
 *   time      9    9    7    4    1
 *   currency  EUR  USD  EUR  JPY  EUR
 *             |    [------------]          the index scan, here of 3 payments: the position is not part of it
 *             |         3                  what the residual filters leave
 *             newer               older    where the cursors lead: payment 3 is newer's, payment 2 is the scan's end
 *
 * The page is [3]. It is not full, so `older` is where the scan has ended and the next page begins with payment 1;
 * `older` of a full page is its own last payment.
 */

/** The times and ids that the question's index gives, nearest to the position first; no other rows are read. */
function indexScan(merchantId: number, filters: Filters, { position, backward }: Window): Sql {
  const { order_id, reference, created_from: from = 0, created_to: to = Number.MAX_SAFE_INTEGER } = filters;
  const pair = indexedPair(filters);
  const [index, isOf] =
    order_id !== undefined
      ? [raw("payments_by_order"), [sql`scanned.order_id = ${order_id}`]]
      : reference !== undefined
        ? [raw("payments_by_reference"), [sql`scanned.reference = ${reference}`]]
        : [raw("payments_by_time"), []];
  const [table, id] = pair
    ? [sql`payment_metadata AS scanned`, sql`scanned.payment_id`]
    : [sql`payments AS scanned INDEXED BY ${index}`, sql`scanned.id`];
  const inRange = (range: Sql): Sql => {
    const conditions = [
      sql`scanned.merchant_id = ${merchantId}`,
      ...(pair ? [sql`scanned.name = ${pair[0]} AND scanned.prefix = ${prefixOf(sql`${pair[1]}`)}`] : []),
      ...isOf,
      range,
    ];
    return sql`SELECT scanned.created_at AS at, ${id} AS id FROM ${table} WHERE ${join(conditions, " AND ")}`;
  };
  const between = (first: number, last: number) => inRange(sql`scanned.created_at BETWEEN ${first} AND ${last}`);

  // What has the position's very time is a range of its own: SQLite enters payments_by_time by time alone, and
  // would read all payments of that millisecond, as many as they are.
  const ranges: Sql[] = [];
  if (!position) ranges.push(between(from, to));
  else {
    const { at } = position;
    ranges.push(backward ? between(Math.max(from, at + 1), to) : between(from, Math.min(to, at - 1)));
    const beside = sql`scanned.created_at = ${at} AND ${id} ${raw(backward ? ">" : "<")} ${position.id}`;
    if (from <= at && at <= to) ranges.push(inRange(beside));
  }
  const order = raw(backward ? "ASC" : "DESC");
  return sql`${join(ranges, " UNION ALL ")} ORDER BY at ${order}, id ${order}`;
}

type Pair = readonly [name: string, value: string];

/** The pair whose index is scanned. An order or a reference has few payments, and goes before a pair, of which there may be many. */
function indexedPair({ order_id, reference, metadata }: Filters): Pair | undefined {
  return order_id === undefined && reference === undefined ? metadata?.[0] : undefined;
}

/** What the index does not answer: conditions on each payment that it gives. */
function residualFilters(filters: Filters): Sql[] {
  const { status, order_id, reference, provider_reference, currency, amount_min, amount_max, metadata = [] } = filters;
  const indexed = indexedPair(filters);
  const pairs = metadata.filter((pair) => pair !== indexed || !isIndexed(pair[1]));
  const statuses = (status ?? []).map((one) => sql`${one}`);
  return [
    ...(status ? [sql`payments.status IN (${join(statuses, ", ")})`] : []),
    ...(order_id === undefined || reference === undefined ? [] : [sql`payments.reference = ${reference}`]),
    ...(provider_reference === undefined ? [] : [sql`payments.provider_reference = ${provider_reference}`]),
    ...(currency === undefined ? [] : [sql`payments.currency = ${currency}`]),
    ...(amount_min === undefined ? [] : [sql`payments.amount_minor >= ${amount_min}`]),
    ...(amount_max === undefined ? [] : [sql`payments.amount_minor <= ${amount_max}`]),
    ...pairs.map(hasPair),
  ];
}

/** A stored payment without its texts, in bytes, as D1 answers with it. */
const PAYMENT_BYTES = 600;
/** The columns of a payment whose length is a caller's or a provider's. */
const TEXTS = ["metadata", "reference", "description", "return_url", "failure", "next_action"];

/** A payment that was found, with the bytes of those up to it. */
interface Measured extends Payment {
  readonly bytes: number;
}

/** What was found up to so many bytes, and the first that is more. */
const upTo = (found: Sql, maxBytes: number): Sql => {
  const own = raw([String(PAYMENT_BYTES), ...TEXTS.map((text) => `ifnull(octet_length(${text}), 0)`)].join(" + "));
  return sql`SELECT * FROM (SELECT *, sum(${own}) OVER (ROWS UNBOUNDED PRECEDING) AS bytes FROM (${found}))
    WHERE bytes - (${own}) <= ${maxBytes}`;
};

/** Every payment is newer than this. */
const BEGINNING: Position = { at: 0, id: 0 };

/**
 * A page of a merchant's payments, newest first. One round trip. Where a filter has no index, it may hold
 * fewer payments than asked for, even none, and still lead on.
 *
 * @param maxBytes ends the page before what it takes of memory comes to more; without it, `limit` does
 */
export async function searchPayments(
  db: Database,
  merchantId: number,
  filters: Filters,
  window: Window,
  maxBytes?: number,
): Promise<Page<Payment>> {
  const { backward } = window;
  let { limit } = window;
  const conditions = residualFilters(filters);
  const isAnsweredByIndex = conditions.length === 0;
  const scanned = isAnsweredByIndex ? limit + 1 : limit * MAX_PAYMENTS_SCANNED_PER_RESULT;
  const scan = sql`SELECT * FROM (${indexScan(merchantId, filters, window)} LIMIT ${scanned})`;
  const order = raw(backward ? "ASC" : "DESC");

  // CROSS JOIN keeps the order of its tables, whatever the planner thinks of it.
  const matching = sql`
    SELECT ${PAYMENT_COLUMNS} FROM (${scan}) AS seen CROSS JOIN payments ON payments.id = seen.id
    ${isAnsweredByIndex ? sql`` : sql`WHERE ${join(conditions, " AND ")}`}
    ORDER BY seen.at ${order}, seen.id ${order} LIMIT ${limit + 1}`;
  // Where the scan has begun, and where it has ended if it did not reach the end of the list.
  const place = (number: number) => (isAnsweredByIndex ? null : sql`${scan} LIMIT 1 OFFSET ${number - 1}`);
  const found = maxBytes === undefined ? matching : upTo(matching, maxBytes);
  const { rows } = await db.batch<[Payment | Measured, Position, Position]>([found, place(1), place(scanned)]);
  const [payments, [begin], [end]] = rows;

  // One that is too many says that there are more, as one beyond the limit does.
  const last = payments.at(-1);
  const isTooMany = maxBytes !== undefined && last && "bytes" in last && last.bytes > maxBytes;
  if (isTooMany) limit = Math.min(limit, Math.max(1, payments.length - 1));
  const page = pageOf({ ...window, limit }, payments, positionOf);
  return withCursors(window, page, { begin, end: payments.length > limit ? undefined : end });
}

/**
 * Where so many payments have been scanned, newest first, from a position on: all that match and are not older are among
 * them. Null when there are not that many more. One round trip.
 */
export async function findScanEnd(
  db: Database,
  merchantId: number,
  filters: Filters,
  window: Window,
  count: number,
): Promise<Position | null> {
  const [end] = await db.all<Position>(sql`${indexScan(merchantId, filters, window)} LIMIT 1 OFFSET ${count - 1}`);
  return end ?? null;
}

/**
 * The page with its cursors: one that came short leads on from where its scan has ended, and an empty one back
 * to what was there when it was asked for.
 */
function withCursors(
  { position, backward }: Window,
  page: Page<Payment>,
  { begin, end }: { begin?: Position | undefined; end?: Position | undefined },
): Page<Payment> {
  // The payment at the position itself is on the way back.
  const isBeginning = position?.at === BEGINNING.at && position.id === BEGINNING.id;
  const back = isBeginning ? null : position && { at: position.at, id: Number(position.id) + (backward ? 1 : -1) };
  if (backward) return { ...page, newer: end ?? page.newer, older: page.older ?? back };
  return { ...page, older: end ?? page.older, newer: page.newer ?? back ?? begin ?? BEGINNING };
}

export function positionOf({ created_at, id }: Payment): Position {
  return { at: created_at, id };
}
