/**
 * Every error the API answers with, as an RFC 9457 problem. KINDS is the one table: statuses, types,
 * titles, the responses in the API document and the pages behind the type URIs come from it.
 */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { answer } from "./answer";
import type { App } from "./context";

interface Kind {
  readonly status: 400 | 401 | 403 | 404 | 405 | 409 | 412 | 413 | 415 | 422 | 429 | 431 | 500 | 503;
  readonly title: string;
  /** The `detail` where the caller of `problem` has nothing more precise to say. */
  readonly detail: string;
  /** What a client does about it, for the documentation. */
  readonly remedy: string;
}

const KINDS = {
  invalid_json: {
    status: 400,
    title: "Invalid JSON",
    detail: "The request body is not valid JSON",
    remedy: "Send one complete JSON value. Nothing was changed.",
  },
  idempotency_key_missing: {
    status: 400,
    title: "Idempotency key missing",
    detail: "The Idempotency-Key header is required",
    remedy: "Send an Idempotency-Key header with a value of your own, one per payment you mean to create.",
  },
  idempotency_key_invalid: {
    status: 400,
    title: "Idempotency key invalid",
    detail: "The Idempotency-Key header is not valid",
    remedy: "Send one key of 1 to 255 visible ASCII characters, for example a UUID.",
  },
  credentials_missing: {
    status: 401,
    title: "Credentials missing",
    detail: "An API key is required",
    remedy: "Send the header Authorization: Bearer with an API key.",
  },
  invalid_token: {
    status: 401,
    title: "Invalid token",
    detail: "The API key is not valid",
    remedy: "Check the key: it may be mistyped, unknown, revoked or expired. Ask whoever manages your keys for one.",
  },
  insufficient_scope: {
    status: 403,
    title: "Insufficient scope",
    detail: "The API key lacks a scope that this request needs",
    remedy: "Use a key with the scope that detail and the WWW-Authenticate header name.",
  },
  host_not_allowed: {
    status: 403,
    title: "Host not allowed",
    detail: "This service runs open, without access control, and therefore answers on a loopback host only",
    remedy: "Ask it on localhost, or set AUTH_MODE to required and use an API key.",
  },
  payment_not_found: {
    status: 404,
    title: "Payment not found",
    detail: "Payment not found",
    remedy: "Check the payment's id.",
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
  route_not_found: {
    status: 404,
    title: "Route not found",
    detail: "There is nothing at this path",
    remedy: "Check the path against the API document at /openapi.json.",
  },
  method_not_allowed: {
    status: 405,
    title: "Method not allowed",
    detail: "This path does not answer this method",
    remedy: "Use a method that the Allow header names.",
  },
  action_not_allowed: {
    status: 409,
    title: "Action not allowed",
    detail: "The payment's status does not allow this action",
    remedy: "Read the payment: its status does not allow this action. Nothing was changed.",
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
  precondition_failed: {
    status: 412,
    title: "Precondition failed",
    detail: "The payment is not as If-Match says",
    remedy: "Somebody else changed the payment first: read it, and decide again. Nothing was changed.",
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
    remedy: "Send the header Content-Type: application/json.",
  },
  validation_failed: {
    status: 422,
    title: "Validation failed",
    detail: "The request is not valid; see errors",
    remedy: "Mend what errors lists: all of it is there, with the place of each. Nothing was changed.",
  },
  rate_limited: {
    status: 429,
    title: "Rate limited",
    detail: "Too many requests",
    remedy: "Wait for Retry-After seconds, then repeat the request, and ask less often. Nothing was changed.",
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
    remedy: "Whoever operates the service sets what detail names. Nothing was changed.",
  },
  unavailable: {
    status: 503,
    title: "Temporarily unavailable",
    detail:
      "The service cannot reach its storage. Retry with the same Idempotency-Key: it tells whether the request took effect.",
    remedy: "Wait for Retry-After seconds, then repeat the request with the same Idempotency-Key.",
  },
} as const satisfies Record<string, Kind>;

export type ProblemKind = keyof typeof KINDS;
export const PROBLEM_KINDS = Object.keys(KINDS) as ProblemKind[];

/** What every endpoint that demands a scope may answer. */
export const SECURED = [
  "credentials_missing",
  "invalid_token",
  "insufficient_scope",
  "host_not_allowed",
  "rate_limited",
  "headers_too_large",
  "internal_error",
  "not_configured",
  "unavailable",
] as const satisfies readonly ProblemKind[];

/** What an endpoint that anybody may ask may answer, whatever it does. */
export const UNSECURED = [
  "host_not_allowed",
  "body_too_large",
  "headers_too_large",
  "internal_error",
  "not_configured",
] as const satisfies readonly ProblemKind[];

/** How long a client waits before it asks an unavailable service again, in seconds. */
const RETRY_AFTER = "1";

/** One violation: where it is (`pointer` into the body, or a `parameter` or `header`) and what it is. */
export type Violation = { detail: string } & ({ pointer: string } | { parameter: string } | { header: string });

const ViolationSchema = z
  .object({
    detail: z.string().openapi({ description: "What is wrong", example: "Must be greater than zero" }),
    pointer: z.string().optional().openapi({
      description: "The place in the request body, as a JSON Pointer in a URI fragment",
      example: "#/amount",
    }),
    parameter: z.string().optional().openapi({ description: "The path or query parameter" }),
    header: z.string().optional().openapi({ description: "The request header" }),
  })
  .openapi("Violation", { description: "One thing wrong with a request, and where it is" });

export const ProblemSchema = z
  .object({
    type: z.string().openapi({
      format: "uri-reference",
      description: "Names the kind of problem, and never changes. It leads to the kind's description.",
      example: typeUri("payment_not_found"),
    }),
    title: z.string().openapi({ description: "The kind in words", example: "Payment not found" }),
    status: z.int().openapi({ description: "The HTTP status", example: 404 }),
    detail: z.string().openapi({ description: "What went wrong this time", example: "Payment not found" }),
    instance: z.string().openapi({
      format: "uri-reference",
      description: "The request id, as in the X-Request-Id header; name it when you report a problem",
      example: "0b96e0f7-5f0f-4ae2-a9d0-3c2f5f6f9f5e",
    }),
    errors: z.array(ViolationSchema).optional().openapi({
      description: "Every violation, where the request's fields, parameters or headers are at fault",
    }),
  })
  .openapi("Problem", { description: "An RFC 9457 problem" });

/** The type URI of a kind: `payment_not_found` is `/problems/payment-not-found`. */
export function typeUri(kind: ProblemKind): string {
  return `/problems/${kind.replaceAll("_", "-")}`;
}

/** What the page behind a kind's type URI says. */
export function describeKind(kind: ProblemKind) {
  const { status, title, remedy } = KINDS[kind];
  return { type: typeUri(kind), title, status, remedy };
}

/** A problem as the answer to a request. */
export function problem(
  c: Context<App>,
  kind: ProblemKind,
  more: { detail?: string; errors?: Violation[]; headers?: Record<string, string> } = {},
): Response {
  const { status, title, detail } = KINDS[kind];
  const body = {
    type: typeUri(kind),
    title,
    status,
    detail: more.detail ?? detail,
    instance: c.get("requestId"),
    ...(more.errors && { errors: more.errors }),
  };
  return answer(c, status, JSON.stringify(body), {
    "Content-Type": "application/problem+json",
    ...(kind === "unavailable" && { "Retry-After": RETRY_AFTER }),
    ...more.headers,
  });
}

type Said = { readonly detail?: string; readonly errors?: readonly Violation[] };

/**
 * The responses of a route that may answer with these kinds, for the API document.
 *
 * @param said what the route says in the examples, where that is not what the kind says by itself
 */
export function problemResponses(kinds: readonly ProblemKind[], said: Partial<Record<ProblemKind, Said>> = {}) {
  const statuses = [...new Set(kinds.map((kind) => KINDS[kind].status))];
  return Object.fromEntries(
    statuses.map((status) => {
      const answering = kinds.filter((kind) => KINDS[kind].status === status);
      return [
        status,
        {
          description: answering.map((kind) => `${KINDS[kind].title}: ${KINDS[kind].remedy}`).join(" "),
          content: {
            "application/problem+json": {
              schema: ProblemSchema.extend({ type: z.enum(answering.map(typeUri)), status: z.literal(status) }),
              examples: Object.fromEntries(
                answering.map((kind) => [kind, { summary: KINDS[kind].title, value: example(kind, said[kind]) }]),
              ),
            },
          },
          ...(status in HEADERS && { headers: HEADERS[status] }),
        },
      ];
    }),
  );
}

function header(description: string, example: string) {
  return { description, schema: { type: "string" as const, example } };
}

function retryAfter(seconds: number) {
  return {
    description: "How many seconds to wait before the next try",
    schema: { type: "integer" as const, minimum: 1, example: seconds },
  };
}

const CHALLENGED = {
  "WWW-Authenticate": header(
    "How to authenticate (RFC 6750), and what was wrong with how the request did",
    'Bearer realm="payments"',
  ),
};

/** The headers that problems of a status come with. */
const HEADERS: Partial<Record<Kind["status"], Record<string, ReturnType<typeof header | typeof retryAfter>>>> = {
  401: CHALLENGED,
  403: CHALLENGED,
  412: { ETag: header("The payment's version as it is now", '"2"') },
  429: {
    "Retry-After": retryAfter(10),
    "RateLimit-Policy": header(
      "The quota `q` of requests in `w` seconds, of the key or the address",
      '"key";q=1000;w=10',
    ),
    RateLimit: header("The requests `r` that are left for the next `t` seconds", '"key";r=0;t=10'),
  },
  503: { "Retry-After": retryAfter(Number(RETRY_AFTER)) },
};

function example(kind: ProblemKind, said: Said = {}) {
  const { status, title, detail } = KINDS[kind];
  return { type: typeUri(kind), title, status, detail, instance: "0b96e0f7-5f0f-4ae2-a9d0-3c2f5f6f9f5e", ...said };
}
