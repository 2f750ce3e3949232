/** The API of webhook endpoints: each route with its handler. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { invalidToken } from "../../auth/authorize";
import { secretsKeys } from "../../auth/secret-keys";
import type { App } from "../../context";
import { answer, json, jsonPage } from "../../http/answer";
import { NOT_AN_OBJECT_MESSAGE, OVERLAP_MESSAGE, Overlap } from "../../http/fields";
import { INVALID_IDEMPOTENCY_KEY, idempotencyKeyHeader, REPLAY, readIdempotency } from "../../http/idempotency-header";
import { pageParameters, windowOf } from "../../http/pages";
import { problem } from "../../http/problem";
import { created, ok, page, replayed } from "../../http/responses";
import { toWebhookEndpointResponse, WebhookEndpointSchema } from "../../outbox/endpoint-schemas";
import { enqueueEndpoints, MAX_ENDPOINTS } from "../../outbox/outbox";
import { createRoute, newApp, originOf, registerRoute, requiresScope } from "../../route";
import { cancelAll, cancelUnwanted, walkOf } from "../cancelling";
import {
  type CreatedSecret,
  createWebhookEndpoint,
  deleteWebhookEndpoint,
  findWebhookEndpoint,
  listWebhookEndpoints,
  rollSecret,
  updateWebhookEndpoint,
  type WebhookEndpoint,
} from "../endpoints";

import { readUrl, urlRules } from "../url";
import {
  chosenTypes,
  INVALID_ENDPOINT_ID,
  NewWebhookEndpointSchema,
  WebhookEndpointChanges,
  WebhookEndpointPath,
  WebhookEndpointToCreate,
} from "./schemas";

export const webhookEndpoints = newApp();

const TAGS = { tags: ["Webhooks"], ...requiresScope("webhooks:manage") };
/** Whoever chooses the URL that events are sent to, or which, reads them. */
const SENDING = { tags: ["Webhooks"], ...requiresScope("webhooks:manage", "events:read") };
const PATH = "/api/v1/webhook-endpoints/1";
const NOT_HTTPS = { validation_failed: { errors: [{ detail: "Must be an https URL", pointer: "#/url" }] } };

export const createWebhookEndpointRoute = createRoute({
  method: "post",
  path: "/api/v1/webhook-endpoints",
  operationId: "createWebhookEndpoint",
  summary: "Create a webhook endpoint",
  description:
    "From now on, the merchant's events are sent to the URL, signed with the secret, which is shown this once; see the " +
    `webhooks of this document. A merchant has at most ${MAX_ENDPOINTS} endpoints.`,
  ...SENDING,
  request: {
    headers: z.object({ "idempotency-key": idempotencyKeyHeader().optional() }),
    body: { required: true, content: { "application/json": { schema: WebhookEndpointToCreate } } },
  },
  responses: {
    201: created(NewWebhookEndpointSchema, PATH, { description: "The endpoint was created" }),
    200: replayed(WebhookEndpointSchema, PATH, {
      description: "The idempotency key has created this endpoint before; here is what is known of it",
    }),
  },
  problems: [
    "idempotency_key_invalid",
    "idempotency_key_reused",
    "too_many_webhook_endpoints",
    "webhook_endpoint_not_found",
  ],
  problemExamples: { ...INVALID_IDEMPOTENCY_KEY, ...NOT_HTTPS },
});

registerRoute(
  webhookEndpoints,
  createWebhookEndpointRoute,
  async (c, { body }) => {
    const url = validateUrl(c, body.url);
    if (url instanceof Response) return url;
    const types = chosenTypes(body) ?? null;
    const idempotency = await readIdempotency(c, "create_webhook_endpoint", null, { url, types });
    if (idempotency instanceof Response) return idempotency;
    const keys = secretsKeys(c.env);
    const made = await createWebhookEndpoint(c.get("db"), originOf(c), idempotency, { url, types }, keys);
    return made.tag === "unchanged" ? problem(c, "too_many_webhook_endpoints") : answerCreated(c, made);
  },
  { needsRoom: true },
);

export const listWebhookEndpointsRoute = createRoute({
  method: "get",
  path: "/api/v1/webhook-endpoints",
  operationId: "listWebhookEndpoints",
  summary: "List webhook endpoints",
  description: "The merchant's endpoints, newest first, with those that are disabled.",
  ...TAGS,
  request: { query: z.strictObject(pageParameters("webhook-endpoints")) },
  responses: {
    200: page(WebhookEndpointSchema, "WebhookEndpointPage", "A page of endpoints, newest first"),
  },
  problems: [],
});

registerRoute(webhookEndpoints, listWebhookEndpointsRoute, async (c, { query }) => {
  const found = await listWebhookEndpoints(c.get("db"), c.get("principal").merchantId, windowOf(query));
  const now = Date.now();
  return jsonPage(c, found, (row) => toWebhookEndpointResponse(row, now));
});

export const getWebhookEndpointRoute = createRoute({
  method: "get",
  path: "/api/v1/webhook-endpoints/{endpoint_id}",
  operationId: "getWebhookEndpoint",
  summary: "Get a webhook endpoint",
  description: "Reads an endpoint, without its secret.",
  ...TAGS,
  request: { params: WebhookEndpointPath },
  responses: {
    200: ok(WebhookEndpointSchema, { description: "The endpoint" }),
  },
  problems: ["webhook_endpoint_not_found"],
  problemExamples: INVALID_ENDPOINT_ID,
});

registerRoute(webhookEndpoints, getWebhookEndpointRoute, (c, { params }) =>
  answerWebhookEndpoint(c, params.endpoint_id),
);

export const updateWebhookEndpointRoute = createRoute({
  method: "patch",
  path: "/api/v1/webhook-endpoints/{endpoint_id}",
  operationId: "updateWebhookEndpoint",
  summary: "Change a webhook endpoint",
  description:
    "Changes the fields that are given. What was still to be sent of types that the endpoint no longer receives is " +
    "cancelled. While an endpoint is disabled nothing is sent to it: what was still to be sent is cancelled, and what " +
    "happens meanwhile is not sent later. Replay that time once it is enabled again.",
  ...SENDING,
  request: {
    params: WebhookEndpointPath,
    body: { required: true, content: { "application/json": { schema: WebhookEndpointChanges } } },
  },
  responses: {
    200: ok(WebhookEndpointSchema, { description: "The endpoint as it is now" }),
  },
  problems: ["webhook_endpoint_not_found", "webhook_endpoint_busy"],
  problemExamples: NOT_HTTPS,
});

registerRoute(
  webhookEndpoints,
  updateWebhookEndpointRoute,
  async (c, { params: { endpoint_id: id }, body }) => {
    const url = body.url === undefined ? undefined : validateUrl(c, body.url);
    if (url instanceof Response) return url;
    const { merchantId } = c.get("principal");
    const endpoint = { merchantId, endpointId: id };
    const existing = await findWebhookEndpoint(c.get("db"), merchantId, id);
    if (!existing) return problem(c, "webhook_endpoint_not_found");
    // What was open when it was disabled is cancelled to the last, before it may be sent to again.
    if (body.enabled && existing.disabled_at !== null) {
      const { finished } = await cancelAll(c.get("db"), endpoint, MAX_CANCEL_STEPS_BEFORE_ENABLING);
      if (!finished) {
        enqueueEndpoints(c, [id]);
        return problem(c, "webhook_endpoint_busy", { headers: { "Retry-After": "10" } });
      }
    }
    const result = await updateWebhookEndpoint(c.get("db"), originOf(c), id, {
      url,
      types: chosenTypes(body),
      enabled: body.enabled,
    });
    if (result.tag === "unauthorized") return invalidToken(c);
    const updated = await findWebhookEndpoint(c.get("db"), merchantId, id);
    if (!updated) return problem(c, "webhook_endpoint_not_found");
    await cancelFirstStep(c, updated);
    return json(c, 200, toWebhookEndpointResponse(updated, Date.now()));
  },
  { needsRoom: ({ body }) => body.url !== undefined || chosenTypes(body) !== undefined },
);

/** Steps that a request takes at most, before it enables an endpoint: some tenths of a second of D1. */
const MAX_CANCEL_STEPS_BEFORE_ENABLING = 10;

/** Cancels what is open and no longer to be sent, in one step; the endpoint's object goes on with what is left. */
async function cancelFirstStep(c: Context<App>, endpoint: WebhookEndpoint): Promise<void> {
  const { merchant_id: merchantId, id: endpointId, types_changed_at: changedAt } = endpoint;
  const names = { merchantId, endpointId };
  if (endpoint.disabled_at !== null || endpoint.deleted_at !== null) {
    const { finished } = await cancelAll(c.get("db"), names, 1);
    if (!finished) enqueueEndpoints(c, [endpointId]);
  } else if (changedAt !== null) {
    await cancelUnwanted(c.get("db"), names, walkOf(changedAt), 1, Date.now());
    // What waited behind a cancelled delivery is due now.
    enqueueEndpoints(c, [endpointId]);
  }
}

export const deleteWebhookEndpointRoute = createRoute({
  method: "delete",
  path: "/api/v1/webhook-endpoints/{endpoint_id}",
  operationId: "deleteWebhookEndpoint",
  summary: "Delete a webhook endpoint",
  description:
    "Nothing is sent to it any more: what was still to be sent is cancelled. Its deliveries can still be read.",
  ...TAGS,
  request: { params: WebhookEndpointPath },
  responses: {
    204: { description: "The endpoint is deleted" },
  },
  problems: ["webhook_endpoint_not_found"],
  problemExamples: INVALID_ENDPOINT_ID,
});

registerRoute(webhookEndpoints, deleteWebhookEndpointRoute, async (c, { params: { endpoint_id: id } }) => {
  const { tag } = await deleteWebhookEndpoint(c.get("db"), originOf(c), id);
  if (tag === "unauthorized") return invalidToken(c);
  if (tag === "unchanged") return problem(c, "webhook_endpoint_not_found");
  const deleted = await findWebhookEndpoint(c.get("db"), c.get("principal").merchantId, id, { deleted: true });
  if (deleted) await cancelFirstStep(c, deleted);
  return answer(c, 204, null);
});

const Rolling = z
  .strictObject({ overlap_seconds: Overlap }, NOT_AN_OBJECT_MESSAGE)
  .openapi("WebhookSecretRoll", { description: "How a secret is rolled", example: { overlap_seconds: 86400 } });

export const rollWebhookSecretRoute = createRoute({
  method: "post",
  path: "/api/v1/webhook-endpoints/{endpoint_id}/roll",
  operationId: "rollWebhookSecret",
  summary: "Roll the secret of a webhook endpoint",
  description:
    "Gives the endpoint a new secret, which is shown this once. For as long as `overlap_seconds` says, what is sent is " +
    "signed with the old one too; one that was rolled before that signs no more.",
  ...TAGS,
  request: {
    params: WebhookEndpointPath,
    headers: z.object({ "idempotency-key": idempotencyKeyHeader().optional() }),
    body: { required: true, content: { "application/json": { schema: Rolling } } },
  },
  responses: {
    201: created(NewWebhookEndpointSchema, PATH, { description: "The endpoint with its new secret" }),
    200: replayed(WebhookEndpointSchema, PATH, {
      description: "The idempotency key has rolled this secret before; here is what is known of the endpoint",
    }),
  },
  problems: ["idempotency_key_invalid", "idempotency_key_reused", "webhook_endpoint_not_found"],
  problemExamples: {
    ...INVALID_IDEMPOTENCY_KEY,
    validation_failed: { errors: [{ detail: OVERLAP_MESSAGE, pointer: "#/overlap_seconds" }] },
  },
});

registerRoute(webhookEndpoints, rollWebhookSecretRoute, async (c, { params: { endpoint_id: id }, body }) => {
  const idempotency = await readIdempotency(c, "roll_webhook_secret", id, body);
  if (idempotency instanceof Response) return idempotency;
  const rolling = { id, overlap: body.overlap_seconds * 1000 };
  const made = await rollSecret(c.get("db"), originOf(c), idempotency, rolling, secretsKeys(c.env));
  return made.tag === "unchanged" ? problem(c, "webhook_endpoint_not_found") : answerCreated(c, made);
});

/** The URL in its normal spelling, or the refusal of one that may not be sent to. */
function validateUrl(c: Context<App>, text: string): string | Response {
  const rules = urlRules(c.env);
  const read = readUrl(text, rules, rules.allowLoopback ? undefined : new URL(c.req.url).hostname);
  if (read.ok) return read.url;
  return problem(c, "validation_failed", { errors: [{ detail: read.detail, pointer: "#/url" }] });
}

async function answerWebhookEndpoint(c: Context<App>, id: number, headers = {}): Promise<Response> {
  const found = await findWebhookEndpoint(c.get("db"), c.get("principal").merchantId, id);
  return found
    ? json(c, 200, toWebhookEndpointResponse(found, Date.now()), headers)
    : problem(c, "webhook_endpoint_not_found");
}

/** The endpoint whose secret was made: with the secret itself when this request made it. */
async function answerCreated(c: Context<App>, made: Exclude<CreatedSecret, { tag: "unchanged" }>): Promise<Response> {
  if (made.tag === "unauthorized") return invalidToken(c);
  if (made.tag === "key_reused") return problem(c, "idempotency_key_reused");
  const id = made.tag === "made" ? made.id : Number(made.subject);
  const location = { Location: `/api/v1/webhook-endpoints/${id}` };
  if (made.tag === "replayed") return answerWebhookEndpoint(c, id, { ...location, ...REPLAY });
  const found = await findWebhookEndpoint(c.get("db"), c.get("principal").merchantId, id);
  return found
    ? json(c, 201, { ...toWebhookEndpointResponse(found, Date.now()), secret: made.secret }, location)
    : problem(c, "webhook_endpoint_not_found");
}
