/** The end of a payment at a provider that nobody finishes: the provider is asked first, and ends it there before it ends here. */
import type { Origin } from "../context";
import { EXPIRING } from "../payment/lifecycle";
import type { Desk } from "./desk";
import type { Book } from "./journal/book";
import { commitChange } from "./journal/commit-change";
import { openOperation } from "./journal/journal";
import { send } from "./protocol";
import { NO_CHANGE } from "./reducer/change";
import { NOT_COMPLETED } from "./reducer/reduce";

/** What ending a payment needs beside the desk. */
export interface Expiry {
  readonly sealRequest: (nonce: string, request: object) => Promise<string>;
  readonly newNonce: () => string;
  /** When the provider is asked again, should the call be lost, in milliseconds. */
  readonly dueAt: number;
}

/** Whether a payment's time is over while it waits for its payer. */
export function isOverdue({ payment }: Book, now: number): boolean {
  return payment.expires_at !== null && payment.expires_at <= now && EXPIRING.includes(payment.status);
}

/**
 * Ends a payment whose time is over. The provider has just been asked: what it had to say is in the book. Of an operation that
 * is not decided, nothing is ended: the next sweep looks again.
 */
export async function expire(desk: Desk, origin: Origin, book: Book, expiry: Expiry): Promise<Book> {
  if (book.operations.some(({ state }) => state === "open" || state === "unknown")) return book;
  if (book.view.providerReference === null) {
    const payment = { status: "expired" as const, failure: NOT_COMPLETED, nextAction: null };
    const change = {
      ...NO_CHANGE,
      payment,
      event: { type: "payment.expired" as const, refund: null, dispute: null },
    };
    const committed = await commitChange(desk.db, origin, book, change, { attempts: [], dueAt: expiry.dueAt });
    await desk.enqueue(committed.deliveries);
    return committed.book;
  }
  const nonce = expiry.newNonce();
  const request = await expiry.sealRequest(nonce, {});
  const cancel = { action: "cancel", kind: "cancel", nonce, request, refund: null, dueAt: expiry.dueAt } as const;
  const conditions = {
    idempotency: null,
    expected: [book.payment.version],
    amount: null,
    providers: [book.payment.provider],
  };
  const opened = await openOperation(desk.db, origin, book.payment.id, { ...cancel, source: "expiry" }, conditions);
  if (opened.book === null || opened.book === "key_reused") return book;
  return opened.opened === null ? opened.book : send(desk, origin, opened.book, opened.opened.number);
}
