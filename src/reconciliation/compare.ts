/**
 * What a provider has, held against what is stored here: entry by entry, by the payment's id and the provider's names, and never by
 * an amount. Pure. Every entry is judged by itself, so that neither the order of pages nor their repetition changes anything.
 */
import { amountText } from "../money/money";
import { isUnsettled, type OperationState } from "../operation/reducer/change";
import type { Status } from "../payment/lifecycle";
import type { ListedEntry, Listing } from "../provider/listing";
import { FINDINGS, type ReconciliationKind } from "../provider/reconciliation";
import type { CaptureMethod, ProviderStatus, Snapshot } from "../provider/seam";

/** A refund as the journal has it. */
export interface OwnRefund {
  /** The provider's name for it; null before it has one. */
  readonly reference: string | null;
  readonly amountMinor: number;
  readonly state: OperationState;
}

/** A payment of the provider's as it is stored here. Amounts in minor units. */
export interface OwnPayment {
  readonly id: number;
  /** The provider's name for it, also one that no event has told of yet; null before it has one. */
  readonly reference: string | null;
  readonly status: Status;
  readonly amountMinor: number;
  readonly currency: string;
  readonly capturedMinor: number;
  readonly captureMethod: CaptureMethod;
  readonly refunds: readonly OwnRefund[];
  /** The provider's names for its disputes. */
  readonly disputes: readonly string[];
}

/** One thing in which the two differ: what an item is about, and what it says. */
export interface Difference {
  readonly kind: ReconciliationKind;
  /** The payment here; 0 where there is none. */
  readonly paymentId: number;
  /** The provider's name for what it is about. */
  readonly reference: string;
  readonly detail: string;
}

/**
 * The statuses here that go with a status there. Whatever a payment that has ended here is there, it holds no money while its payer
 * has not acted.
 */
const AGREEING: Readonly<Record<ProviderStatus, readonly Status[]>> = {
  open: ["pending", "requires_action", "processing", "failed", "cancelled", "expired"],
  requires_action: ["requires_action", "failed", "cancelled", "expired"],
  processing: ["processing"],
  authorized: ["authorized"],
  captured: ["confirmed", "refunded"],
  failed: ["failed", "cancelled", "expired"],
  cancelled: ["failed", "cancelled", "expired"],
  expired: ["failed", "cancelled", "expired"],
};

/** The statuses in which nobody's money is at the provider. */
const WITHOUT_MONEY: readonly Status[] = ["pending", "failed", "cancelled", "expired"];
const isEnded = (status: Status): boolean => status === "failed" || status === "cancelled" || status === "expired";

/** Whether an entry is of the payment here that it names: the provider's names are the same. */
export const isSamePayment = (entry: ListedEntry, named: OwnPayment | undefined): named is OwnPayment =>
  named?.reference === entry.paymentReference;

/** In which an entry of a listing differs from the payment here that it names; undefined where there is none of that id. */
export function compareEntry(
  listing: Listing,
  entry: ListedEntry,
  named: OwnPayment | undefined,
): readonly Difference[] {
  const own = isSamePayment(entry, named) ? named : undefined;
  switch (listing) {
    case "payments":
      if (entry.payment === null) return [];
      return own === undefined ? missingHere(entry, entry.payment, named) : comparePayment(entry, entry.payment, own);
    case "refunds":
      return compareRefund(entry, named, own);
    case "disputes":
      return own?.disputes.includes(entry.reference) ? [] : [unknownDispute(entry, named, own)];
  }
}

/**
 * In which a payment here differs from what the provider says when it is asked for that payment alone: the payment itself, for its refunds
 * and disputes are in lists of their own.
 */
export function compareSnapshot(snapshot: Snapshot, own: OwnPayment): readonly Difference[] {
  const { reference, amountMinor, currency, status, capturedMinor, refunds } = snapshot;
  const refundedMinor = sum(refunds.filter(({ state }) => state === "succeeded"));
  const entry = { reference, paymentReference: reference, paymentId: own.id, amountMinor, currency, createdAt: 0 };
  return compareEntry("payments", { ...entry, payment: { status, capturedMinor, refundedMinor } }, own);
}

/** What is to be said of a payment here that its provider does not know; nothing of one that has no money there. */
export function compareAbsence(own: OwnPayment): readonly Difference[] {
  if (own.reference === null || WITHOUT_MONEY.includes(own.status)) return [];
  const amount = amountText(own.amountMinor, own.currency);
  const detail = `The provider does not know this payment of ${amount}, which is ${own.status} here`;
  return [{ kind: "missing_there", paymentId: own.id, reference: own.reference, detail }];
}

type ListedPayment = Exclude<ListedEntry["payment"], null>;

/** A payment of which nothing has moved is none that anybody misses: should its payer go on, a notification tells. */
function missingHere(entry: ListedEntry, payment: ListedPayment, named: OwnPayment | undefined): readonly Difference[] {
  const taken = takenOf(entry, payment);
  if (taken === null) return [];
  const detail = `${taken} ${placeOf(named)}`;
  return [{ kind: "missing_here", paymentId: named?.id ?? 0, reference: entry.reference, detail }];
}

/** What the provider has taken, or is about to, in the first half of a sentence; null where nothing has moved. */
function takenOf({ amountMinor, currency }: ListedEntry, { status, capturedMinor }: ListedPayment): string | null {
  const text = (minor: number) => amountText(minor, currency);
  if (status === "captured" || capturedMinor > 0) {
    return `The provider captured ${text(capturedMinor)} of a payment that`;
  }
  if (status === "authorized") return `The provider holds ${text(amountMinor)} for a payment that`;
  return status === "processing" ? `The provider is at work on a payment of ${text(amountMinor)} that` : null;
}

/** Where a payment of the provider's is here, in the second half of a sentence. */
function placeOf(named: OwnPayment | undefined): string {
  if (named === undefined) return "is not known here";
  return named.reference === null
    ? "has no name at the provider here"
    : `has the name ${named.reference} at the provider here`;
}

/** The first that differs, for the others follow from it: what came late, the amount, the status, and then the parts of it. */
function comparePayment(
  { reference, ...entry }: ListedEntry,
  { status, capturedMinor, refundedMinor }: ListedPayment,
  own: OwnPayment,
): readonly Difference[] {
  const theirs = (minor: number) => amountText(minor, entry.currency);
  const ours = (minor: number) => amountText(minor, own.currency);
  const differs = (kind: ReconciliationKind, detail: string) => [{ kind, paymentId: own.id, reference, detail }];
  if (isEnded(own.status)) {
    if (status === "captured" || capturedMinor > 0) {
      return differs("late_success", FINDINGS.lateCapture(theirs(capturedMinor), own.status));
    }
    if (status === "authorized") {
      return differs("late_success", FINDINGS.lateAuthorization(theirs(entry.amountMinor), own.status));
    }
  }
  if (entry.currency !== own.currency || entry.amountMinor !== own.amountMinor) {
    return differs("amount_mismatch", FINDINGS.otherAmount(theirs(entry.amountMinor), ours(own.amountMinor)));
  }
  if (!AGREEING[status].includes(own.status)) {
    return differs("status_mismatch", `The provider says ${status}, and the payment is ${own.status} here`);
  }
  if (capturedMinor !== own.capturedMinor) {
    return differs("amount_mismatch", FINDINGS.otherCapture(theirs(capturedMinor), ours(own.capturedMinor)));
  }
  // Some providers count a refund as soon as it is asked for, others when it is done.
  const done = sum(own.refunds.filter(({ state }) => state === "succeeded"));
  const going = sum(own.refunds.filter(({ state }) => isUnsettled(state)));
  if (refundedMinor < done || refundedMinor > done + going) {
    return differs("amount_mismatch", FINDINGS.otherRefunds(theirs(refundedMinor), ours(done)));
  }
  return [];
}

function compareRefund(
  entry: ListedEntry,
  named: OwnPayment | undefined,
  own: OwnPayment | undefined,
): readonly Difference[] {
  const { reference, amountMinor, currency } = entry;
  const known = own?.refunds.find((refund) => refund.reference === reference);
  const amount = amountText(amountMinor, currency);
  if (own === undefined || known === undefined) {
    const detail = `The provider has a refund of ${amount} ${ofPayment(entry, named, own)}`;
    return [{ kind: "unknown_refund", paymentId: named?.id ?? 0, reference, detail }];
  }
  if (known.amountMinor === amountMinor && own.currency === currency) return [];
  const detail = FINDINGS.otherRefund(amount, amountText(known.amountMinor, own.currency));
  return [{ kind: "amount_mismatch", paymentId: own.id, reference, detail }];
}

function unknownDispute(entry: ListedEntry, named: OwnPayment | undefined, own: OwnPayment | undefined): Difference {
  const amount = amountText(entry.amountMinor, entry.currency);
  const detail = `The provider has a dispute over ${amount} ${ofPayment(entry, named, own)}`;
  return { kind: "unknown_dispute", paymentId: named?.id ?? 0, reference: entry.reference, detail };
}

/** Of which payment a part is, in the second half of a sentence. */
function ofPayment(
  { paymentReference }: ListedEntry,
  named: OwnPayment | undefined,
  own: OwnPayment | undefined,
): string {
  return own === undefined
    ? `of the payment ${paymentReference}, which ${placeOf(named)}`
    : `that is missing here; its payment is ${own.status}`;
}

const sum = (parts: readonly { readonly amountMinor: number }[]): number =>
  parts.reduce((total, { amountMinor }) => total + amountMinor, 0);

/** After so many looks, what differs is an item also where it is not what differed before. */
const MAX_LOOKS = 5;

const isSame = (one: Difference, other: Difference): boolean =>
  one.kind === other.kind &&
  one.paymentId === other.paymentId &&
  one.reference === other.reference &&
  one.detail === other.detail;

/**
 * Whether what differs at another look stands: it differed the same way before. What is new is still moving.
 *
 * @param said what differed at the look before
 * @param found what differs now
 * @param looks how many there were before
 */
export function stands(said: readonly Difference[], found: readonly Difference[], looks: number): boolean {
  return looks + 1 >= MAX_LOOKS || found.every((one) => said.some((before) => isSame(before, one)));
}
