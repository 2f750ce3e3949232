/** What the service marks its payments with at a provider, to know them again by. Pure. */
import type { Connection } from "./seam";

/**
 * The service's own name for a payment, in its marks at a provider; null where there is none, or it is another merchant's.
 *
 * @param marks `null` and `undefined` for a mark that is not there
 */
export function markedPaymentId(
  marks: { readonly paymentId: string | null | undefined; readonly merchantId: string | null | undefined },
  { merchantId }: Pick<Connection, "merchantId">,
): number | null {
  const id = Number(/^[1-9]\d{0,15}$/.exec(marks.paymentId ?? "")?.[0]);
  const isForeign = marks.merchantId != null && marks.merchantId !== String(merchantId);
  return isForeign || !Number.isSafeInteger(id) ? null : id;
}
