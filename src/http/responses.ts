/** The responses of routes in the API document: what succeeds, pages of lists, and problems. */
import type { OpenAPIHono, z } from "@hono/zod-openapi";
import type { App } from "../context";
import { REPLAYED } from "./idempotency-header";
import { LINK, pageSchema } from "./pages";
import { detailOf, ProblemSchema, RETRY_AFTER, type Violation } from "./problem";
import { KINDS, type Kind, type ProblemKind, typeUri } from "./problem-kinds";

type Header = {
  readonly description: string;
  readonly schema: { type: "string" | "integer"; example?: string | number; enum?: string[]; minimum?: number };
};

type Headers = Record<string, Header>;

interface Details {
  readonly description: string;
  readonly headers?: Headers;
  readonly example?: unknown;
}

/** A success with a JSON body. */
export function ok<Schema extends z.ZodType>(schema: Schema, { description, headers = {}, example }: Details) {
  const content = { "application/json": { schema, ...(example !== undefined && { example }) } };
  return { description, headers, content };
}

/**
 * A 201 with a JSON body.
 *
 * @param path the path of what was created, as an example of the `Location` header
 */
export function created<Schema extends z.ZodType>(schema: Schema, path: string, details: Details) {
  return ok(schema, { ...details, headers: { ...location(path), ...details.headers } });
}

/** The 200 of a request that its idempotency key answers: what an earlier one has created, as it is now. */
export function replayed<Schema extends z.ZodType>(schema: Schema, path: string, details: Details) {
  return created(schema, path, { ...details, headers: { ...details.headers, ...REPLAYED } });
}

/**
 * A page of a list that is newest first, with its links.
 *
 * @param name what the schema of the page is called in the document
 */
export function page<Row extends z.ZodType>(row: Row, name: string, description: string, headers: Headers = {}) {
  return ok(pageSchema(row).openapi(name, { description }), { description, headers: { ...LINK, ...headers } });
}

function location(path: string): Headers {
  return {
    Location: { description: "The path of what was created", schema: { type: "string", example: path } },
  };
}

/** What a route says in its examples of a problem, where that is not what the kind says by itself. */
export interface ProblemExample {
  readonly detail?: string;
  readonly amount_remaining?: number;
  readonly errors?: readonly Violation[];
}

export type ProblemExamples = Partial<Readonly<Record<ProblemKind, ProblemExample>>>;

const PROBLEM_MEDIA_TYPE = "application/problem+json";

/**
 * The problems of a route by status. A response that has no example of the route's own stands in the document once,
 * as a component, and is referred to.
 */
export function problemResponses(
  app: OpenAPIHono<App>,
  kinds: readonly ProblemKind[],
  examples: ProblemExamples = {},
): Record<string, { $ref: string } | ReturnType<typeof problemResponse>> {
  const byStatus = Object.groupBy(new Set(kinds), (kind) => String(KINDS[kind].status));
  const entries = Object.entries(byStatus).map(([status, answering = []]) => {
    const response = problemResponse(answering, examples);
    if (answering.some((kind) => examples[kind])) return [status, response] as const;
    const name = answering.map(pascalCase).join("Or");
    const content = { [PROBLEM_MEDIA_TYPE]: { ...response.content[PROBLEM_MEDIA_TYPE], schema: PROBLEM } };
    app.openAPIRegistry.registerComponent("responses", name, { ...response, content });
    return [status, { $ref: `#/components/responses/${name}` }] as const;
  });
  return Object.fromEntries(entries);
}

/** What components refer to, which are plain JSON; `ProblemSchema` stands there under this name. */
const PROBLEM = { $ref: "#/components/schemas/Problem" };

function problemResponse(kinds: readonly ProblemKind[], examples: ProblemExamples) {
  const [first] = kinds;
  return {
    description: kinds.map((kind) => `${KINDS[kind].title}: ${KINDS[kind].remedy}`).join(" "),
    headers: Object.assign(
      {},
      first && HEADERS[KINDS[first].status],
      ...kinds.map((kind) => KIND_HEADERS[kind]),
      REQUEST_ID,
    ),
    content: {
      [PROBLEM_MEDIA_TYPE]: {
        schema: ProblemSchema,
        examples: Object.fromEntries(
          kinds.map((kind) => [kind, { summary: KINDS[kind].title, value: exampleOf(kind, examples[kind]) }]),
        ),
      },
    },
  };
}

/** The header that every response has, as a reference to its description. */
export const REQUEST_ID = { "X-Request-Id": { $ref: "#/components/headers/RequestId" } };

/** Describes what responses refer to. */
export function describeResponses(app: OpenAPIHono<App>): void {
  app.openAPIRegistry.register("Problem", ProblemSchema);
  app.openAPIRegistry.registerComponent("headers", "RequestId", {
    description:
      "Names this request, in the service's log too: the request's own X-Request-Id, or else one made for it",
    schema: { type: "string", example: "0b96e0f7-5f0f-4ae2-a9d0-3c2f5f6f9f5e" },
  });
}

/** `payment_not_found` is `PaymentNotFound`. */
function pascalCase(kind: ProblemKind): string {
  return kind.replace(/(?:^|_)(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function exampleOf(kind: ProblemKind, example: ProblemExample = {}) {
  const { status, title, detail: byDefault } = KINDS[kind];
  const { errors = [], detail = detailOf(errors) ?? byDefault, amount_remaining } = example;
  const instance = "0b96e0f7-5f0f-4ae2-a9d0-3c2f5f6f9f5e";
  return {
    ...{ type: typeUri(kind), title, status, detail, instance },
    ...(amount_remaining !== undefined && { amount_remaining }),
    ...(errors.length > 0 && { errors }),
  };
}

function header(description: string, example: string): Header {
  return { description, schema: { type: "string", example } };
}

function retryAfter(seconds: number): Header {
  return {
    description: "How many seconds to wait before the next try",
    schema: { type: "integer", minimum: 1, example: seconds },
  };
}

const CHALLENGED = {
  "WWW-Authenticate": header(
    "How to authenticate (RFC 6750), and what was wrong with how the request did",
    'Bearer realm="payments"',
  ),
};

/** The headers that problems of a status come with. */
const HEADERS: Partial<Record<Kind["status"], Headers>> = {
  401: CHALLENGED,
  403: CHALLENGED,
  402: { ETag: header("The payment's version as it is now", '"2"'), ...REPLAYED },
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

/** The headers that problems of a kind come with, beside those of its status. */
const KIND_HEADERS: Partial<Record<ProblemKind, Headers>> = {
  webhook_endpoint_busy: { "Retry-After": retryAfter(10) },
  operation_in_progress: { "Retry-After": retryAfter(1) },
};
