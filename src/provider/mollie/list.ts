/** What happened at Mollie in a time, and whether Mollie takes an account's key. Lists are pages, the newest first. */
import { z } from "zod";
import { UNREADABLE } from "../exchange";
import type { Listed, ListedEntry, ListRequest } from "../listing";
import type { CheckedCredentials, Connection, Unanswered } from "../seam";
import { AmountSchema, fromMollieAmount } from "./amounts";
import { detailOf, get, judgeUnanswered } from "./calls";
import { capturedOf, type MolliePayment, nonceOf, PaymentSchema, paymentIdIn, statusOf } from "./snapshot";

/** The most that Mollie gives of a list at once. */
const PAGE_SIZE = 250;

const id = z.string().min(1);
const PageSchema = z.object({
  _embedded: z.object({
    payments: z.array(z.unknown()).optional(),
    refunds: z.array(z.unknown()).optional(),
    chargebacks: z.array(z.unknown()).optional(),
  }),
  _links: z.object({ next: z.object({ href: z.string() }).nullish() }),
});
type Kind = keyof z.output<typeof PageSchema>["_embedded"];

type Read = { readonly tag: "read"; readonly entries: readonly unknown[]; readonly next: string | null } | Unanswered;

/** Asks for a page of a list. */
async function readPage(connection: Connection, kind: Kind, cursor: string | null): Promise<Read> {
  const embed = kind === "payments" ? undefined : "payment";
  const answer = await get(connection, `/${kind}`, { from: cursor ?? undefined, limit: String(PAGE_SIZE), embed });
  const unanswered = judgeUnanswered(answer);
  if (unanswered !== null) return unanswered;
  if (answer.tag !== "answer") return answer;
  if (answer.status >= 300) return { tag: "unknown", detail: detailOf(answer) };
  const page = PageSchema.safeParse(answer.json);
  const entries = page.success ? page.data._embedded[kind] : undefined;
  if (!page.success || entries === undefined) return UNREADABLE;
  const { next } = page.data._links;
  const from = next ? cursorIn(next.href) : null;
  return next && from === null ? UNREADABLE : { tag: "read", entries, next: from };
}

/** The name that the next page begins with. Where that page is, is not left to an answer. */
function cursorIn(href: string): string | null {
  return URL.canParse(href) ? new URL(href).searchParams.get("from") : null;
}

/** A page of a listing. The pages end with the first one that reaches back beyond the time that is asked for. */
export async function list(connection: Connection, request: ListRequest): Promise<Listed> {
  const { kind, read } = LISTINGS[request.listing];
  const page = await readPage(connection, kind, request.cursor);
  if (page.tag !== "read") return page;
  const entries = page.entries.map((entry) => read(entry, connection));
  const listed = entries.filter((entry) => entry !== null);
  if (listed.length < entries.length) return UNREADABLE;
  const isLast = listed.some(({ createdAt }) => createdAt < request.from);
  return {
    tag: "listed",
    entries: listed.filter(({ createdAt }) => createdAt >= request.from && createdAt < request.to),
    next: isLast ? null : page.next,
  };
}

/** Reads an entry; null where nobody can read it. */
type ReadEntry = (entry: unknown, connection: Connection) => ListedEntry | null;

const readPayment: ReadEntry = (entry, connection) => {
  const read = PaymentSchema.safeParse(entry);
  if (!read.success) return null;
  const payment = read.data;
  const { amount, amountRefunded } = payment;
  const amountMinor = fromMollieAmount(amount);
  const capturedMinor = capturedOf(payment);
  const refundedMinor = amountRefunded ? fromMollieAmount(amountRefunded) : 0;
  const createdAt = Date.parse(payment.createdAt);
  if (amountMinor === null || capturedMinor === null || refundedMinor === null || Number.isNaN(createdAt)) return null;
  return {
    reference: payment.id,
    paymentReference: payment.id,
    paymentId: paymentIdIn(payment.metadata, connection),
    amountMinor,
    currency: amount.currency,
    createdAt,
    payment: { status: statusOf(payment), capturedMinor, refundedMinor },
  };
};

const PartSchema = z.object({
  id,
  paymentId: id,
  amount: AmountSchema,
  createdAt: z.string(),
  _embedded: z.object({ payment: z.object({ metadata: z.unknown().optional() }).nullish() }).nullish(),
});

/** A refund or a chargeback, which is its payment's. */
const readPart: ReadEntry = (entry, connection) => {
  const read = PartSchema.safeParse(entry);
  if (!read.success) return null;
  const { amount, _embedded: embedded, ...part } = read.data;
  const amountMinor = fromMollieAmount(amount);
  const createdAt = Date.parse(part.createdAt);
  if (amountMinor === null || Number.isNaN(createdAt)) return null;
  return {
    reference: part.id,
    paymentReference: part.paymentId,
    paymentId: paymentIdIn(embedded?.payment?.metadata, connection),
    amountMinor,
    currency: amount.currency,
    createdAt,
    payment: null,
  };
};

const LISTINGS = {
  payments: { kind: "payments", read: readPayment },
  refunds: { kind: "refunds", read: readPart },
  disputes: { kind: "chargebacks", read: readPart },
} as const;

/** Pages that are looked through for one payment: some two thousand payments. */
const MAX_PAGES = 8;
/** How far Mollie's clock may be from this machine's. */
const CLOCK_SKEW_MS = 10 * 60_000;

/**
 * Looks for the payment that was made for an operation among the newest ones.
 *
 * @param openedAt when the operation was opened, in milliseconds: no payment of it is older
 */
export async function findByNonce(
  connection: Connection,
  nonce: string,
  openedAt: number,
): Promise<{ readonly tag: "found"; readonly payment: MolliePayment | null } | Unanswered> {
  let cursor: string | null = null;
  for (let count = 0; count < MAX_PAGES; count++) {
    const page: Read = await readPage(connection, "payments", cursor);
    if (page.tag !== "read") return page;
    const payments = z.array(PaymentSchema).safeParse(page.entries);
    if (!payments.success) return UNREADABLE;
    const payment = payments.data.find(({ metadata }) => nonceOf(metadata) === nonce);
    const isOlder = payments.data.some(({ createdAt }) => Date.parse(createdAt) < openedAt - CLOCK_SKEW_MS);
    if (payment || isOlder || page.next === null) return { tag: "found", payment: payment ?? null };
    cursor = page.next;
  }
  return { tag: "unknown", detail: "The payment is not among the newest ones of the account" };
}

/** Asks for the newest payment: whoever may read payments with an API key may make them. */
export async function checkCredentials(connection: Connection): Promise<CheckedCredentials> {
  const answer = await get(connection, "/payments", { limit: "1" });
  if (answer.tag !== "answer") return answer;
  if (answer.status === 401) return { tag: "rejected", detail: "Mollie does not know the API key, or no longer" };
  if (answer.status === 403) return { tag: "rejected", detail: "The API key may not read payments" };
  const unanswered = judgeUnanswered(answer);
  if (unanswered !== null) return unanswered;
  if (answer.status >= 300) return { tag: "unknown", detail: detailOf(answer) };
  return PageSchema.safeParse(answer.json).success ? { tag: "accepted" } : UNREADABLE;
}
