/** What is stored here of payments at a provider, for comparison: the statements that read it. */
import type { Listing } from "../provider/listing";
import type { Database } from "../storage/database";
import { raw, sql } from "../storage/sql";
import type { OwnPayment, OwnRefund } from "./compare";

type PaymentRow = Pick<OwnPayment, "id" | "reference" | "status" | "currency"> & {
  readonly amount_minor: number;
  readonly captured_minor: number;
  readonly capture_method: OwnPayment["captureMethod"];
};
type RefundRow = Pick<OwnRefund, "reference" | "state"> & {
  readonly payment_id: number;
  readonly amount_minor: number;
};
interface DisputeRow {
  readonly payment_id: number;
  readonly reference: string;
}

/** The name that the journal had before an event told of it: as `bookOf` has it. */
const REFERENCE = raw(`coalesce(payments.provider_reference, (
      SELECT named.provider_reference FROM operations AS named WHERE named.merchant_id = payments.merchant_id
      AND named.payment_id = payments.id AND named.kind = 'authorize' AND named.provider_reference IS NOT NULL
      ORDER BY named.number LIMIT 1))`);

/** The payments that were read, by their ids. */
function ofRows(
  payments: readonly PaymentRow[],
  refunds: readonly RefundRow[],
  disputes: readonly DisputeRow[],
): ReadonlyMap<number, OwnPayment> {
  const refundsOf = Map.groupBy(refunds, ({ payment_id }) => payment_id);
  const disputesOf = Map.groupBy(disputes, ({ payment_id }) => payment_id);
  return new Map(
    payments.map(({ amount_minor, captured_minor, capture_method, ...payment }): [number, OwnPayment] => [
      payment.id,
      {
        ...payment,
        amountMinor: amount_minor,
        capturedMinor: captured_minor,
        captureMethod: capture_method,
        refunds: (refundsOf.get(payment.id) ?? []).map(({ reference, amount_minor, state }) => {
          return { reference, amountMinor: amount_minor, state };
        }),
        disputes: (disputesOf.get(payment.id) ?? []).map(({ reference }) => reference),
      },
    ]),
  );
}

/**
 * Reads a merchant's payments at a provider, by their ids; what is none is left out. One round trip.
 *
 * @param compared what they are compared with: what that does not go by is not read
 */
export async function readOwn(
  db: Database,
  merchantId: number,
  provider: string,
  ids: readonly number[],
  compared: Listing | "all",
): Promise<ReadonlyMap<number, OwnPayment>> {
  if (ids.length === 0) return new Map();
  // CROSS JOIN keeps the order of its tables: each is found by the payment's id.
  const chosen = sql`json_each(${JSON.stringify([...new Set(ids)])}) AS chosen`;
  const { rows } = await db.batch<[PaymentRow, RefundRow, DisputeRow]>([
    sql`SELECT payments.id, ${REFERENCE} AS reference, status, payments.amount_minor, currency, captured_minor, capture_method
      FROM ${chosen} CROSS JOIN payments ON payments.id = chosen.value
        AND payments.merchant_id = ${merchantId} AND payments.provider = ${provider}`,
    compared === "disputes"
      ? null
      : sql`SELECT refund.payment_id, refund.provider_reference AS reference, refund.amount_minor, refund.state
        FROM ${chosen} CROSS JOIN operations AS refund ON refund.merchant_id = ${merchantId}
          AND refund.payment_id = chosen.value AND refund.kind = 'refund'`,
    compared === "payments" || compared === "refunds"
      ? null
      : sql`SELECT dispute.payment_id, dispute.reference
        FROM ${chosen} CROSS JOIN disputes AS dispute ON dispute.merchant_id = ${merchantId}
          AND dispute.payment_id = chosen.value`,
  ]);
  return ofRows(...rows);
}
