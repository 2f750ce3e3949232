/** What providers have told of disputes: the statements that list them. */
import { type Page, type Position, pageOf, type Window } from "../../http/pages";
import type { Dispute } from "../../provider/dispute";
import type { Database } from "../../storage/database";
import { join, raw, type Sql, sql } from "../../storage/sql";

/** The orders of the list: by when it was opened, the newest first, and by the deadline of those that may still be answered. */
export const DISPUTE_ORDERS = ["created_at", "due_at"] as const;
export type DisputeOrder = (typeof DISPUTE_ORDERS)[number];

/** The states in which a dispute may still be answered: those of the index by deadline. */
export const ANSWERABLE = ["inquiry", "open"] as const satisfies readonly Dispute["state"][];

export interface DisputeFilters {
  readonly payment_id?: number | undefined;
  readonly state?: readonly Dispute["state"][] | undefined;
}

/** As a list has it: with a name and a place that tell those of one millisecond apart. */
interface Listed extends Dispute {
  readonly id: string;
  /** In milliseconds. */
  readonly place: number;
}

/** What stands for no deadline: after all that have one. */
const NO_DEADLINE = raw("9007199254740991");

const PLACES: Readonly<Record<DisputeOrder, Sql>> = {
  created_at: raw("disputes.created_at"),
  due_at: sql`ifnull(disputes.due_at, ${NO_DEADLINE})`,
};

/**
 * A page of a merchant's disputes. One round trip.
 *
 * @param order by `due_at` those that may still be answered, the most urgent first
 */
export async function listDisputes(
  db: Database,
  merchantId: number,
  { payment_id, state }: DisputeFilters,
  order: DisputeOrder,
  window: Window,
): Promise<Page<Dispute>> {
  const { position, backward, limit } = window;
  const isAscending = (order === "due_at") !== backward;
  const place = PLACES[order];
  const id = raw("disputes.payment_id || ':' || disputes.reference");
  const filters: Sql[] = [sql`disputes.merchant_id = ${merchantId}`];
  if (payment_id !== undefined) filters.push(sql`disputes.payment_id = ${payment_id}`);
  if (state !== undefined) filters.push(sql`disputes.state IN (SELECT value FROM json_each(${JSON.stringify(state)}))`);
  if (order === "due_at") filters.push(raw(`disputes.state IN ('${ANSWERABLE.join("', '")}')`));
  if (position) {
    const beyond = raw(isAscending ? ">" : "<");
    filters.push(sql`(${place}, ${id}) ${beyond} (${position.at}, ${position.id})`);
  }
  const direction = raw(isAscending ? "ASC" : "DESC");
  const found = await db.all<Listed>(sql`
    SELECT disputes.*, payments.currency, ${id} AS id, ${place} AS place
    FROM disputes JOIN payments ON payments.id = disputes.payment_id AND payments.merchant_id = disputes.merchant_id
    WHERE ${join(filters, " AND ")} ORDER BY ${place} ${direction}, ${id} ${direction} LIMIT ${limit + 1}`);
  return pageOf(window, found, ({ place, id }): Position => ({ at: place, id }));
}
