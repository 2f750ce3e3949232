/**
 * Finding payments: the statements of the list. Each filter either has an index, or is applied to a bounded
 * number of payments: no question reads the whole table, however it is put and however much is stored.
 */
import { type Page, type Position, pageOf, type Window } from "../http/pages";
import type { Database } from "../storage/database";
import { PAYMENT, type Payment } from "./find";
import type { Status } from "./lifecycle";

export interface Filters {
  readonly status?: readonly Status[] | undefined;
  readonly order_id?: number | undefined;
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
 * How many payments, for each one asked for, are looked at where a filter has no index. A page then ends
 * early, and its cursor leads on.
 */
export const MAX_PAYMENTS_SCANNED_PER_RESULT = 10;

type Value = string | number;

/** A piece of SQL, and its parameters in order. */
interface Sql {
  readonly text: string;
  readonly values: readonly Value[];
}

const sql = (text: string, ...values: readonly Value[]): Sql => ({ text, values });

function join(pieces: readonly Sql[], separator: string): Sql {
  return {
    text: pieces.map(({ text }) => text).join(separator),
    values: pieces.flatMap(({ values }) => values),
  };
}

const hasPair = ([name, value]: readonly [string, string]): Sql =>
  sql(
    "EXISTS (SELECT 1 FROM payment_metadata AS pair WHERE pair.merchant_id = payments.merchant_id AND pair.name = ? " +
      "AND pair.value = ? AND pair.created_at = payments.created_at AND pair.payment_id = payments.id)",
    name,
    value,
  );

/** Where a question walks, in the order of an index, and what must be looked at row by row. */
interface Walk {
  /** Times and ids, nearest first. The index answers it; no other rows are read. */
  readonly steps: Sql;
  readonly rest: readonly Sql[];
}

function walk(merchantId: number, filters: Filters, { position, backward }: Window): Walk {
  const { status, order_id, currency, amount_min, amount_max, metadata = [] } = filters;
  const { created_from: from = 0, created_to: to = Number.MAX_SAFE_INTEGER } = filters;
  // An order has few payments, so that it goes before a pair, of which there may be many.
  const [pair, ...pairs] = order_id === undefined ? metadata : [];
  const [table, id] = pair
    ? ["payment_metadata AS walked", "walked.payment_id"]
    : [`payments AS walked INDEXED BY payments_by_${order_id === undefined ? "time" : "order"}`, "walked.id"];

  const within = (range: Sql): Sql =>
    join(
      [
        sql(`SELECT walked.created_at AS at, ${id} AS id FROM ${table} WHERE walked.merchant_id = ?`, merchantId),
        ...(pair ? [sql("walked.name = ? AND walked.value = ?", ...pair)] : []),
        ...(order_id === undefined ? [] : [sql("walked.order_id = ?", order_id)]),
        range,
      ],
      " AND ",
    );
  const between = (first: number, last: number) => within(sql("walked.created_at BETWEEN ? AND ?", first, last));

  // What has the position's very time is a range of its own: SQLite enters payments_by_time by time alone, and
  // would read all payments of that millisecond, as many as they are.
  const ranges: Sql[] = [];
  if (!position) ranges.push(between(from, to));
  else {
    const { at } = position;
    ranges.push(backward ? between(Math.max(from, at + 1), to) : between(from, Math.min(to, at - 1)));
    const beside = sql(`walked.created_at = ? AND ${id} ${backward ? ">" : "<"} ?`, at, position.id);
    if (from <= at && at <= to) ranges.push(within(beside));
  }
  const order = backward ? "ASC" : "DESC";
  const steps = join([join(ranges, " UNION ALL "), sql(`ORDER BY at ${order}, id ${order}`)], " ");

  const rest = [
    ...(status ? [sql(`payments.status IN (${status.map(() => "?")})`, ...status)] : []),
    ...(currency === undefined ? [] : [sql("payments.currency = ?", currency)]),
    ...(amount_min === undefined ? [] : [sql("payments.amount_minor >= ?", amount_min)]),
    ...(amount_max === undefined ? [] : [sql("payments.amount_minor <= ?", amount_max)]),
    ...(pair ? pairs : metadata).map(hasPair),
  ];
  return { steps, rest };
}

/** Every payment is newer than this. */
const BEGINNING: Position = { at: 0, id: 0 };

/**
 * A page of a merchant's payments, newest first. One round trip. Where a filter has no index, it may hold
 * fewer payments than asked for, even none, and still lead on.
 */
export async function searchPayments(
  db: Database,
  merchantId: number,
  filters: Filters,
  window: Window,
): Promise<Page<Payment>> {
  const { backward, limit } = window;
  const { steps, rest } = walk(merchantId, filters, window);
  const prepare = ({ text, values }: Sql) => db.prepare(text).bind(...values);
  const order = backward ? "ASC" : "DESC";
  const looked = rest.length === 0 ? limit + 1 : limit * MAX_PAYMENTS_SCANNED_PER_RESULT;
  const walked = join([sql("SELECT * FROM ("), steps, sql(`LIMIT ${looked})`)], " ");

  // CROSS JOIN keeps the order of its tables, whatever the planner thinks of it.
  const found = join(
    [
      sql(`SELECT ${PAYMENT} FROM`),
      sql(`(${walked.text}) AS seen CROSS JOIN payments ON payments.id = seen.id`, ...walked.values),
      ...(rest.length === 0 ? [] : [sql("WHERE"), join(rest, " AND ")]),
      sql(`ORDER BY seen.at ${order}, seen.id ${order} LIMIT ${limit + 1}`),
    ],
    " ",
  );
  if (rest.length === 0) {
    return withWays(window, pageOf(window, await db.all<Payment>(prepare(found)), positionOf), {});
  }

  // Where the walk has begun, and where it has ended if it did not reach the end of the list.
  const step = (number: number) => prepare(join([walked, sql(`LIMIT 1 OFFSET ${number - 1}`)], " "));
  const { rows } = await db.batch<Payment | Position>([prepare(found), step(1), step(looked)]);
  const payments = (rows[0] ?? []).filter((row) => "merchant_id" in row);
  const [begin, end] = rows.slice(1).map((ends) => ends.find((row) => "at" in row));
  const page = pageOf(window, payments, positionOf);
  return withWays(window, page, { begin, end: payments.length > limit ? undefined : end });
}

/**
 * The page with its ways on: one that came short leads on from where its walk has ended, and an empty one back
 * to what was there when it was asked for.
 */
function withWays(
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
