/** The Swagger page and its files, which come from public/docs and from nowhere else, and the icon that browsers ask for. */
import type { Context } from "hono";
import { secureHeaders } from "hono/secure-headers";
import type { App } from "../context";
import { STRICT_TRANSPORT_SECURITY } from "../http/answer";
import { problem } from "../http/problem";
import { newApp } from "../route";

export const docs = newApp();

// Swagger UI draws its icons from data: URIs. Nothing else is inline, and nothing leaves the host.
const headers = secureHeaders({
  strictTransportSecurity: STRICT_TRANSPORT_SECURITY,
  xFrameOptions: "DENY",
  contentSecurityPolicy: {
    defaultSrc: ["'none'"],
    scriptSrc: ["'self'"],
    styleSrc: ["'self'"],
    imgSrc: ["'self'", "data:"],
    connectSrc: ["'self'"],
    baseUri: ["'none'"],
    formAction: ["'none'"],
    frameAncestors: ["'none'"],
  },
});

docs.get("/docs/:file?", headers, async (c) => {
  const file = c.req.param("file") ?? "index.html";
  return /^[\w.-]+$/.test(file) ? readFile(c, `/docs/${file}`) : problem(c, "route_not_found");
});

docs.get("/favicon.ico", headers, async (c) => {
  const response = await readFile(c, "/favicon.ico");
  // Browsers ask for it with every page that they open first.
  response.headers.set("Cache-Control", "public, max-age=86400");
  return response;
});

/** A file of public/, or a 304 to who has it. */
async function readFile(c: Context<App>, path: string): Promise<Response> {
  const asset = await c.env.ASSETS.fetch(new Request(new URL(path, c.req.url), c.req.raw));
  if (asset.status === 404) return problem(c, "route_not_found");
  const response = new Response(asset.body, asset);
  response.headers.set("X-Request-Id", c.get("requestId"));
  return response;
}
