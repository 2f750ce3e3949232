/** The trail of account changes: the statement that reads it. */
import type { InferSelectModel } from "drizzle-orm";
import { type Page, pageOf, type Window } from "../http/pages";
import type { Database } from "../storage/database";
import { columnsOf, join, raw, type Sql, sql } from "../storage/sql";
import type { AccountEventType } from "./event-types";
import type { accountEvents } from "./tables";

/** What is read of an event; times in milliseconds, `data` is JSON. */
export type AccountEvent = Pick<
  InferSelectModel<typeof accountEvents>,
  "id" | "merchant_id" | "subject" | "data" | "key_id" | "request_id" | "created_at"
> & { readonly type: AccountEventType };

const COLUMNS = columnsOf<AccountEvent>(
  {
    id: true,
    merchant_id: true,
    type: true,
    subject: true,
    data: true,
    key_id: true,
    request_id: true,
    created_at: true,
  },
  "event",
);

export interface AccountEventFilters {
  readonly types?: readonly AccountEventType[] | undefined;
  /** The first and the last time, in milliseconds. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
}

/** A page of a merchant's account events, newest first. One round trip. */
export async function listAccountEvents(
  db: Database,
  merchantId: number,
  { types, from = 0, to = Number.MAX_SAFE_INTEGER }: AccountEventFilters,
  window: Window,
): Promise<Page<AccountEvent>> {
  const { position, backward, limit } = window;
  const [compare, order] = backward ? [raw(">"), raw("ASC")] : [raw("<"), raw("DESC")];
  const range: Sql[] = [sql`merchant_id = ${merchantId} AND created_at BETWEEN ${from} AND ${to}`];
  if (position) range.push(sql`(created_at, id) ${compare} (${position.at}, ${position.id})`);
  const inRange = join(range, " AND ");
  const nearest = sql`ORDER BY event.created_at ${order}, event.id ${order} LIMIT ${limit + 1}`;
  // The nearest of each type, by the index of one type, so that a rare type costs no walk through all others.
  const ofTypes = sql`json_each(${JSON.stringify(types ?? [])}) AS wanted CROSS JOIN account_events AS event ON event.id IN (
    SELECT id FROM account_events WHERE ${inRange} AND type = wanted.value
    ORDER BY created_at ${order}, id ${order} LIMIT ${limit + 1})`;
  const found = await db.all<AccountEvent>(
    sql`SELECT ${COLUMNS} FROM ${types ? ofTypes : sql`account_events AS event WHERE ${inRange}`} ${nearest}`,
  );
  return pageOf(window, found, ({ id, created_at }) => ({ at: created_at, id }));
}
