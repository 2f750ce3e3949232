// Creates and confirms a payment with the client that openapi-typescript makes of the document.
import createClient from "openapi-fetch";
import type { components, paths } from "./generated/api.js";

type Payment = components["schemas"]["Payment"];
/** Compiles for two types that are one and the same alone. */
type Same<A, B> = [A, B] extends [B, A] ? true : false;

const [, , url = "", key = ""] = process.argv;
const client = createClient<paths>({ baseUrl: url });
const header = { "idempotency-key": key };

const created = await client.POST("/api/v1/payments", {
  params: { header },
  body: { order_id: 42, amount: 99.99, currency: "USD", metadata: { cart: "c-7" } },
});
if (created.data === undefined) throw new Error(created.error.detail);
const params = { path: { payment_id: created.data.id } };
const confirmed = await client.POST("/api/v1/payments/{payment_id}/confirm", { params });
if (confirmed.data === undefined) throw new Error(confirmed.error.detail);
const found = await client.GET("/api/v1/payments/{payment_id}", { params });
if (found.data === undefined) throw new Error(found.error.detail);
const page = await client.GET("/api/v1/payments", { params: { query: { status: ["confirmed"], limit: 1 } } });
if (page.data === undefined) throw new Error(page.error.detail);

const feed = await client.GET("/api/v1/events", { params: { query: { payment_id: created.data.id } } });
if (feed.data === undefined) throw new Error(feed.error.detail);
// Compiles where `type` says what `data` is alone.
const followed = feed.data.data.map((event) =>
  event.type === "webhook_endpoint.disabled"
    ? `${event.type} ${event.data.url}`
    : `${event.type} ${event.data.order_id} ${event.sequence}`,
);

const areOneType: [
  Same<typeof created.data, Payment>,
  Same<typeof confirmed.data, Payment>,
  Same<typeof found.data, Payment>,
  Same<(typeof page.data.data)[number], Payment>,
] = [true, true, true, true];

const refused = await client.POST("/api/v1/payments/{payment_id}/fail", { params });
const payments: Payment[] = [created.data, confirmed.data, found.data, ...page.data.data];
console.log(JSON.stringify({ areOneType, payments, followed, refused: refused.error?.detail }));
