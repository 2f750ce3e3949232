/** Every error the API answers with, as an RFC 9457 problem. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { App } from "../context";
import { answer } from "./answer";
import { KINDS, type ProblemKind, typeUri } from "./problem-kinds";

/** How long a client waits before it asks an unavailable service again, in seconds. */
export const RETRY_AFTER = "1";

/** How many violations one answer lists; `error_count` says how many there are. */
const MAX_VIOLATIONS = 100;

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
    payment_id: z.int().optional().openapi({ description: "The other payment that stands in the way, where one does" }),
    amount_remaining: z.number().optional().openapi({
      description:
        "What is left to be refunded or captured, in major units of the payment's currency, where more was asked for",
    }),
    errors: z
      .array(ViolationSchema)
      .optional()
      .openapi({
        maxItems: MAX_VIOLATIONS,
        description: `The violations, where the request's fields, parameters or headers are at fault: the first ${MAX_VIOLATIONS}`,
      }),
    failure: z
      .object({
        code: z.string().openapi({ description: "The same for every provider" }),
        decline_code: z.string().nullable().openapi({ description: "The provider's own word for it" }),
        message: z.string().openapi({ description: "For developers and support" }),
      })
      .optional()
      .openapi({ description: "Why a payment was declined, as the payment shows it" }),
    error_count: z
      .int()
      .optional()
      .openapi({
        description: `How many violations there are, where these are more than the ${MAX_VIOLATIONS} that \`errors\` lists`,
      }),
  })
  .openapi("Problem", { description: "An RFC 9457 problem" });

/** What the page behind a kind's type URI says. */
export function describeKind(kind: ProblemKind) {
  const { status, title, remedy } = KINDS[kind];
  return { type: typeUri(kind), title, status, remedy };
}

/** The first violation in words: what clients show that read `detail` alone. */
export function detailOf([first]: readonly Violation[]): string | undefined {
  if (first === undefined) return undefined;
  if ("parameter" in first) return `${first.parameter || "(no name)"}: ${first.detail}`;
  if ("header" in first) return `${first.header}: ${first.detail}`;
  return `${decodePointer(first.pointer)}: ${first.detail}`;
}

/** `#/metadata/a%20b` is `metadata/a b`, and `#` is `body`. */
function decodePointer(pointer: string): string {
  const path = decodeURIComponent(pointer.slice("#/".length));
  return path.replaceAll("~1", "/").replaceAll("~0", "~") || "body";
}

/** A problem as the answer to a request. */
export function problem(
  c: Context<App>,
  kind: ProblemKind,
  more: {
    detail?: string;
    payment_id?: number;
    amount_remaining?: number;
    failure?: object;
    errors?: readonly Violation[];
    headers?: Record<string, string>;
  } = {},
): Response {
  const { status, title, detail } = KINDS[kind];
  const { errors = [] } = more;
  const body = {
    type: typeUri(kind),
    title,
    status,
    detail: more.detail ?? detailOf(errors) ?? detail,
    // A URI reference, whatever the caller calls its request.
    instance: encodeURIComponent(c.get("requestId")),
    ...(more.payment_id !== undefined && { payment_id: more.payment_id }),
    ...(more.amount_remaining !== undefined && { amount_remaining: more.amount_remaining }),
    ...(more.failure && { failure: more.failure }),
    ...(errors.length > 0 && { errors: errors.slice(0, MAX_VIOLATIONS) }),
    ...(errors.length > MAX_VIOLATIONS && { error_count: errors.length }),
  };
  return answer(c, status, JSON.stringify(body), {
    "Content-Type": "application/problem+json",
    ...(kind === "unavailable" && { "Retry-After": RETRY_AFTER }),
    ...more.headers,
  });
}

const MAX_HEADER_NAME_LENGTH = 100;
/** Where a word begins in a name that the runtime has in lower case, also in one without hyphens. */
const WORDS = /idempoten(?:cy|ce|t)|authori[sz]ation|access|secret|api|auth|token|key|(?<![a-z])[a-z]/g;

/**
 * A header that was sent and may be meant as another one, as a problem names it; null when there is none.
 *
 * @param meant matches the letters of such names
 */
export function misnamedHeader(headers: Headers, meant: RegExp): string | null {
  const name = [...headers.keys()].find((sent) => meant.test(sent.toLowerCase().replace(/[^a-z]/g, "")));
  if (name === undefined) return null;
  return name.slice(0, MAX_HEADER_NAME_LENGTH).replace(WORDS, (word) => word.charAt(0).toUpperCase() + word.slice(1));
}
