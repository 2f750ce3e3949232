/**
 * The seam between the service and what moves the money. An adapter is one file of pure mapping and `fetch`: it knows
 * neither D1 nor Hono, decides nothing about a payment, and keeps nothing. What a provider says becomes a snapshot; what that
 * changes, `operation/reducer/reduce.ts` decides.
 */
import type { Failure } from "./failures";
import type { Listed, ListRequest } from "./listing";

/** What can be asked of a provider for a payment. */
export const OPERATION_KINDS = ["authorize", "capture", "cancel", "refund"] as const;
export type OperationKind = (typeof OPERATION_KINDS)[number];

/** When the provider's money moves: at once, or when it is captured. */
export const CAPTURE_METHODS = ["automatic", "manual"] as const;
export type CaptureMethod = (typeof CAPTURE_METHODS)[number];

/** What a provider can do, and how it is to be asked. */
export interface Capabilities {
  /** Whether a payment gets its reference by a call that moves nothing, or with the call that moves the money. */
  readonly reference: "first" | "with_call";
  /** How a payment whose answer was lost is found. */
  readonly query: "by_reference" | "by_own_id" | "none";
  /** How long the provider keeps idempotency keys, in milliseconds. */
  readonly keyWindowMs: number;
  /** Whether a notification only says that something may have changed, or also what. */
  readonly notification: "hint" | "payload";
  /** Whether a payment is notified of to a URL of its own, which is sent with the payment. */
  readonly ownNotificationUrl: boolean;
  readonly manualCapture: boolean;
  readonly partialCapture: boolean;
  readonly partialRefund: boolean;
}

/** The payment that an operation is for, as far as a provider may know it. Amounts in minor units of the currency. */
export interface ProviderPayment {
  readonly id: number;
  readonly merchantId: number;
  readonly amountMinor: number;
  readonly currency: string;
  readonly captureMethod: CaptureMethod;
  /** The provider's name for it; null before there is one. */
  readonly reference: string | null;
}

/** What is sent for an operation, kept with it: a repeated call sends exactly the same. */
export interface OperationRequest {
  /** The provider's token for the payer's means of payment. */
  readonly paymentMethod?: string;
  /** Where the payer's browser returns to. */
  readonly returnUrl?: string;
  readonly description?: string;
  /** Why: of a refund or a cancellation, for the provider's records. */
  readonly reason?: string;
  /** Where providers reach this service: what its notifications' URLs begin with. Of an authorisation. */
  readonly serviceOrigin?: string;
}

/** An operation as an adapter sends it. */
export interface ProviderOperation {
  readonly kind: OperationKind;
  readonly payment: ProviderPayment;
  readonly amountMinor: number;
  /** Random, and the operation's alone: idempotency keys at the provider are made of it. */
  readonly nonce: string;
  readonly request: OperationRequest;
  /** When it was opened, in milliseconds: nothing at the provider that came of it is older. */
  readonly openedAt?: number;
}

/** The way to a provider: an account with its secrets, and what carries requests there. */
export interface Connection {
  /** Names the account in the notification's path. */
  readonly accountId: string;
  /** Whose account it is: what bears the name of another merchant at the provider is somebody else's. */
  readonly merchantId: number;
  /** Where the provider's API is, without a path. */
  readonly apiOrigin: string;
  /**
   * By name. What an account was given has the names of `AccountRules`; `notifications_0`, `notifications_1`… are the service's own,
   * derived for this account from each of its secret keys, the newest first.
   */
  readonly secrets: Readonly<Record<string, string>>;
  /** As the global one; a call that takes longer than the service waits is aborted through `signal`. */
  readonly fetch: (request: Request) => Promise<Response>;
}

/** What the payer does next: go to a page, or go on in the provider's own script, which is given a secret of the payment for it. */
export type NextAction = { readonly type: "redirect"; readonly url: string } | { readonly type: "client" };

/** Where a provider says that a payment is. What an adapter does not know is `processing`, never a success. */
export type ProviderStatus =
  | "open"
  | "requires_action"
  | "processing"
  | "authorized"
  | "captured"
  | "failed"
  | "cancelled"
  | "expired";

/** A refund as the provider has it. */
export interface ProviderRefund {
  readonly reference: string;
  /** Of the operation that asked for it; null where somebody else did. */
  readonly nonce: string | null;
  readonly amountMinor: number;
  readonly state: "pending" | "succeeded" | "failed";
  readonly failure: Failure | null;
}

/** A capture as the provider has it, where captures take their time. */
export interface ProviderCapture {
  readonly nonce: string | null;
  readonly amountMinor: number;
  readonly state: "pending" | "succeeded" | "failed";
  readonly failure: Failure | null;
}

/** Where a dispute is. An inquiry holds no money back yet. */
export const DISPUTE_STATES = ["inquiry", "open", "won", "lost"] as const;

/** A dispute as the provider has it. */
export interface ProviderDispute {
  readonly reference: string;
  readonly amountMinor: number;
  readonly state: (typeof DISPUTE_STATES)[number];
  readonly reason: string | null;
  /** Until when evidence is taken, in milliseconds; null where there is no such time. */
  readonly dueAt: number | null;
}

/**
 * What a provider says of a payment when it is asked, whole: what is not in its lists is not there, or not there yet. Amounts
 * in minor units.
 */
export interface Snapshot {
  readonly reference: string;
  readonly status: ProviderStatus;
  readonly amountMinor: number;
  readonly currency: string;
  /** What was captured; 0 before. */
  readonly capturedMinor: number;
  /** What a capture has left, where the provider goes on holding it until it is told that nothing more is captured. */
  readonly heldMinor?: number;
  readonly nextAction: NextAction | null;
  /** Of a next action in the provider's own script: what that is started with. It is answered, and kept nowhere. */
  readonly clientSecret?: string;
  readonly failure: Failure | null;
  readonly captures: readonly ProviderCapture[];
  readonly refunds: readonly ProviderRefund[];
  readonly disputes: readonly ProviderDispute[];
}

/** What `prepare` came to: the reference of a payment of which nothing has moved yet. */
export type Prepared =
  | { readonly tag: "prepared"; readonly reference: string }
  /** The provider will not have it: nothing has moved, and nothing will. */
  | { readonly tag: "refused"; readonly failure: Failure }
  | Unanswered;

/** What `perform` came to. Nothing but `answered` and `refused` says what has become of the money. */
export type Performed =
  /** The provider has done or declined it, or will: the snapshot says which. */
  | { readonly tag: "answered"; readonly snapshot: Snapshot }
  /**
   * It was not done and never will be by this call: the request is wrong, or the provider's state does not allow it. The snapshot,
   * where the provider gives one with its refusal, says what that state is.
   */
  | { readonly tag: "refused"; readonly failure: Failure; readonly snapshot?: Snapshot }
  | Unanswered;

/** What `release` came to. */
export type Released =
  /** The provider releases it, now or later. */
  | { readonly tag: "released" }
  /** It does not, and would not if it were asked again. */
  | { readonly tag: "refused"; readonly failure: Failure }
  | Unanswered;

/** What `observe` came to. */
export type Observed =
  | { readonly tag: "answered"; readonly snapshot: Snapshot }
  /** The provider knows no such payment; right after a call that is no absence. */
  | { readonly tag: "not_found" }
  /** The provider has no way to ask. */
  | { readonly tag: "unanswerable" }
  | Unanswered;

/** No answer that says anything. */
export type Unanswered =
  /** It was not taken: too many requests, or the same key is in use. Nothing has come of this call. */
  | { readonly tag: "busy"; readonly detail: string; readonly retryAfterMs: number | null }
  /** It may have been done. */
  | { readonly tag: "unknown"; readonly detail: string };

/** Whom a notification is about. It is a hint: the provider is asked for what is true. */
export type Notified =
  | {
      readonly tag: "notified";
      /** What the provider calls the notification; the same one comes again under the same id. Null where it has no name. */
      readonly id: string | null;
      /** The provider's name for the payment. */
      readonly reference: string;
      /** The service's own, as the provider was told it with the payment; null where the notification does not say. */
      readonly paymentId: number | null;
    }
  /** The signature is missing, wrong or too old. */
  | { readonly tag: "unsigned" }
  /** It is signed, and about nothing that a payment has. */
  | { readonly tag: "ignored"; readonly id: string };

/** The raw body, the headers and the URL of a notification, before anything was parsed. */
export interface NotificationRequest {
  readonly url: string;
  readonly headers: Headers;
  readonly body: string;
  /** In milliseconds. */
  readonly now: number;
}

/** What is wrong with a request: the field of the API's that says it, and what to say instead, in a sentence. */
export interface RequestFault {
  readonly field: "payment_method" | "return_url" | "reason";
  readonly detail: string;
}

/** Whether a provider takes an account's secrets. */
export type CheckedCredentials =
  | { readonly tag: "accepted" }
  /** The provider does not take them; why, in a sentence that has nothing of them. */
  | { readonly tag: "rejected"; readonly detail: string }
  | Unanswered;

/** Whether an account moves real money. */
export const ACCOUNT_MODES = ["test", "live"] as const;
export type AccountMode = (typeof ACCOUNT_MODES)[number];

/** What an account at a provider is made of. Pure. */
export interface AccountRules {
  /** Where its API is, without a path. */
  readonly apiOrigin: string;
  /** Its secrets by name, in the order in which a person sets them. */
  readonly secrets: Readonly<Record<string, SecretRule>>;
  /** Whether a payer's browser needs a key of the account's that is no secret. */
  readonly publishableKey: SecretRule | null;
  /** Whether an account moves real money, as the key says itself; null for a text that is no key. */
  readonly modeOf: (key: string) => AccountMode | null;
}

/** A text of an account, and what it must look like. */
export interface SecretRule {
  readonly description: string;
  readonly pattern: RegExp;
  readonly isRequired: boolean;
  /** Whether there may be several, with commas between them: each counts. */
  readonly isList?: boolean;
  readonly example: string;
}

/** Which payment of the service's a name of the provider's is about. */
export type Located =
  /** Null where the provider was told of none: it was made by somebody else. */
  { readonly tag: "located"; readonly paymentId: number | null } | { readonly tag: "not_found" } | Unanswered;

/** What a provider with accounts can do beside moving money. */
export interface AccountAdapter extends Adapter {
  readonly account: AccountRules;
  /** Asks for something harmless that needs what payments need. */
  checkCredentials(connection: Connection): Promise<CheckedCredentials>;
  list(connection: Connection, request: ListRequest): Promise<Listed>;
  /** Asks whose payment a reference is, for notifications that do not say. */
  locate(connection: Connection, reference: string): Promise<Located>;
}

/** A provider. Every method may be called again with the same arguments. None throws for what a provider may answer. */
export interface Adapter {
  readonly capabilities: Capabilities;
  /**
   * What the provider would not take of a request whatever the payment, which is then refused before anything is written or
   * sent; null where nothing is wrong with it. Pure. Without it, the provider is asked.
   */
  readonly check?: (kind: OperationKind, request: OperationRequest) => RequestFault | null;
  /** Has the provider make the payment without moving anything. */
  prepare(connection: Connection, operation: ProviderOperation): Promise<Prepared>;
  /** Asks for what may move money, under a key made of the operation's nonce. */
  perform(connection: Connection, operation: ProviderOperation): Promise<Performed>;
  /**
   * Has what a capture has left released, of a snapshot that says there is something. May be asked again as long as that is so. Without it,
   * a capture releases the rest by itself.
   */
  readonly release?: (connection: Connection, capture: ProviderOperation) => Promise<Released>;
  /** Asks what has become of a payment. Changes nothing. */
  observe(connection: Connection, payment: ProviderPayment): Promise<Observed>;
  readNotification(connection: Connection, request: NotificationRequest): Promise<Notified>;
}
