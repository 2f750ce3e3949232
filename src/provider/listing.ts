/** All that happened at a provider in a time, as its adapter lists it for reconciliation. */
import type { ProviderStatus, Unanswered } from "./seam";

/** What can be asked of a provider for all that happened at it in a time. */
export const LISTINGS = ["payments", "refunds", "disputes"] as const;
export type Listing = (typeof LISTINGS)[number];

/** A part of what happened in a time, which is in milliseconds. */
export interface ListRequest {
  readonly listing: Listing;
  /** From this time, including it. */
  readonly from: number;
  /** Up to this time, without it. */
  readonly to: number;
  /** What the page before said; null for the first one. */
  readonly cursor: string | null;
}

/** A payment, a refund or a dispute as a provider lists it. Amounts in minor units. */
export interface ListedEntry {
  /** Its own name. */
  readonly reference: string;
  /** The provider's name for the payment that it is, or is of. */
  readonly paymentReference: string;
  /** The service's own name for the payment, as the provider was told it; null where it was not, or does not say. */
  readonly paymentId: number | null;
  readonly amountMinor: number;
  readonly currency: string;
  /** In milliseconds. */
  readonly createdAt: number;
  /** Of a payment; null of anything else. */
  readonly payment: {
    readonly status: ProviderStatus;
    readonly capturedMinor: number;
    /** What has gone back; at Mollie, with what is still on its way. */
    readonly refundedMinor: number;
  } | null;
}

/** A page of a listing. */
export type Listed =
  | { readonly tag: "listed"; readonly entries: readonly ListedEntry[]; readonly next: string | null }
  | Unanswered;
