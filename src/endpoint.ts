/**
 * What every endpoint is made with: its registration, the reading and judging of its request, and the
 * answers to methods it does not have.
 */
import { type createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { App } from "./context";
import { problem } from "./problem";

/** An app whose paths answer with and without their trailing slash. */
export function newApp(): OpenAPIHono<App> {
  return new OpenAPIHono<App>({ strict: false });
}

/** Adds a route to the app and to the API document. The handler judges the request with `readRequest`. */
export function endpoint(
  app: OpenAPIHono<App>,
  route: ReturnType<typeof createRoute>,
  handler: (c: Context<App>) => Response | Promise<Response>,
): void {
  app.openAPIRegistry.registerPath(route);
  app.on(route.method.toUpperCase(), route.getRoutingPath(), handler);
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

/** A body that says nothing: none at all, `{}` or `null`. Anything more was meant, and is refused. */
export const NoBody = z.strictObject({}, { error: "Must be empty" }).nullish();
export const NoParams = z.object({});

const JSON_MEDIA_TYPE = /^application\/([\w!#$&^.+-]+\+)?json\s*(;|$)/i;

/**
 * Reads a request and judges all of it, so that the answer to an invalid one lists every violation.
 *
 * @returns the validated and normalised parts, or the problem to answer with: 400, 415 or 422
 */
export async function readRequest<Params extends z.ZodType, Body extends z.ZodType>(
  c: Context<App>,
  schemas: { params: Params; body: Body },
): Promise<{ params: z.output<Params>; body: z.output<Body> } | Response> {
  const json = await readJson(c);
  if (json instanceof Response) return json;
  const body = schemas.body.safeParse(json);
  if (json === undefined && !body.success) {
    return problem(c, "invalid_json", { detail: "The request body is empty; send a JSON object" });
  }
  const params = schemas.params.safeParse(c.req.param());
  if (params.success && body.success) return { params: params.data, body: body.data };
  return problem(c, "validation_failed", {
    errors: [
      ...violations(params.error, (path) => ({ parameter: path.join(".") })),
      ...violations(body.error, (path) => ({ pointer: pointer(path) })),
    ],
  });
}

/** The JSON value of the body, undefined when the body is empty, or the problem of one that is not JSON. */
async function readJson(c: Context<App>): Promise<unknown> {
  if (c.req.raw.body === null) return undefined;
  if (!JSON_MEDIA_TYPE.test(c.req.header("Content-Type") ?? "")) {
    const { byteLength } = await c.req.arrayBuffer();
    return byteLength === 0 ? undefined : problem(c, "unsupported_media_type");
  }
  const text = await c.req.text();
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return problem(c, "invalid_json");
  }
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
