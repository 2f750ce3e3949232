/**
 * Routes: how one is registered, how its requests are authorised, read and validated, and the answers to methods that
 * its path does not support.
 */
import { createRoute as createOpenApiRoute, OpenAPIHono, type RouteConfig, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { authorize, authorizeAgain } from "./auth/authorize";
import { refuseBeyond } from "./auth/rate-limits";
import type { App, Origin } from "./context";
import { answer } from "./http/answer";
import { problem, type Violation } from "./http/problem";
import type { ProblemKind } from "./http/problem-kinds";
import { readJson } from "./http/read-json";
import { type ProblemExamples, problemResponses, REQUEST_ID } from "./http/responses";
import { CHANGE_PROBLEMS, PARAMETER_PROBLEMS, PUBLIC_PROBLEMS, SCOPED_PROBLEMS } from "./http/route-problems";
import { isScope, type Scope } from "./scopes";
import { capacityOf } from "./storage/capacity";

/** An app whose paths answer with and without their trailing slash. */
export function newApp(): OpenAPIHono<App> {
  return new OpenAPIHono<App>({ strict: false });
}

interface Problems {
  /** The problems that this route answers beside those of every route of its kind. */
  readonly problems: readonly ProblemKind[];
  readonly problemExamples?: ProblemExamples;
}

type Route = ReturnType<typeof createOpenApiRoute> & Problems;

/** Describes a route: what OpenAPI says of it, and its problems. `registerRoute` takes it. */
export function createRoute<P extends string, R extends Omit<RouteConfig, "path"> & { path: P } & Problems>(route: R) {
  return createOpenApiRoute<P, R>(route);
}

/** The validated and normalised parts of a request, as the schemas of its route make them. */
export interface Input<R extends Route> {
  query: R["request"] extends { query: infer Query extends z.ZodType } ? z.output<Query> : unknown;
  params: R["request"] extends { params: infer Params extends z.ZodType } ? z.output<Params> : unknown;
  body: R["request"] extends { body: { content: { "application/json": { schema: infer Body extends z.ZodType } } } }
    ? z.output<Body>
    : unknown;
}

/** The origin of what an authorised request changes. */
export function originOf(c: Context<App>): Origin {
  const { merchantId, keyId } = c.get("principal");
  return { merchantId, keyId, requestId: c.get("requestId"), commitId: c.get("commitId"), now: Date.now() };
}

/** How the API document calls what a request is authorised by. */
export const SECURITY_SCHEME = "apiKey";

/** The security of a route, in the API document and for its requests: a key that has all of the scopes. */
export function requiresScope(...scopes: [Scope, ...Scope[]]): { security: { [SECURITY_SCHEME]: Scope[] }[] } {
  return { security: [{ [SECURITY_SCHEME]: scopes }] };
}

/** The security of a route that needs no API key. */
export const PUBLIC = { security: [] };

/** The scopes that a route requires, null when it is public; it says one of the two. */
function scopesOf({ method, path, security }: Route): readonly Scope[] | null {
  const [requirement] = security ?? [];
  if (security?.length === 0) return null;
  const names = requirement?.[SECURITY_SCHEME] ?? [];
  const scopes = names.filter(isScope);
  if (scopes.length === 0 || scopes.length < names.length) throw new Error(`${method} ${path} requires no scope`);
  return scopes;
}

/**
 * Scopes in the API document. OpenAPI 3.1 would allow them beside the scheme's name; linters do not, so they are in
 * a field of its own, with spaces between as in OAuth, and in words.
 */
function documented(scopes: readonly Scope[], description = "") {
  return {
    security: [{ [SECURITY_SCHEME]: [] }],
    "x-required-scope": scopes.join(" "),
    description: `${description}\n\nAn API key needs the ${scopes.length > 1 ? "scopes" : "scope"} \`${scopes.join("` and `")}\`.`,
  };
}

interface RouteOptions<R extends Route> {
  /** Whether a valid request is costly work, which has a quota of its own for each merchant: always, or some. */
  readonly isCostly?: boolean | ((input: Input<R>, c: Context<App>) => boolean);
  /** Whether a valid request is refused while the database is nearly full, since it makes it fuller: always, or some. */
  readonly needsRoom?: boolean | ((input: Input<R>, c: Context<App>) => boolean);
  /** What this deployment takes from nobody, of a body that may be invalid otherwise: it is said before anything else of the body. */
  readonly refuses?: Refuses;
  /** Whether the handler reads the body itself, as it was sent. */
  readonly hasRawBody?: boolean;
}

/**
 * Adds a route to the app and to the API document. Every request is authorised, read, authorised again, since its key may
 * have ended while the body arrived, and validated, before the handler sees it; one that is not valid is answered 400,
 * 408, 413, 415 or 422.
 */
export function registerRoute<R extends Route>(
  app: OpenAPIHono<App>,
  route: R,
  handler: (c: Context<App>, input: Input<R>) => Response | Promise<Response>,
  { isCostly = false, needsRoom = false, hasRawBody = false, refuses = () => [] }: RouteOptions<R> = {},
): void {
  const scopes = scopesOf(route);
  const responses = {
    ...withRequestId(route.responses),
    ...problemResponses(app, problemsOf(route, scopes), route.problemExamples),
  };
  const { problems, problemExamples, ...described } = route;
  app.openAPIRegistry.registerPath({ ...described, responses, ...(scopes && documented(scopes, route.description)) });
  const schemas: Schemas = {
    query: querySchema(route),
    params: route.request?.params instanceof z.ZodType ? route.request.params : undefined,
    body: route.method === "get" || hasRawBody ? undefined : bodySchema(route),
  };
  app.on(route.method.toUpperCase(), route.getRoutingPath(), async (c) => {
    c.set("route", route.path);
    const refused = scopes && (await authorize(c, scopes));
    if (refused) return refused;
    const read = await readRequest(c, schemas, refuses);
    const ended = scopes && (await authorizeAgain(c, scopes, schemas.body !== undefined));
    if (ended) return ended;
    if (read instanceof Response) return read;
    // The schemas are the route's own, so what they make is what its type says.
    const input = read as Input<R>;
    const isGrowing = typeof needsRoom === "function" ? needsRoom(input, c) : needsRoom;
    if (isGrowing && !hasRoom(c)) return problem(c, "storage_full");
    const isWork = typeof isCostly === "function" ? isCostly(input, c) : isCostly;
    const beyond = isWork && scopes && (await refuseCostly(c));
    return beyond || handler(c, input);
  });
}

/** Whether the database may take something new. What is left when it may not is for the actions of payments that exist. */
export function hasRoom(c: Context<App>): boolean {
  return capacityOf(c.get("db").sizeBytes, c.env.DATABASE_MAX_BYTES) !== "used_up";
}

/** Refuses costly work beyond the merchant's quota. Open mode counts nobody who has no key. */
async function refuseCostly(c: Context<App>): Promise<Response | null> {
  const { keyId, merchantId } = c.get("principal");
  return keyId === null ? null : refuseBeyond(c, "COSTLY_RATE", String(merchantId));
}

/** The header that says which methods each path has. */
export function allowedMethods(
  routes: readonly { readonly method: string; readonly path: string }[],
): [path: string, headers: { Allow: string }][] {
  const allowed = new Map<string, Set<string>>();
  for (const { method, path } of routes) {
    if (method === "ALL") continue;
    const methods = allowed.get(path) ?? ["OPTIONS"];
    allowed.set(path, new Set([...methods, method, ...(method === "GET" ? ["HEAD"] : [])]));
  }
  return [...allowed].map(([path, methods]) => [path, { Allow: [...methods].sort().join(", ") }]);
}

/** Answers OPTIONS, and refuses every other method that a path does not have. Call it after all routes. */
export function answerOtherMethods(app: OpenAPIHono<App>): void {
  for (const [path, headers] of allowedMethods(app.routes)) {
    app.all(path, (c) =>
      c.req.method === "OPTIONS" ? answer(c, 204, null, headers) : problem(c, "method_not_allowed", { headers }),
    );
  }
}

/** The responses with the header that all of them have. */
function withRequestId(responses: Route["responses"]): Route["responses"] {
  return Object.fromEntries(
    Object.entries(responses).map(([status, response]) => [
      status,
      "$ref" in response ? response : { ...response, headers: { ...response.headers, ...REQUEST_ID } },
    ]),
  );
}

/** All problems that a route may answer: its own, and those of how it is authorised and what it reads. */
function problemsOf({ method, path, request, problems }: Route, scopes: readonly Scope[] | null): ProblemKind[] {
  return [
    ...(method === "get" ? [] : CHANGE_PROBLEMS),
    ...(request?.params || request?.query || path.startsWith(API) ? PARAMETER_PROBLEMS : []),
    ...problems,
    ...(scopes === null ? PUBLIC_PROBLEMS : SCOPED_PROBLEMS),
  ];
}

interface Schemas {
  /** Undefined where no query means anything, and none is read. */
  query: z.ZodType | undefined;
  params: z.ZodType | undefined;
  /** Undefined where bodies mean nothing, and are not read. */
  body: z.ZodType | undefined;
}

/** What the paths of the API begin with, where nothing that a request says is ignored. */
const API = "/api/v1/";

function querySchema({ path, request }: Route): z.ZodType | undefined {
  if (request?.query instanceof z.ZodType) return request.query;
  return path.startsWith(API) ? NoQuery : undefined;
}

const NoQuery = z.strictObject({});

/** A body that says nothing: none at all, `{}` or `null`. Anything more was meant, and is refused. */
const EmptyBody = z.strictObject({}, { error: "Must be empty" }).nullish();

function bodySchema({ request }: Route): z.ZodType {
  const content = request?.body?.content["application/json"];
  const schema = content && "schema" in content && content.schema instanceof z.ZodType ? content.schema : EmptyBody;
  // Who may send no body may send null: the document has the object alone, of which generators make one type.
  return request?.body?.required || schema === EmptyBody ? schema : z.preprocess((json) => json ?? {}, schema);
}

type Refuses = (c: Context<App>, body: unknown) => readonly Violation[];

interface Parts {
  query: unknown;
  params: unknown;
  body: unknown;
}

/** Reads a request and validates all of it, so that the answer to an invalid one lists every violation. */
async function readRequest(c: Context<App>, schemas: Schemas, refuses: Refuses): Promise<Parts | Response> {
  const json = schemas.body && (await readJson(c));
  if (json instanceof Response) return json;
  const body = schemas.body?.safeParse(json);
  if (json === undefined && body?.success === false) {
    return problem(c, "invalid_json", { detail: "The request body is empty; send a JSON object" });
  }
  if ((schemas.params || schemas.query) && !isUtf8(c.req.url)) return problem(c, "invalid_url");
  const params = schemas.params?.safeParse(c.req.param());
  const query = schemas.query?.safeParse(readQuery(c));
  const refused = refuses(c, json);
  if (refused.length === 0 && params?.success !== false && query?.success !== false && body?.success !== false) {
    return { query: query?.data, params: params?.data, body: body?.data };
  }
  return problem(c, "validation_failed", {
    errors: [
      ...violations(params?.error, "Unknown parameter", (path) => ({ parameter: shorten(path[0] ?? "") })),
      ...violations(query?.error, "Unknown parameter", (path) => ({ parameter: shorten(path[0] ?? "") })),
      ...refused,
      ...violations(body?.error, "Unknown field", (path) => ({ pointer: pointer(path) })),
    ],
  });
}

/** Whether all that a URL percent-encodes is UTF-8. Two texts that are not would both be read as U+FFFD. */
function isUtf8(url: string): boolean {
  const encoded = url.match(/(%[\da-f]{2})+/gi) ?? [];
  try {
    return encoded.every((bytes) => decodeURIComponent(bytes) !== "");
  } catch {
    return false;
  }
}

/** The query's parameters: what is given once is a string, what is given several times a list. Hono leaves out those without a name. */
function readQuery(c: Context<App>): Record<string, string | string[]> {
  const given = Map.groupBy(new URL(c.req.url).searchParams, ([name]) => name);
  return Object.fromEntries(
    [...given].map(([name, pairs]) => {
      const values = pairs.map(([, value]) => value);
      return [name, values.length === 1 ? String(values[0]) : values];
    }),
  );
}

type Path = readonly PropertyKey[];

/** In UTF-16 code units. */
const MAX_SHOWN_NAME_LENGTH = 100;

function violations<Place extends { parameter: string } | { pointer: string }>(
  error: z.ZodError | undefined,
  unknown: string,
  place: (path: Path) => Place,
): (Place & { detail: string })[] {
  return (error?.issues ?? []).flatMap((issue) =>
    issue.code === "unrecognized_keys"
      ? issue.keys.map((key) => ({ detail: unknown, ...place([...issue.path, key]) }))
      : [{ detail: issue.message, ...place(issue.path) }],
  );
}

/** A name that a request made up, as a violation shows it: an answer does not grow with it. */
function shorten(name: PropertyKey): string {
  // A URI can hold no half of a surrogate pair, which a name in JSON can.
  const text = String(name).toWellFormed();
  return text.length > MAX_SHOWN_NAME_LENGTH ? `${text.slice(0, MAX_SHOWN_NAME_LENGTH).toWellFormed()}…` : text;
}

/** A JSON Pointer as a URI fragment (RFC 6901, section 6). */
export function pointer(path: Path): string {
  const tokens = path.map((token) => shorten(token).replaceAll("~", "~0").replaceAll("/", "~1"));
  return `#${tokens.map((token) => `/${encodeURIComponent(token)}`).join("")}`;
}
