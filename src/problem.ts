/**
 * Every error the API answers with, as an RFC 9457 problem. KINDS is the one table: statuses, types,
 * titles, the responses in the API document and the pages behind the type URIs come from it.
 */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { App } from "./context";

interface Kind {
  readonly status: 400 | 404 | 405 | 409 | 413 | 415 | 422 | 500 | 503;
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
  payment_not_found: {
    status: 404,
    title: "Payment not found",
    detail: "Payment not found",
    remedy: "Check the payment's id.",
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
  internal_error: {
    status: 500,
    title: "Internal error",
    detail: "Internal error",
    remedy: "Report the request id in instance. Retrying with the same Idempotency-Key is safe.",
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
  return c.body(JSON.stringify(body), status, {
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
          ...(status === 503 && { headers: { "Retry-After": RETRY_AFTER_HEADER } }),
        },
      ];
    }),
  );
}

const RETRY_AFTER_HEADER = {
  description: "How many seconds to wait before the next try",
  schema: { type: "integer" as const, minimum: 1, example: Number(RETRY_AFTER) },
};

function example(kind: ProblemKind, said: Said = {}) {
  const { status, title, detail } = KINDS[kind];
  return { type: typeUri(kind), title, status, detail, instance: "0b96e0f7-5f0f-4ae2-a9d0-3c2f5f6f9f5e", ...said };
}
