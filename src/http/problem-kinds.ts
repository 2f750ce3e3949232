/**
 * Every kind of error, in the one table: statuses, types, titles, the responses in the API document and the
 * pages behind the type URIs come from it.
 */

export interface Kind {
  readonly status: 400 | 401 | 402 | 403 | 404 | 405 | 408 | 409 | 412 | 413 | 415 | 422 | 429 | 431 | 500 | 503 | 507;
  readonly title: string;
  /** The `detail` where the caller of `problem` has nothing more precise to say. */
  readonly detail: string;
  /** What a client does about it, for the documentation. */
  readonly remedy: string;
}

export const KINDS = {
  invalid_json: {
    status: 400,
    title: "Invalid JSON",
    detail: "The request body is not valid JSON",
    remedy:
      "Send one complete JSON value, in UTF-8, with no name twice in one object, and nested at most 100 levels deep. " +
      "Nothing was changed.",
  },
  invalid_url: {
    status: 400,
    title: "Invalid URL",
    detail: "The path or the query has percent-encoded bytes that are not UTF-8",
    remedy: "Encode the path and the query as UTF-8: é is %C3%A9. Nothing was changed.",
  },
  invalid_host: {
    status: 400,
    title: "Invalid host",
    detail: "The Host header is not a host name or an address, with or without a port",
    remedy: "Send the host that the service is reached by, such as localhost:8000. Nothing was changed.",
  },
  idempotency_key_missing: {
    status: 400,
    title: "Idempotency key missing",
    detail: "The Idempotency-Key header is required",
    remedy:
      "Send an Idempotency-Key header with a value of your own, one for each payment or refund that you mean to create.",
  },
  idempotency_key_invalid: {
    status: 400,
    title: "Idempotency key invalid",
    detail: "The Idempotency-Key header is not valid",
    remedy: "Send one key of 1 to 255 visible ASCII characters, for example a UUID.",
  },
  notification_not_signed: {
    status: 400,
    title: "Notification not signed",
    detail: "The notification's signature is missing, wrong or too old",
    remedy: "For providers: sign the body as it is sent, under the account's secret, and send it at once.",
  },
  credentials_missing: {
    status: 401,
    title: "Credentials missing",
    detail: "An API key is required: send Authorization: Bearer and the key",
    remedy: "Send the header Authorization: Bearer with an API key.",
  },
  invalid_token: {
    status: 401,
    title: "Invalid token",
    detail: "The API key is not valid",
    remedy:
      "Check the key: it may be mistyped, unknown, revoked or expired. Ask the person who manages your keys for one.",
  },
  payment_declined: {
    status: 402,
    title: "Payment declined",
    detail: "The payment was declined",
    remedy:
      "Tell your customer what the payment's failure says, and create a new payment when they try again: a decline is final. " +
      "The same answer comes again under its key.",
  },
  insufficient_scope: {
    status: 403,
    title: "Insufficient scope",
    detail: "The API key lacks a scope that this request needs",
    remedy: "Use a key with the scope that detail and the WWW-Authenticate header name.",
  },
  form_expired: {
    status: 403,
    title: "Form expired",
    detail: "The form was not sent by a page of this session",
    remedy: "Open the page of the dashboard again and send its form. Nothing was changed.",
  },
  merchant_disabled: {
    status: 403,
    title: "Merchant disabled",
    detail: "The merchant of this API key is disabled",
    remedy:
      "Ask the operator of the service to enable the merchant: until then its keys are refused. Nothing was changed.",
  },
  host_not_allowed: {
    status: 403,
    title: "Host not allowed",
    detail: "This service runs open, without access control, and therefore answers this machine only",
    remedy:
      "Send the request to localhost, and not from a page of another site; or set AUTH_MODE to required and use an API key.",
  },
  payment_not_found: {
    status: 404,
    title: "Payment not found",
    detail: "Payment not found",
    remedy: "Check the payment's id.",
  },
  event_not_found: {
    status: 404,
    title: "Event not found",
    detail: "Event not found",
    remedy: "Check the event's id.",
  },
  refund_not_found: {
    status: 404,
    title: "Refund not found",
    detail: "Refund not found",
    remedy: "Check the refund's id.",
  },
  provider_account_not_found: {
    status: 404,
    title: "Provider account not found",
    detail: "Provider account not found",
    remedy: "Check the account's id in the path.",
  },
  reconciliation_item_not_found: {
    status: 404,
    title: "Reconciliation item not found",
    detail: "Reconciliation item not found",
    remedy: "Check the item's id in the path: the list of items has it.",
  },
  reconciliation_run_not_found: {
    status: 404,
    title: "Reconciliation run not found",
    detail: "Reconciliation run not found",
    remedy: "Check the run's id and the account's in the path: the list of the account's runs has it.",
  },
  merchant_not_found: {
    status: 404,
    title: "Merchant not found",
    detail: "Merchant not found",
    remedy: "Check the merchant's id.",
  },
  api_key_not_found: {
    status: 404,
    title: "API key not found",
    detail: "API key not found",
    remedy: "Check the key's public id: the part between pay_ and the second underscore.",
  },
  webhook_endpoint_not_found: {
    status: 404,
    title: "Webhook endpoint not found",
    detail: "Webhook endpoint not found",
    remedy: "Check the endpoint's id.",
  },
  webhook_delivery_not_found: {
    status: 404,
    title: "Webhook delivery not found",
    detail: "Webhook delivery not found",
    remedy: "Check the event's id: it was never sent to the endpoint. To send it after all, replay its time.",
  },
  route_not_found: {
    status: 404,
    title: "Route not found",
    detail: "There is nothing at this path",
    remedy: "Check the path against the API document at /openapi.json.",
  },
  method_not_allowed: {
    status: 405,
    title: "Method not allowed",
    detail: "This path does not support this method",
    remedy: "Use a method that the Allow header names.",
  },
  body_timeout: {
    status: 408,
    title: "Body timeout",
    detail: "The request body did not arrive within 30 seconds",
    remedy: "Send the whole body within 30 seconds. Nothing was changed.",
  },
  action_not_allowed: {
    status: 409,
    title: "Action not allowed",
    detail: "The payment's status does not allow this action",
    remedy: "Read the payment: its status does not allow this action. Nothing was changed.",
  },
  provider_account_disabled: {
    status: 409,
    title: "Provider account disabled",
    detail: "The payment's account at its provider is disabled",
    remedy:
      "Enable the account, or create the payment at another one. Captures, cancellations and refunds of it still work.",
  },
  too_many_provider_accounts: {
    status: 409,
    title: "Too many provider accounts",
    detail: "The merchant has as many provider accounts as it may",
    remedy: "Change an account that is not used any more, instead of adding one. Nothing was changed.",
  },
  provider_account_unavailable: {
    status: 409,
    title: "Provider account unavailable",
    detail: "There is no account that the payment could be made at",
    remedy: "Do what `detail` says: add, enable or name an account at the provider. Nothing was created.",
  },
  amount_exceeds_remaining: {
    status: 409,
    title: "Amount exceeds remaining",
    detail: "The amount is more than is left of the payment",
    remedy:
      "Ask for at most what `amount_remaining` says is left, in major units of the payment's currency. Nothing was changed.",
  },
  payment_exists: {
    status: 409,
    title: "Payment exists",
    detail: "Another payment of this order or reference is live or paid, and one of the two is to be the only one",
    remedy:
      "Go on with the payment that payment_id names; or cancel it if it is not paid, then repeat the request with the same Idempotency-Key. " +
      "Nothing was changed.",
  },
  reconciliation_item_resolved: {
    status: 409,
    title: "Reconciliation item resolved",
    detail: "The item is resolved already, with other words",
    remedy: "Read the item: somebody else has resolved it. Nothing was changed.",
  },
  reconciliation_in_progress: {
    status: 409,
    title: "Reconciliation in progress",
    detail: "The account is being reconciled already",
    remedy: "Wait until the account's newest run is done, then repeat the request. Nothing was changed.",
  },
  operation_in_progress: {
    status: 409,
    title: "Operation in progress",
    detail: "Another operation of the payment is not decided yet",
    remedy:
      "Wait until the operation is decided, or for Retry-After seconds, then read the payment. Nothing was changed.",
  },
  idempotency_key_reused: {
    status: 409,
    title: "Idempotency key reused",
    detail: "Idempotency key reused with different payload",
    remedy: "Use a new key: this one has led to a success with another request. Nothing was changed.",
  },
  api_key_not_active: {
    status: 409,
    title: "API key not active",
    detail: "The API key is revoked or expired",
    remedy: "Create a new key: one that is revoked or expired cannot be rolled. Nothing was changed.",
  },
  too_many_api_keys: {
    status: 409,
    title: "Too many API keys",
    detail: "The merchant has 100 active API keys, as many as it may have",
    remedy: "Revoke keys that are not needed, or roll one without an overlap. Nothing was changed.",
  },
  too_many_webhook_endpoints: {
    status: 409,
    title: "Too many webhook endpoints",
    detail: "The merchant has as many webhook endpoints as it may have",
    remedy: "Delete an endpoint that is not needed. Nothing was changed.",
  },
  webhook_endpoint_disabled: {
    status: 409,
    title: "Webhook endpoint disabled",
    detail: "The webhook endpoint is disabled",
    remedy: "Enable the endpoint first. Nothing was changed.",
  },
  webhook_endpoint_busy: {
    status: 409,
    title: "Webhook endpoint busy",
    detail: "What was still to be sent when the endpoint was disabled is being cancelled",
    remedy: "Wait for Retry-After seconds, then enable the endpoint again. Nothing was changed.",
  },
  webhook_delivery_waiting: {
    status: 409,
    title: "Webhook delivery waiting",
    detail: "The delivery waits for an earlier event of the same payment",
    remedy: "Retry the delivery of the earlier event, or wait for it. Nothing was changed.",
  },
  precondition_failed: {
    status: 412,
    title: "Precondition failed",
    detail: "If-Match does not name the payment's version",
    remedy: "Read the payment, and decide again with its ETag: its version is not in If-Match. Nothing was changed.",
  },
  body_too_large: {
    status: 413,
    title: "Body too large",
    detail: "The request body is larger than 64 KiB",
    remedy: "Send a smaller body.",
  },
  unsupported_media_type: {
    status: 415,
    title: "Unsupported media type",
    detail: "The request body must be sent as application/json",
    remedy: "Send the header Content-Type: application/json, the body in UTF-8, and no Content-Encoding.",
  },
  validation_failed: {
    status: 422,
    title: "Validation failed",
    detail: "The request is not valid",
    remedy: "Fix every entry in `errors`: each has its place in the request. Nothing was changed.",
  },
  card_number_refused: {
    status: 422,
    title: "Card number refused",
    detail: "The request holds what looks like a card number",
    remedy:
      "Take the number out of what `errors` names: card data do not belong here, and a payment's provider has them. Of all numbers " +
      "of 16 digits, 3 in 100 look like one; an order's own number belongs in `reference`, which is not searched. Nothing was changed.",
  },
  rate_limited: {
    status: 429,
    title: "Rate limited",
    detail: "Too many requests",
    remedy: "Wait for Retry-After seconds, then repeat the request, and ask less often. Nothing was changed.",
  },
  too_many_at_once: {
    status: 429,
    title: "Too many at once",
    detail: "The merchant has two replays or exports under way, as many as it may have at once",
    remedy:
      "Wait until one of them is complete, or for Retry-After seconds, then repeat the request. Nothing was changed.",
  },
  too_many_waiting: {
    status: 429,
    title: "Too many waiting",
    detail: "As many requests are waiting as may wait at once: five for a payment, a hundred of a merchant",
    remedy:
      "Wait until one of them is answered, or for Retry-After seconds, then repeat the request; or read the payment without waiting.",
  },
  headers_too_large: {
    status: 431,
    title: "Headers too large",
    detail: "A request header is larger than 8 KiB",
    remedy: "Send shorter headers.",
  },
  internal_error: {
    status: 500,
    title: "Internal error",
    detail: "Internal error",
    remedy: "Report the request id in instance. Retrying with the same Idempotency-Key is safe.",
  },
  not_configured: {
    status: 503,
    title: "Not configured",
    detail: "The service is not configured",
    remedy: "The operator of the service sets what detail names. Nothing was changed.",
  },
  payment_busy: {
    status: 503,
    title: "Payment busy",
    detail: "Too many requests for this payment are waiting",
    remedy: "Wait for Retry-After seconds, then repeat the request with the same Idempotency-Key. Nothing was changed.",
  },
  provider_unreachable: {
    status: 503,
    title: "Provider unreachable",
    detail: "The provider gave no answer that says whether it takes the account's key",
    remedy: "Wait for Retry-After seconds, then repeat the request. Nothing was changed.",
  },
  unavailable: {
    status: 503,
    title: "Temporarily unavailable",
    detail:
      "The service cannot reach its storage. Retry with the same Idempotency-Key: it tells whether the request took effect.",
    remedy: "Wait for Retry-After seconds, then repeat the request with the same Idempotency-Key.",
  },
  storage_full: {
    status: 507,
    title: "Storage full",
    detail: "The service has no room for anything new",
    remedy:
      "Whoever operates the service makes room; then repeat the request with the same Idempotency-Key. Payments that exist can still " +
      "be confirmed, failed and refunded, keys rolled and revoked, and endpoints and merchants disabled and enabled.",
  },
} as const satisfies Record<string, Kind>;

export type ProblemKind = keyof typeof KINDS;
export const PROBLEM_KINDS = Object.keys(KINDS) as ProblemKind[];

/** The type URI of a kind: `payment_not_found` is `/problems/payment-not-found`. */
export function typeUri(kind: ProblemKind): string {
  return `/problems/${kind.replaceAll("_", "-")}`;
}
