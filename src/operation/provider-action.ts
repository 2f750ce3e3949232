/** Running an action on a payment whose money a provider moves. */
import type { Origin } from "../context";
import { currencyExponent, MAX_EXPONENT } from "../money/currency";
import { toMinor } from "../money/money";
import { type Action, outcome } from "../payment/lifecycle";
import type { Payment } from "../payment/payment";
import type { Refund } from "../payment/refund";
import { findOther } from "../payment/single";
import type { OperationKind, OperationRequest } from "../provider/seam";
import type { Database } from "../storage/database";
import { Outage } from "../storage/outage";
import type { Refusal } from "./classify";
import type { Desk } from "./desk";
import { expire, isOverdue } from "./expire";
import { type Book, heldMinor, type OperationRow, readBook, refundableMinor, refundOfOperation } from "./journal/book";
import { isBlocking, OWN_FIELDS, type OwnField, openOperation, recordKey } from "./journal/journal";
import { resume, send } from "./protocol";
import type { ActionRequest, ActionResult } from "./run-action";

/** What an action at a provider has come to so far: the payment, and the operation that was asked for. */
export interface AtProvider {
  readonly tag: "at_provider";
  readonly payment: Payment;
  /** Null where nothing was to be asked for. */
  readonly operation: OperationRow | null;
  readonly isReplay: boolean;
  /** The refund that was asked for; null where none was. */
  readonly refund: Refund | null;
  /** When the provider is to be asked again, in milliseconds; null when all is settled. */
  readonly dueAt: number | null;
  /** What the provider's own script is started with in the payer's browser, where it is to be: in this answer alone. */
  readonly script?: { readonly clientSecret: string; readonly publishableKey: string | null };
  /** Whether the provider was asked for news, and gave no answer. */
  readonly isUnheard?: boolean;
}

export type ProviderActionResult =
  | AtProvider
  | ActionResult
  /** Another operation of the payment is not decided. */
  | { readonly tag: "blocked" }
  /** The payment's account at its provider is disabled, and nothing new begins there. */
  | { readonly tag: "account_disabled" }
  /** The payment's provider does not do what is asked for; which field asks for it. */
  | ({ readonly tag: "unsupported" } & Fault);

/** What an action asks of a provider; null where it is for the service alone to do. */
export const KINDS: Readonly<Record<Action, OperationKind | null>> = {
  confirm: "authorize",
  capture: "capture",
  cancel: "cancel",
  fail: null,
  refund: "refund",
};

/** How long an operation has before the sweep looks after it, in milliseconds: longer than its calls take. */
const FIRST_LOOK_MS = 15_000;

/** What a provider does not take of a request. */
export interface Fault {
  readonly field: string;
  readonly detail: string;
  /** What the request leaves out, where that is all and the payment's creation may have named it. */
  readonly missing?: OwnField;
}
export type Judged = ReadonlyMap<string, Fault | null>;

/** What running at a provider needs. */
export interface Counter {
  readonly db: Database;
  /** The desk of a payment's provider; null for one that settles at once. */
  readonly deskOf: (book: Book) => Promise<Desk | null>;
  readonly sealRequest: (nonce: string, request: OperationRequest) => Promise<string>;
  /** Has the object woken at a time at the latest, before anything is sent. */
  readonly setAlarm: (at: number) => Promise<void>;
  readonly newNonce: () => string;
  /** Every provider, with what it does not take of a request; null where there is nothing of that kind. */
  readonly judge: (request: ActionRequest) => Judged;
  /** What is the service's own to do, as for a payment that settles at once. */
  readonly applyHere: () => Promise<ActionResult>;
}

/** An operation that settles in between is waited for so often; then another instance goes on with the payment. */
const MAX_TRIES = 3;

/** Runs an action, from what D1 holds. */
export async function runAtProvider(
  counter: Counter,
  origin: Origin,
  paymentId: number,
  request: ActionRequest,
): Promise<ProviderActionResult> {
  const { db } = counter;
  const kind = KINDS[request.action];
  const judged = counter.judge(request);
  const taking = (isTaken: (fault: Fault | null) => boolean) =>
    [...judged].filter(([, fault]) => isTaken(fault)).map(([name]) => name);
  const providers = taking((fault) => fault === null);
  const withItsOwn = Object.fromEntries(
    OWN_FIELDS.map((field) => [field, taking((fault) => fault?.missing === field)] as const),
  );
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    if (kind === null) {
      const book = await readBook(db, origin.merchantId, paymentId, request.idempotency);
      const answered = await answerWithout(counter, origin, book, request, judged);
      if (answered !== "again") return answered;
      continue;
    }
    const nonce = counter.newNonce();
    const dueAt = origin.now + FIRST_LOOK_MS;
    await counter.setAlarm(dueAt);
    const sealed = await counter.sealRequest(nonce, requestOf(request));
    const conditions = { ...request, amount: request.amount ?? null, providers, withItsOwn };
    const operation = { action: request.action, kind, nonce, request: sealed, refund: request.refund ?? null, dueAt };
    const { opened, book, attempts } = await openOperation(db, origin, paymentId, operation, conditions);
    if (opened === null) {
      const answered = await answerWithout(counter, origin, book, request, judged);
      if (answered === "again") continue;
      // As in applyAction: an attempt whose answer was lost may still arrive.
      if (attempts > 1 && answered.tag !== "at_provider") throw new Outage("An earlier attempt may still arrive");
      return answered;
    }
    if (book === null || book === "key_reused") throw new Error("An operation was opened of no payment");
    const desk = await counter.deskOf(book);
    if (desk === null) throw new Error("An operation was opened at no provider");
    const after = await send(desk, origin, book, opened.number);
    return found(after, opened.number, false);
  }
  return { tag: "blocked" };
}

/** What is sent of a request. */
export function requestOf({
  action,
  paymentMethod,
  returnUrl,
  reason,
  refund,
  serviceOrigin,
}: ActionRequest): OperationRequest {
  return {
    ...(action === "confirm" && serviceOrigin !== undefined && { serviceOrigin }),
    ...(paymentMethod != null && { paymentMethod }),
    ...(returnUrl != null && { returnUrl }),
    ...((reason ?? refund?.reason) != null && { reason: reason ?? refund?.reason ?? "" }),
  };
}

/** The answer where no operation was opened, or `again` when what stood in its way is settled. */
async function answerWithout(
  counter: Counter,
  origin: Origin,
  book: Book | null | "key_reused",
  request: ActionRequest,
  judged: Judged,
): Promise<ProviderActionResult | "again"> {
  if (book === "key_reused" || (book !== null && book.keyBefore === "other request")) return { tag: "key_reused" };
  if (book === null) return { tag: "not_found" };
  const { payment } = book;
  const desk = await counter.deskOf(book);
  if (desk === null) return answerSettling(judged, payment);
  const blocking = book.operations.some(isBlocking);
  // Who confirms again wants to go on, for which the provider says once more what its script is started with.
  const isInScript = request.action === "confirm" && book.view.nextAction?.type === "client";
  if (book.keyBefore === "same request") {
    const { book: after } = blocking || isInScript ? await resume(desk, origin, book) : { book };
    const own = after.operations.find(({ idempotency_key }) => idempotency_key === request.idempotency?.key);
    return found(after, own?.number ?? null, true);
  }
  const stuck = book.operations.some(({ state }) => state === "open" || state === "unknown");
  const { book: after } = stuck || isInScript ? await resume(desk, origin, book) : { book };
  const isFreed = stuck && !after.operations.some(({ state }) => state === "open" || state === "unknown");
  return judgeAfter(counter, after, request, judged, isFreed);
}

/** Why an action that a provider was to do was not opened, of the payment as it is now. */
async function judgeAfter(
  counter: Counter,
  book: Book,
  request: ActionRequest,
  judged: Judged,
  isFreed: boolean,
): Promise<ProviderActionResult | "again"> {
  const { payment } = book;
  const { action, expected, idempotency } = request;
  if (expected && !expected.includes(payment.version)) return { tag: "outdated", version: payment.version };
  const result = outcome(payment.status, action);
  if (result === "refused") return { tag: "refused", status: payment.status };
  if (result === "unchanged") {
    const key = idempotency ? await recordKey(counter.db, payment, idempotency, Date.now()) : "same request";
    if (key === "other request") return { tag: "key_reused" };
    return key === "free" ? "again" : found(book, null, false);
  }
  if (book.operations.some(isBlocking)) return { tag: "blocked" };
  // Of a payment that no provider has heard of, a cancellation is nobody else's matter.
  if (action === "fail" || (action === "cancel" && book.view.providerReference === null)) return counter.applyHere();
  const fault = judged.get(payment.provider);
  const isNamed =
    (fault?.missing === "payment_method" && book.paymentMethod !== null) ||
    (fault?.missing === "return_url" && payment.return_url !== null);
  if (fault && !isNamed) return { tag: "unsupported", ...fault };
  if (action === "confirm" && book.account !== null && book.account.disabled_at !== null) {
    return { tag: "account_disabled" };
  }
  const isOverdue = action === "confirm" && payment.expires_at !== null && payment.expires_at <= Date.now();
  if (isOverdue) return { tag: "refused", status: "expired" };
  if (isFreed) return "again";
  const refusal = tooMuch(book, request);
  if (refusal !== null || action !== "confirm") return refusal ?? "again";
  const other = await findOther(counter.db, payment);
  return other === null ? "again" : { tag: "in_the_way", other };
}

/** What is wrong with the amount, or null. */
function tooMuch(book: Book, { action, amount }: ActionRequest): Refusal | null {
  const { payment } = book;
  const left = action === "refund" ? refundableMinor(book) : payment.amount_minor;
  const read = amount == null ? null : toMinor(amount, currencyExponent(payment.currency) ?? MAX_EXPONENT);
  if (read?.ok === false) return { tag: "invalid_amount", detail: read.detail };
  return left < (read?.minor ?? 1)
    ? { tag: "exceeds", payment: { ...payment, held_minor: heldMinor(book.view) } }
    : null;
}

/** What only a provider can do was asked of one that settles at once. */
function answerSettling(judged: Judged, payment: Payment): ProviderActionResult {
  const fault = judged.get(payment.provider);
  return fault ? { tag: "unsupported", ...fault } : { tag: "refused", status: payment.status };
}

function found(
  { payment, operations, account, clientSecret }: Book,
  number: number | null,
  isReplay: boolean,
): AtProvider {
  const operation = operations.find((row) => row.number === number) ?? null;
  const refund = operation?.kind === "refund" ? refundOfOperation(operation, payment.currency) : null;
  const script = clientSecret !== undefined && {
    script: { clientSecret, publishableKey: account?.publishable_key ?? null },
  };
  return { tag: "at_provider", payment, operation, isReplay, refund, dueAt: nextDue(operations), ...script };
}

/** When the next of some operations is due, in milliseconds. */
function nextDue(operations: readonly OperationRow[]): number | null {
  const due = operations.flatMap(({ due_at }) => due_at ?? []);
  return due.length === 0 ? null : Math.min(...due);
}

/** Asks the provider what has become of a payment, and records what has changed. Null when the merchant has no such payment. */
export async function askProvider(counter: Counter, origin: Origin, paymentId: number): Promise<AtProvider | null> {
  const book = await readBook(counter.db, origin.merchantId, paymentId, null);
  if (book === null || book === "key_reused") return null;
  const desk = await counter.deskOf(book);
  // Nothing was ever asked of the provider: there is nothing that it could know.
  if (desk === null) return found(book, null, false);
  const isUnknownThere = book.view.providerReference === null && book.operations.length === 0;
  const { book: after, isUnheard } = isUnknownThere ? { book, isUnheard: false } : await resume(desk, origin, book);
  const by = { ...origin, commitId: desk.newCommitId(), now: desk.now() };
  const dueAt = desk.now() + FIRST_LOOK_MS;
  const ended = isOverdue(after, desk.now()) ? await expire(desk, by, after, { ...counter, dueAt }) : after;
  return { ...found(ended, null, false), isUnheard };
}
