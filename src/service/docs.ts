/** The Swagger page and its files, which come from public/docs and from nowhere else. */
import { secureHeaders } from "hono/secure-headers";
import { answer, STRICT_TRANSPORT_SECURITY } from "../http/answer";
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

docs.get("/", (c) => answer(c, 302, null, { Location: "/docs" }));

docs.get("/docs/:file?", headers, async (c) => {
  const file = c.req.param("file") ?? "index.html";
  if (!/^[\w.-]+$/.test(file)) return problem(c, "route_not_found");
  const url = new URL(`/docs/${file}`, c.req.url);
  const asset = await c.env.ASSETS.fetch(new Request(url, c.req.raw));
  if (asset.status === 404) return problem(c, "route_not_found");
  const response = new Response(asset.body, asset);
  response.headers.set("X-Request-Id", c.get("requestId"));
  return response;
});
