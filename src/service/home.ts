/** What the service says at its root: what this is, and where to go from here. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { accepts } from "hono/accepts";
import { version } from "../../package.json";
import type { App } from "../context";
import { answer, json } from "../http/answer";
import { ok } from "../http/responses";
import { createRoute, newApp, PUBLIC, registerRoute } from "../route";

export const home = newApp();

const NAME = "Payment Service";

/** What the service answers from here, by the names that programs get. */
const LINKS = {
  dashboard: { path: "/dashboard", text: "Payments, webhooks and keys, for people" },
  documentation: { path: "/docs", text: "Every operation, to read and to try" },
  openapi: { path: "/openapi.json", text: "The OpenAPI 3.1 document, for programs" },
  problems: { path: "/problems", text: "The kinds of error, and what to do about each" },
  health: { path: "/health", text: "Is the service up?" },
  readiness: { path: "/health/ready", text: "Can the service work?" },
};

type Mode = "open" | "required";

const MODES: Readonly<Record<Mode, string>> = {
  open: "Open mode: requests need no API key, and must come from this machine.",
  required: "Requests need an API key: <code>Authorization: Bearer pay_…</code>",
};

const PATHS = Object.entries(LINKS).map(([name, { path }]) => [name, path] as const);

const ServiceSchema = z
  .object({
    name: z.string().openapi({ description: "What this is" }),
    version: z.string().openapi({ description: "The version of the service" }),
    mode: z
      .enum(["open", "required"])
      .openapi({ description: "Whether requests need an API key: `required`, or `open` on one's own machine" }),
    ...Object.fromEntries(
      Object.entries(LINKS).map(([name, { text }]) => [
        name,
        z.string().openapi({ format: "uri-reference", description: text }),
      ]),
    ),
  })
  .openapi("Service", { description: "What answers here, and the paths to go on with" });

const describe = (mode: Mode) => ({ name: NAME, version, mode, ...Object.fromEntries(PATHS) });

export const getServiceRoute = createRoute({
  method: "get",
  path: "/",
  operationId: "getService",
  summary: "What is this?",
  description:
    "Says what answers here, and where to go on. A browser, or any other client that prefers `text/html` in its " +
    "`Accept`, gets a page that says the same.",
  tags: ["Service"],
  ...PUBLIC,
  responses: {
    // The page is described in words, so that the type in generated clients is the object alone.
    200: ok(ServiceSchema, { description: "The service", example: describe("required") }),
  },
  problems: [],
});

const VARY = { Vary: "Accept" };

registerRoute(home, getServiceRoute, (c) => {
  // What is not configured has not come this far.
  const mode = c.env.AUTH_MODE === "open" ? "open" : "required";
  return wantsPage(c) ? answer(c, 200, page(mode), PAGE_HEADERS) : json(c, 200, describe(mode), VARY);
});

function wantsPage(c: Context<App>): boolean {
  const [byDefault, html] = ["application/json", "text/html"];
  return accepts(c, { header: "Accept", supports: [byDefault, html], default: byDefault }) === html;
}

const PAGE_HEADERS = {
  "Content-Type": "text/html; charset=utf-8",
  // The page has a stylesheet and an icon, of this host, and nothing else.
  "Content-Security-Policy":
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  ...VARY,
};

const ROWS = Object.values(LINKS).map(
  ({ path, text }) => `<li><a href="${path}"><code>${path}</code><span>${text}</span></a></li>`,
);

/** The page. All that stands in it is the service's own: nothing of it comes from a request. */
function page(mode: Mode): string {
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <title>${NAME}</title>
    <link rel="icon" type="image/svg+xml" href="/docs/icon.svg" />
    <link rel="stylesheet" href="/docs/home.css" />
  </head>
  <body>
    <main>
      <h1><img src="/docs/icon.svg" alt="" width="40" height="40" />${NAME} <small>${version}</small></h1>
      <p>Creates, confirms, fails and refunds payments, exactly once, and finds them again.</p>
      <p class="mode">${MODES[mode]}</p>
      <ul>
        ${ROWS.join("\n        ")}
      </ul>
    </main>
  </body>
</html>
`;
}
