/** Asking Mollie what a payment is: one call, with its captures, refunds and chargebacks in the answer. */

import { UNREADABLE } from "../exchange";
import type { Connection, Located, Observed, Snapshot, Unanswered } from "../seam";
import { detailOf, get, judgeUnanswered, paymentPath } from "./calls";
import { type MolliePayment, paymentIdIn, paymentIn, toSnapshot } from "./snapshot";

const EMBEDDED = { embed: "captures,refunds,chargebacks" };

/** What a payment is at Mollie, as Mollie has it and in the service's words. */
export type LookedUp =
  | { readonly tag: "answered"; readonly payment: MolliePayment; readonly snapshot: Snapshot }
  | { readonly tag: "not_found" }
  | Unanswered;

/** Asks for a payment. One that was deleted (410) was there, so that it is not unknown: nothing says what has become of it. */
export async function lookUp(connection: Connection, reference: string): Promise<LookedUp> {
  const answer = await get(connection, paymentPath(reference), EMBEDDED);
  if (answer.tag !== "answer") return answer;
  if (answer.status === 404) return { tag: "not_found" };
  const unanswered = judgeUnanswered(answer);
  if (unanswered !== null) return unanswered;
  if (answer.status >= 300) return { tag: "unknown", detail: detailOf(answer) };
  const payment = paymentIn(answer.json, reference);
  const snapshot = payment && toSnapshot(payment);
  return payment && snapshot ? { tag: "answered", payment, snapshot } : UNREADABLE;
}

export async function observe(connection: Connection, reference: string | null): Promise<Observed> {
  if (reference === null) return { tag: "unanswerable" };
  const found = await lookUp(connection, reference);
  return found.tag === "answered" ? { tag: "answered", snapshot: found.snapshot } : found;
}

/** Whose payment a payment at Mollie is, by what it was marked with. */
export async function locate(connection: Connection, reference: string): Promise<Located> {
  const found = await lookUp(connection, reference);
  if (found.tag !== "answered") return found;
  return { tag: "located", paymentId: paymentIdIn(found.payment.metadata, connection) };
}
