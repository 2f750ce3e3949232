/**
 * `single`: one live or paid payment of an order or a reference. None stands beside a payment that demands it, and none is
 * put there. The rule is a guard in the statement that creates or confirms; where no payment of the order demands it, the
 * guard reads no row.
 */
import type { Database } from "../storage/database";
import { join, raw, type Sql, sql } from "../storage/sql";
import { INITIAL_STATUS, LIVE_OR_PAID, type Status } from "./lifecycle";
import type { Payment } from "./payment";

/** A payment that stands in the way of another. */
export interface OtherPayment {
  readonly id: number;
  readonly status: Status;
}

/** What a payment is for, and whether it demands to be the only one (1) or not (0). */
export type Purpose = Pick<Payment, "merchant_id" | "order_id" | "reference" | "single">;

/** What stands in the way of a confirmation: of two that are pending, the first that is confirmed. */
const PAID_OR_ON_ITS_WAY = LIVE_OR_PAID.filter((status) => status !== INITIAL_STATUS);

/** The payments of an order or of a reference in some statuses: all of them, or those that demand to be the only one. */
function others(
  of: "order" | "reference",
  { merchantId, key }: { merchantId: Sql; key: Sql },
  statuses: readonly Status[],
  single: number,
): Sql {
  const [index, isSingle] = single === 1 ? ["payments_by", ""] : ["payments_single_by", "AND other.single = 1"];
  const column = of === "order" ? "order_id" : "reference";
  return sql`SELECT other.id, other.status FROM payments AS other INDEXED BY ${raw(`${index}_${of}`)}
    WHERE other.merchant_id = ${merchantId} AND other.${raw(column)} = ${key} ${raw(isSingle)}
    AND other.status IN (${raw(`'${statuses.join("', '")}'`)})`;
}

/** The payments of the same order or reference in some statuses that stand in the way of one. */
function inTheWay({ merchant_id, order_id, reference, single }: Purpose, statuses: readonly Status[]): Sql[] {
  const merchantId = sql`${merchant_id}`;
  return [
    ...(order_id === null ? [] : [others("order", { merchantId, key: sql`${order_id}` }, statuses, single)]),
    ...(reference === null ? [] : [others("reference", { merchantId, key: sql`${reference}` }, statuses, single)]),
  ];
}

const oneExists = (queries: readonly Sql[]): Sql =>
  join(
    queries.map((query) => sql`EXISTS (${query})`),
    " OR ",
  );

/** The column of a new payment, as SQL: NULL where another is in its way, with which the table refuses the whole batch. */
export function singleOfNew(purpose: Purpose): Sql {
  return sql`iif(${oneExists(inTheWay(purpose, LIVE_OR_PAID))}, NULL, ${raw(purpose.single === 1 ? "1" : "0")})`;
}

/** Whether a creation has failed since another payment is in its way. */
export function isInTheWay(error: unknown): boolean {
  return error instanceof Error && error.message.includes("NOT NULL constraint failed: payments.single");
}

const ROW = { order: raw("payments.order_id"), reference: raw("payments.reference") };

/** Whether no other payment is in the way of the confirmation of a row of `payments`, as SQL. */
export const MAY_CONFIRM: Sql = sql`NOT (${oneExists(
  [0, 1].flatMap((single) =>
    (["order", "reference"] as const).map((of) => {
      const rows = others(of, { merchantId: raw("payments.merchant_id"), key: ROW[of] }, PAID_OR_ON_ITS_WAY, single);
      return sql`${rows} AND other.id <> payments.id AND payments.single = ${raw(String(single))}`;
    }),
  ),
)})`;

const oldestOf = (queries: readonly Sql[]): Sql =>
  sql`SELECT id, status FROM (${join(queries, " UNION ALL ")}) ORDER BY id LIMIT 1`;

/** The oldest payment that is in the way of a new one, as a query. */
export const otherOfNew = (purpose: Purpose): Sql => oldestOf(inTheWay(purpose, LIVE_OR_PAID));

/** The oldest payment that is in the way of a payment's confirmation; null when there is none. One round trip. */
export async function findOther(db: Database, payment: Payment): Promise<OtherPayment | null> {
  const queries = inTheWay(payment, PAID_OR_ON_ITS_WAY).map((query) => sql`${query} AND other.id <> ${payment.id}`);
  const [found] = await db.all<OtherPayment>(oldestOf(queries));
  return found ?? null;
}
