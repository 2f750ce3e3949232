/** What providers have told beside payments: the statements that list disputes, and what a person has to look at. */
import { type Page, pageOf, type Window } from "../../http/pages";
import type { Dispute } from "../../provider/dispute";
import type { ReconciliationItem } from "../../provider/reconciliation";
import type { Database } from "../../storage/database";
import { raw, type Sql, sql } from "../../storage/sql";

/** As a list has it: under a name that tells those of one millisecond apart. */
type Listed<Row> = Row & { readonly id: string };

/** The rows of a merchant's table from a position on, and one more. */
async function list<Row extends { readonly created_at: number; readonly id: string }>(
  db: Database,
  rows: Sql,
  window: Window,
): Promise<Page<Row>> {
  const { position, backward, limit } = window;
  const beyond = position
    ? sql`WHERE (created_at, id) ${raw(backward ? ">" : "<")} (${position.at}, ${position.id})`
    : sql``;
  const order = raw(backward ? "ASC" : "DESC");
  const found = await db.all<Row>(
    sql`SELECT * FROM (${rows}) ${beyond} ORDER BY created_at ${order}, id ${order} LIMIT ${limit + 1}`,
  );
  return pageOf(window, found, ({ created_at, id }) => ({ at: created_at, id }));
}

const ofPayment = (paymentId: number | null): Sql => (paymentId === null ? sql`` : sql`AND payment_id = ${paymentId}`);

/** A page of a merchant's disputes, of one payment where that is given, newest first. One round trip. */
export function listDisputes(
  db: Database,
  merchantId: number,
  paymentId: number | null,
  window: Window,
): Promise<Page<Listed<Dispute>>> {
  const rows = sql`
    SELECT disputes.*, payments.currency, disputes.payment_id || ':' || disputes.reference AS id
    FROM disputes JOIN payments ON payments.id = disputes.payment_id AND payments.merchant_id = disputes.merchant_id
    WHERE disputes.merchant_id = ${merchantId} ${ofPayment(paymentId)}`;
  return list(db, rows, window);
}

/** A page of what a merchant has to look at, of one payment where that is given, newest first. One round trip. */
export function listItems(
  db: Database,
  merchantId: number,
  paymentId: number | null,
  window: Window,
): Promise<Page<Listed<ReconciliationItem>>> {
  const rows = sql`
    SELECT *, payment_id || ':' || kind || ':' || reference AS id FROM reconciliation_items
    WHERE merchant_id = ${merchantId} ${ofPayment(paymentId)}`;
  return list(db, rows, window);
}
