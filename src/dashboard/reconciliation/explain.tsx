/** Reconciliation items in words: what was found, and where it is. */
import type { z } from "@hono/zod-openapi";
import type { ReconciliationItemSchema } from "../../payment/routes/dispute-schemas";
import { Badge, words } from "../format";

export type ItemAnswer = z.output<typeof ReconciliationItemSchema>;

export const RECONCILIATION_PATH = "/dashboard/reconciliation";
export const itemPath = (id: number): string => `${RECONCILIATION_PATH}/${id}`;

/** `late_success` as a title: Late success. */
export function kindText(kind: string): string {
  const text = words(kind);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function ItemState({ state }: Pick<ItemAnswer, "state">) {
  return <Badge tone={state === "open" ? "bad" : "good"} text={state} />;
}

/** The payment that an item is about, and its name at the provider. */
export function About({ item: { payment_id, reference } }: { item: ItemAnswer }) {
  return (
    <>
      {payment_id === null ? (
        <span class="quiet-text">No payment here</span>
      ) : (
        <a href={`/dashboard/payments/${payment_id}`}>Payment {payment_id}</a>
      )}
      <br />
      <code class="quiet-text">{reference}</code>
    </>
  );
}
