/** Asking Stripe what a payment is: the PaymentIntent, all refunds of its charge, and its disputes where it has any. */
import { z } from "zod";
import { UNREADABLE } from "../exchange";
import { markedPaymentId } from "../marks";
import type { Connection, Located, Observed, Unanswered } from "../seam";
import { detailOf, type Fields, get, intentPath, judgeUnanswered } from "./calls";
import {
  CHARGE,
  DisputeSchema,
  type Intent,
  intentIn,
  METADATA,
  RefundSchema,
  refundsWithin,
  toSnapshot,
} from "./snapshot";

/** Stripe has judged the question itself, and will not answer it. */
type Refused = { readonly tag: "refused"; readonly detail: string };

/** Asks for a PaymentIntent. */
async function readIntent(
  connection: Connection,
  reference: string,
): Promise<{ readonly tag: "read"; readonly intent: Intent } | { readonly tag: "not_found" } | Refused | Unanswered> {
  const answer = await get(connection, intentPath(reference), { "expand[]": CHARGE });
  if (answer.tag !== "answer") return answer;
  if (answer.status === 404) return { tag: "not_found" };
  const unanswered = judgeUnanswered(answer);
  if (unanswered !== null) return unanswered;
  if (answer.status >= 300) return { tag: "refused", detail: detailOf(answer) };
  const intent = intentIn(answer.json, reference);
  return intent === null ? UNREADABLE : { tag: "read", intent };
}

/** What a payment is at Stripe. A part that is missing makes an answer none: what is not in a snapshot counts as absent. */
export async function lookUp(
  connection: Connection,
  reference: string,
): Promise<Exclude<Observed, { tag: "unanswerable" }> | Refused> {
  const read = await readIntent(connection, reference);
  if (read.tag !== "read") return read;
  const { intent } = read;
  const query = { payment_intent: reference };
  const within = refundsWithin(intent);
  const refunds =
    within === null
      ? await readAll(connection, "/v1/refunds", query, RefundSchema)
      : ({ tag: "read", all: within } as const);
  if (refunds.tag !== "read") return refunds;
  const charge = intent.latest_charge;
  const isDisputed = charge !== null && typeof charge === "object" && charge.disputed === true;
  const disputes = isDisputed
    ? await readAll(connection, "/v1/disputes", query, DisputeSchema)
    : ({ tag: "read", all: [] } as const);
  if (disputes.tag !== "read") return disputes;
  const snapshot = toSnapshot(intent, refunds.all, disputes.all);
  return snapshot === null ? UNREADABLE : { tag: "answered", snapshot };
}

export async function observe(connection: Connection, reference: string | null): Promise<Observed> {
  if (reference === null) return { tag: "unanswerable" };
  const observed = await lookUp(connection, reference);
  return observed.tag === "refused" ? { tag: "unknown", detail: observed.detail } : observed;
}

/** Whose payment a PaymentIntent is, by what it was marked with. */
export async function locate(connection: Connection, reference: string): Promise<Located> {
  const read = await readIntent(connection, reference);
  if (read.tag === "refused") return { tag: "unknown", detail: read.detail };
  return read.tag === "read" ? { tag: "located", paymentId: paymentIdIn(read.intent.metadata, connection) } : read;
}

/** The service's own name for a payment, in what something at Stripe is marked with; null where it is somebody else's. */
export const paymentIdIn = (
  metadata: Readonly<Record<string, string>> | null | undefined,
  connection: Pick<Connection, "merchantId">,
): number | null =>
  markedPaymentId(
    { paymentId: metadata?.[METADATA.paymentId], merchantId: metadata?.[METADATA.merchantId] },
    connection,
  );

export const PAGE_SIZE = 100;
/** Of the refunds of one payment: more than 2,000 are not read. */
const MAX_PAGES = 20;

/** A page of a list; what its entries are, whoever asks for it says. */
export const PageSchema = z.object({ data: z.array(z.unknown()), has_more: z.boolean() });
const NamedSchema = z.object({ id: z.string().min(1) });

/** The name that a page's last entry has, after which the next page begins; null where there is none. */
export function nextAfter({ data, has_more }: z.output<typeof PageSchema>): string | null {
  const last = NamedSchema.safeParse(data.at(-1));
  return has_more && last.success ? last.data.id : null;
}

/** All pages of a list. */
async function readAll<T>(
  connection: Connection,
  path: string,
  query: Fields,
  schema: z.ZodType<T>,
): Promise<{ readonly tag: "read"; readonly all: readonly T[] } | Unanswered> {
  const all: T[] = [];
  let starting_after: string | undefined;
  for (let page = 0; page < MAX_PAGES; page++) {
    const answer = await get(connection, path, { ...query, limit: String(PAGE_SIZE), starting_after });
    const unanswered = judgeUnanswered(answer);
    if (unanswered !== null) return unanswered;
    if (answer.tag !== "answer") return answer;
    const read = PageSchema.safeParse(answer.json);
    const entries = read.success ? z.array(schema).safeParse(read.data.data) : null;
    if (answer.status >= 300 || !read.success || !entries?.success) return UNREADABLE;
    all.push(...entries.data);
    const next = nextAfter(read.data);
    if (next === null) return { tag: "read", all };
    starting_after = next;
  }
  return { tag: "unknown", detail: "The provider's list has no end" };
}
