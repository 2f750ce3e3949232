/** What happened at Stripe in a time, for reconciliation: pages of PaymentIntents, refunds and disputes, the newest first. */
import { z } from "zod";
import { UNREADABLE } from "../exchange";
import type { Listed, ListedEntry, ListRequest } from "../listing";
import type { Connection } from "../seam";
import { fromStripeAmount } from "./amounts";
import { detailOf, type Fields, get, judgeUnanswered } from "./calls";
import { nextAfter, PAGE_SIZE, PageSchema, paymentIdIn } from "./observe";
import { DisputeSchema, type Intent, IntentSchema, isRelease, RefundSchema, statusOf } from "./snapshot";

/** A page of a listing. Stripe's times are whole seconds. */
export async function list(connection: Connection, request: ListRequest): Promise<Listed> {
  const { path, expand, read } = LISTINGS[request.listing];
  const query: Fields = {
    "created[gte]": String(Math.ceil(request.from / 1_000)),
    "created[lt]": String(Math.ceil(request.to / 1_000)),
    limit: String(PAGE_SIZE),
    starting_after: request.cursor ?? undefined,
    "expand[]": expand,
  };
  const answer = await get(connection, path, query);
  const unanswered = judgeUnanswered(answer);
  if (unanswered !== null) return unanswered;
  if (answer.tag !== "answer") return answer;
  if (answer.status >= 300) return { tag: "unknown", detail: detailOf(answer) };
  const page = PageSchema.safeParse(answer.json);
  if (!page.success) return UNREADABLE;
  const entries = page.data.data.map((entry) => read(entry, connection));
  const isReadable = (entry: ListedEntry | "none" | null) => entry !== null;
  if (!entries.every(isReadable)) return UNREADABLE;
  return {
    tag: "listed",
    entries: entries.filter((entry) => entry !== null && entry !== "none"),
    next: nextAfter(page.data),
  };
}

/** Reads an entry: `none` where it is of nothing that this service could have made, null where nobody can read it. */
type Read = (entry: unknown, connection: Connection) => ListedEntry | "none" | null;

const ofIntent = z.union([z.string(), IntentSchema]).nullish();
const ListedRefundSchema = RefundSchema.extend({ payment_intent: ofIntent });
const ListedDisputeSchema = DisputeSchema.extend({ payment_intent: ofIntent });

const readPayment: Read = (entry, connection) => {
  const read = IntentSchema.safeParse(entry);
  if (!read.success) return null;
  const intent = read.data;
  const currency = intent.currency.toUpperCase();
  const amountMinor = fromStripeAmount(intent.amount, currency);
  const capturedMinor = fromStripeAmount(intent.amount_received, currency);
  const refundedMinor = fromStripeAmount(refundedOf(intent), currency);
  if (amountMinor === null || capturedMinor === null || refundedMinor === null) return null;
  return {
    reference: intent.id,
    paymentReference: intent.id,
    paymentId: paymentIdIn(intent.metadata, connection),
    amountMinor,
    currency,
    createdAt: intent.created * 1_000,
    payment: { status: statusOf(intent), capturedMinor, refundedMinor },
  };
};

/** What was refunded of what was captured: what was released of the authorisation counts as refunded at Stripe, too. */
function refundedOf({ latest_charge, amount, amount_received }: Intent): number {
  if (!latest_charge || typeof latest_charge === "string") return 0;
  const { amount_refunded } = latest_charge;
  const released = amount - amount_received;
  return amount_refunded >= released ? amount_refunded - released : amount_refunded;
}

const readRefund: Read = (entry, connection) => {
  const read = ListedRefundSchema.safeParse(entry);
  if (!read.success) return null;
  const { payment_intent: of, ...refund } = read.data;
  if (of && typeof of === "object" && isRelease(of, refund)) return "none";
  return part(refund, of, paymentIdIn(refund.metadata, connection), connection);
};

const readDispute: Read = (entry, connection) => {
  const read = ListedDisputeSchema.safeParse(entry);
  return read.success ? part(read.data, read.data.payment_intent, null, connection) : null;
};

/** A refund or a dispute of a payment. A charge that was made without a PaymentIntent is none of this service's. */
function part(
  entry: { readonly id: string; readonly amount: number; readonly currency: string; readonly created: number },
  of: z.output<typeof ofIntent>,
  paymentId: number | null,
  connection: Connection,
): ListedEntry | "none" | null {
  if (!of) return "none";
  const currency = entry.currency.toUpperCase();
  const amountMinor = fromStripeAmount(entry.amount, currency);
  if (amountMinor === null) return null;
  return {
    reference: entry.id,
    paymentReference: typeof of === "string" ? of : of.id,
    paymentId: paymentId ?? (typeof of === "string" ? null : paymentIdIn(of.metadata, connection)),
    amountMinor,
    currency,
    createdAt: entry.created * 1_000,
    payment: null,
  };
}

const LISTINGS = {
  payments: { path: "/v1/payment_intents", expand: "data.latest_charge", read: readPayment },
  refunds: { path: "/v1/refunds", expand: "data.payment_intent", read: readRefund },
  disputes: { path: "/v1/disputes", expand: "data.payment_intent", read: readDispute },
} as const;
