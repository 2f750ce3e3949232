/** How every answer is made: its body, and the headers that all of them have. */
import type { Context } from "hono";
import type { App } from "../context";
import { type Page, toPageResponse } from "./pages";

export const STRICT_TRANSPORT_SECURITY = "max-age=31536000";

/** The API answers programs: nothing of it is to be kept, framed, guessed at or run by a browser. */
const COMMON = {
  "Cache-Control": "no-store",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
  "Referrer-Policy": "no-referrer",
  "Strict-Transport-Security": STRICT_TRANSPORT_SECURITY,
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
};

/** An answer with its headers set in one go: each later change of a response's headers is a call into the runtime. */
export function answer(
  c: Context<App>,
  status: number,
  body: BodyInit | null,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(body, { status, headers: { ...COMMON, "X-Request-Id": c.get("requestId"), ...headers } });
}

/** An answer in JSON. */
export function json(
  c: Context<App>,
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return answer(c, status, JSON.stringify(value), { "Content-Type": "application/json", ...headers });
}

/** A page of a list in JSON, with its links; `order` names the list's order, where it has several. */
export function jsonPage<Row>(
  c: Context<App>,
  page: Page<Row>,
  toResponse: (row: Row) => object,
  order?: string,
): Response {
  const { body, headers } = toPageResponse(c.req.url, page, toResponse, order);
  return json(c, 200, body, headers);
}
