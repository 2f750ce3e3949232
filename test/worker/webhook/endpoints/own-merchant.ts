/** What the tests of the API of webhook endpoints share: a merchant, and its requests. */
import { env } from "cloudflare:workers";
import { Webhook } from "standardwebhooks";
import { afterEach, beforeAll, beforeEach, expect, vi } from "vitest";
import type { z } from "zod";
import { pageSchema } from "../../../../src/http/pages";
import { WebhookEndpointSchema } from "../../../../src/outbox/endpoint-schemas";
import type { TestSchema } from "../../../../src/webhook/routes/schemas";
import type { Answer, Client } from "../../client";
import { newMerchant } from "../../payment-list";
import { listen, type Received, Receiver, type Reply } from "../../receiver";
import { ENDPOINTS, SECOND } from "../shop";

/** An endpoint; with its secret in the answer to the request that made that. */
export type WebhookEndpoint = z.output<typeof WebhookEndpointSchema> & { secret?: string };
export const PageSchema = pageSchema(WebhookEndpointSchema);

export function receiverThat(reply: Reply): Receiver {
  const receiver = new Receiver();
  receiver.always(reply);
  return receiver;
}

export let merchant: Awaited<ReturnType<typeof newMerchant>>;
export let api: Client;

/** Gives each test of a file a merchant of its own. */
export function ownMerchant(): void {
  // Some wait for what the runtime does by itself, or write thousands of rows, also on a busy machine.
  vi.setConfig({ testTimeout: 20_000 });
  // Nothing leaves this machine: the receivers are all the servers that there are.
  beforeAll(listen);
  beforeEach(async () => {
    merchant = await newMerchant();
    ({ api } = merchant);
  });
  afterEach(() => {
    vi.useRealTimers();
  });
}

export const keyed = (key?: string): HeadersInit => (key === undefined ? {} : { "Idempotency-Key": key });
export const create = (body: object, key?: string, by = api) =>
  by.request<WebhookEndpoint>("POST", ENDPOINTS, { body, headers: keyed(key) });
export const get = (id: number, by = api) => by.request<WebhookEndpoint>("GET", `${ENDPOINTS}/${id}`);
export const patch = (id: number, body: object, by = api) =>
  by.request<WebhookEndpoint>("PATCH", `${ENDPOINTS}/${id}`, { body });
export const remove = (id: number, by = api) => by.request("DELETE", `${ENDPOINTS}/${id}`);
export const roll = (id: number, overlap_seconds: number, key?: string, by = api) =>
  by.request<WebhookEndpoint>("POST", `${ENDPOINTS}/${id}/roll`, { body: { overlap_seconds }, headers: keyed(key) });

export async function list(query = "", by = api) {
  const { status, body } = await by.request("GET", `${ENDPOINTS}${query}`);
  expect(status).toBe(200);
  return PageSchema.parse(body);
}

/** A new endpoint of the test's merchant, at a receiver that takes everything unless told otherwise. */
export async function made(more: object = {}, receiver = new Receiver()) {
  const { status, body } = await create({ url: receiver.url, ...more });
  expect(status).toBe(201);
  const { secret = "", ...shown } = body;
  return { id: body.id, secret, shown, receiver };
}

/** What came of a test event. */
export async function test(id: number, by = api) {
  const { status, body } = await by.request<z.output<typeof TestSchema>>("POST", `${ENDPOINTS}/${id}/test`);
  expect(status).toBe(200);
  return body;
}

/** The signatures of a message by these secrets, as the specification's own library makes them. */
export function signaturesBy(secrets: readonly string[], { headers, body }: Received): string {
  const at = new Date(Number(headers.get("webhook-timestamp")) * SECOND);
  return secrets.map((secret) => new Webhook(secret).sign(headers.get("webhook-id") ?? "", at, body)).join(" ");
}

/** Holds what an endpoint is sent now to be signed by these secrets, and by no other. */
export async function expectSignedBy(secrets: readonly string[], id: number, { received }: Receiver) {
  expect((await test(id)).succeeded).toBe(true);
  const last = received.at(-1);
  if (!last) throw new Error("Nothing was sent");
  expect(last.headers.get("webhook-signature")).toBe(signaturesBy(secrets, last));
}

/** How many endpoints the test's merchant has, deleted ones too. */
export async function count(): Promise<number> {
  const found = env.DB.prepare("SELECT count(*) AS n FROM webhook_endpoints WHERE merchant_id = ?");
  return (await found.bind(merchant.id).first<number>("n")) ?? 0;
}

/** The trail of what the test's merchant has done to its endpoints. */
export async function trail() {
  const { results } = await env.DB.prepare(
    `SELECT type, subject, json(data) AS data, actor_merchant_id, key_id, request_id FROM account_events
     WHERE merchant_id = ? AND type LIKE 'webhook_endpoint.%' ORDER BY id`,
  )
    .bind(merchant.id)
    .all<{ type: string; subject: string; data: string; key_id: string; request_id: string }>();
  return results.map(({ data, ...event }) => ({ ...event, data: JSON.parse(data) }));
}
export const trailTypes = async () => (await trail()).map(({ type }) => type.replace("webhook_endpoint.", ""));

/** Everything that is stored. */
export async function dump(): Promise<string> {
  const { results: tables } = await env.DB.prepare(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
  ).all<{ name: string }>();
  const rows = tables.map(async ({ name }) => {
    return (await env.DB.prepare(`SELECT * FROM "${name}"`).all()).results;
  });
  return JSON.stringify(await Promise.all(rows));
}

export const problemOf = ({ status, body }: Answer<unknown>) => ({ status, body });
export const NOT_FOUND = { status: 404, body: { type: "/problems/webhook-endpoint-not-found" } };
