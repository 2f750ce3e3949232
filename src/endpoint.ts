/**
 * What every endpoint is made with: its registration, the reading and judging of its request, and the
 * answers to methods it does not have.
 */
import { type createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { App } from "./context";
import { problem } from "./problem";

export const MAX_BODY_BYTES = 64 * 1024;

/** An app whose paths answer with and without their trailing slash. */
export function newApp(): OpenAPIHono<App> {
  return new OpenAPIHono<App>({ strict: false });
}

type Route = ReturnType<typeof createRoute>;

/** The validated and normalised parts of a request, as the schemas of its route make them. */
export interface Input<R extends Route> {
  params: R["request"] extends { params: infer Params extends z.ZodType } ? z.output<Params> : unknown;
  body: R["request"] extends { body: { content: { "application/json": { schema: infer Body extends z.ZodType } } } }
    ? z.output<Body>
    : unknown;
}

/**
 * Adds a route to the app and to the API document. Every request is judged by the route's schemas before
 * the handler sees it; one that is not valid is answered 400, 413, 415 or 422.
 */
export function endpoint<R extends Route>(
  app: OpenAPIHono<App>,
  route: R,
  handler: (c: Context<App>, input: Input<R>) => Response | Promise<Response>,
): void {
  app.openAPIRegistry.registerPath({ ...route, responses: withRequestId(route.responses) });
  const schemas: Schemas = {
    params: route.request?.params instanceof z.ZodType ? route.request.params : undefined,
    body: route.method === "get" ? undefined : bodySchema(route),
  };
  app.on(route.method.toUpperCase(), route.getRoutingPath(), async (c) => {
    const input = await readRequest(c, schemas);
    // The schemas are the route's own, so what they make is what its type says.
    return input instanceof Response ? input : handler(c, input as Input<R>);
  });
}

/** Answers OPTIONS, and refuses every other method that a path does not have. Call it after all routes. */
export function answerOtherMethods(app: OpenAPIHono<App>): void {
  const allowed = new Map<string, string[]>();
  for (const { method, path } of app.routes) {
    if (method === "ALL") continue;
    const methods = allowed.get(path) ?? ["OPTIONS"];
    allowed.set(path, [...methods, method, ...(method === "GET" ? ["HEAD"] : [])]);
  }
  for (const [path, methods] of allowed) {
    const headers = { Allow: methods.sort().join(", ") };
    app.all(path, (c) =>
      c.req.method === "OPTIONS" ? c.body(null, 204, headers) : problem(c, "method_not_allowed", { headers }),
    );
  }
}

/** The responses with the header that all of them have. */
function withRequestId(responses: Route["responses"]): Route["responses"] {
  const header = {
    "X-Request-Id": {
      description: "Names this request; it is also in the service's log",
      schema: { type: "string" as const, format: "uuid", example: "0b96e0f7-5f0f-4ae2-a9d0-3c2f5f6f9f5e" },
    },
  };
  return Object.fromEntries(
    Object.entries(responses).map(([status, response]) => [
      status,
      "$ref" in response ? response : { ...response, headers: { ...response.headers, ...header } },
    ]),
  );
}

interface Schemas {
  params: z.ZodType | undefined;
  /** Undefined where bodies mean nothing, and are not read. */
  body: z.ZodType | undefined;
}

/** A body that says nothing: none at all, `{}` or `null`. Anything more was meant, and is refused. */
const EmptyBody = z.strictObject({}, { error: "Must be empty" }).nullish();

function bodySchema(route: Route): z.ZodType {
  const content = route.request?.body?.content["application/json"];
  return content && "schema" in content && content.schema instanceof z.ZodType ? content.schema : EmptyBody;
}

/** Reads a request and judges all of it, so that the answer to an invalid one lists every violation. */
async function readRequest(c: Context<App>, schemas: Schemas): Promise<{ params: unknown; body: unknown } | Response> {
  const json = schemas.body && (await readJson(c));
  if (json instanceof Response) return json;
  const body = schemas.body?.safeParse(json);
  if (json === undefined && body?.success === false) {
    return problem(c, "invalid_json", { detail: "The request body is empty; send a JSON object" });
  }
  const params = schemas.params?.safeParse(c.req.param());
  if (params?.success !== false && body?.success !== false) return { params: params?.data, body: body?.data };
  return problem(c, "validation_failed", {
    errors: [
      ...violations(params?.error, (path) => ({ parameter: path.join(".") })),
      ...violations(body?.error, (path) => ({ pointer: pointer(path) })),
    ],
  });
}

const JSON_MEDIA_TYPE = /^application\/([\w!#$&^.+-]+\+)?json\s*(;|$)/i;

/** The JSON value of the body, undefined when the body is empty, or the problem of one that is not JSON. */
async function readJson(c: Context<App>): Promise<unknown> {
  const announced = c.req.header("Content-Length");
  // A body is a stream even when nothing is in it, and a stream costs more than the rest of the request.
  if (announced === "0" || c.req.raw.body === null) return undefined;
  const isJson = JSON_MEDIA_TYPE.test(c.req.header("Content-Type") ?? "");
  let text: string | null;
  try {
    // The runtime holds a body to the length that it announces, and the app has judged that.
    text = announced !== undefined && isJson ? await c.req.text() : await readLimited(c.req.raw.body);
  } catch {
    return problem(c, "invalid_json", { detail: "The request body ended before it was complete" });
  }
  if (text === null) return problem(c, "body_too_large");
  if (text === "") return undefined;
  if (!isJson) return problem(c, "unsupported_media_type");
  try {
    return JSON.parse(text);
  } catch {
    return problem(c, "invalid_json");
  }
}

/** The whole body, or null as soon as it is too large. */
async function readLimited(body: ReadableStream<Uint8Array>): Promise<string | null> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.byteLength;
    if (length > MAX_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return new Blob(chunks).text();
}

type Path = readonly PropertyKey[];

function violations<Place extends { parameter: string } | { pointer: string }>(
  error: z.ZodError | undefined,
  place: (path: Path) => Place,
): (Place & { detail: string })[] {
  return (error?.issues ?? []).flatMap((issue) =>
    issue.code === "unrecognized_keys"
      ? issue.keys.map((key) => ({ detail: "Unknown field", ...place([...issue.path, key]) }))
      : [{ detail: issue.message, ...place(issue.path) }],
  );
}

/** A JSON Pointer as a URI fragment (RFC 6901, section 6). */
function pointer(path: Path): string {
  const tokens = path.map((token) => String(token).replaceAll("~", "~0").replaceAll("/", "~1"));
  return `#${tokens.map((token) => `/${encodeURIComponent(token)}`).join("")}`;
}
