/** The API of webhook endpoints: each route with its handler. */
import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { App } from "../../context";
import { answer, json } from "../../http/answer";
import { NOT_AN_OBJECT, OVERLAP, Overlap } from "../../http/fields";
import { keyHeader, REPLAY, REPLAYED, readIdempotency, WRONG_KEY } from "../../http/idempotency-header";
import { LINK, pageParameters, pageSchema, presentPage, windowOf } from "../../http/pages";
import { problem, problemResponses } from "../../http/problem";
import { SECURED, WRONG_BODY } from "../../http/problem-kinds";
import { demands, endpoint, newApp, originOf } from "../../route";
import { cancelOpen } from "../deliveries";
import {
  createEndpoint,
  deleteEndpoint,
  findEndpoint,
  listEndpoints,
  type MadeSecret,
  MOST_ENDPOINTS,
  rollSecret,
  secretsOf,
  updateEndpoint,
} from "../endpoints";
import { send } from "../send";
import { readUrl } from "../url";
import { TEST_TYPE } from "./messages";
import {
  EndpointChanges,
  EndpointPath,
  EndpointSchema,
  EndpointToCreate,
  NewEndpointSchema,
  presentAttempt,
  presentEndpoint,
  TestSchema,
  WRONG_ENDPOINT_ID,
} from "./schemas";

export const webhookEndpoints = newApp();

const TAGS = { tags: ["Webhooks"], ...demands("webhooks:manage") };
const ENDPOINT = { "application/json": { schema: EndpointSchema } };
const NEW_ENDPOINT = { "application/json": { schema: NewEndpointSchema } };
const LOCATION = {
  Location: {
    description: "The path of the endpoint",
    schema: { type: "string" as const, example: "/api/v1/webhook-endpoints/1" },
  },
};
const NOT_HTTPS = { validation_failed: { errors: [{ detail: "Must be an https URL", pointer: "#/url" }] } };

const create = createRoute({
  method: "post",
  path: "/api/v1/webhook-endpoints",
  operationId: "createWebhookEndpoint",
  summary: "Create a webhook endpoint",
  description:
    "From now on, the merchant's events are sent to the URL, signed with the secret, which is shown this once; see the " +
    `webhooks of this document. A merchant has at most ${MOST_ENDPOINTS} endpoints.`,
  ...TAGS,
  request: {
    headers: z.object({ "idempotency-key": keyHeader().optional() }),
    body: { required: true, content: { "application/json": { schema: EndpointToCreate } } },
  },
  responses: {
    201: { description: "The endpoint was created", headers: LOCATION, content: NEW_ENDPOINT },
    200: {
      description: "The idempotency key has created this endpoint before; here is what is known of it",
      headers: { ...LOCATION, ...REPLAYED },
      content: ENDPOINT,
    },
    ...problemResponses(
      [
        ...WRONG_BODY,
        "idempotency_key_invalid",
        "idempotency_key_reused",
        "too_many_webhook_endpoints",
        // The one that the key has created may be deleted since.
        "webhook_endpoint_not_found",
        ...SECURED,
      ],
      { ...WRONG_KEY, ...NOT_HTTPS },
    ),
  },
});

endpoint(webhookEndpoints, create, async (c, { body: { url: text, types } }) => {
  const url = judgeUrl(c, text);
  if (url instanceof Response) return url;
  const idempotency = await readIdempotency(c, "create_webhook_endpoint", null, { url, types });
  if (idempotency instanceof Response) return idempotency;
  const made = await createEndpoint(c.get("db"), originOf(c), idempotency, { url, types });
  return made.tag === "unchanged" ? problem(c, "too_many_webhook_endpoints") : answerMade(c, made);
});

const list = createRoute({
  method: "get",
  path: "/api/v1/webhook-endpoints",
  operationId: "listWebhookEndpoints",
  summary: "List webhook endpoints",
  description: "The merchant's endpoints, newest first, with those that are disabled.",
  ...TAGS,
  request: { query: z.strictObject(pageParameters("number")) },
  responses: {
    200: {
      description: "A page of endpoints",
      headers: LINK,
      content: { "application/json": { schema: pageSchema(EndpointSchema) } },
    },
    ...problemResponses(["body_too_large", "validation_failed", ...SECURED]),
  },
});

endpoint(webhookEndpoints, list, async (c, { query }) => {
  const page = await listEndpoints(c.get("db"), c.get("principal").merchantId, windowOf(query));
  const now = Date.now();
  const { body, headers } = presentPage(c.req.url, page, (row) => presentEndpoint(row, now));
  return json(c, 200, body, headers);
});

const get = createRoute({
  method: "get",
  path: "/api/v1/webhook-endpoints/{endpoint_id}",
  operationId: "getWebhookEndpoint",
  summary: "Get a webhook endpoint",
  description: "Reads an endpoint, without its secret.",
  ...TAGS,
  request: { params: EndpointPath },
  responses: {
    200: { description: "The endpoint", content: ENDPOINT },
    ...problemResponses(
      ["webhook_endpoint_not_found", "body_too_large", "validation_failed", ...SECURED],
      WRONG_ENDPOINT_ID,
    ),
  },
});

endpoint(webhookEndpoints, get, (c, { params }) => answerEndpoint(c, params.endpoint_id));

const update = createRoute({
  method: "patch",
  path: "/api/v1/webhook-endpoints/{endpoint_id}",
  operationId: "updateWebhookEndpoint",
  summary: "Change a webhook endpoint",
  description:
    "Changes the fields that are given. While an endpoint is disabled nothing is sent to it: what was still to be sent " +
    "is cancelled, and what happens meanwhile is not sent later. Replay that time once it is enabled again.",
  ...TAGS,
  request: {
    params: EndpointPath,
    body: { required: true, content: { "application/json": { schema: EndpointChanges } } },
  },
  responses: {
    200: { description: "The endpoint as it is now", content: ENDPOINT },
    ...problemResponses([...WRONG_BODY, "webhook_endpoint_not_found", ...SECURED], NOT_HTTPS),
  },
});

endpoint(webhookEndpoints, update, async (c, { params: { endpoint_id: id }, body }) => {
  const url = body.url === undefined ? undefined : judgeUrl(c, body.url);
  if (url instanceof Response) return url;
  const { merchantId } = c.get("principal");
  const existing = await findEndpoint(c.get("db"), merchantId, id);
  if (!existing) return problem(c, "webhook_endpoint_not_found");
  // What was open when it was disabled is cancelled to the last, before it may be sent to again.
  if (body.enabled && existing.disabled_at !== null) await cancelOpen(c.get("db"), id);
  await updateEndpoint(c.get("db"), originOf(c), id, { ...body, url });
  if (body.enabled === false) await cancelOpen(c.get("db"), id);
  return answerEndpoint(c, id);
});

const remove = createRoute({
  method: "delete",
  path: "/api/v1/webhook-endpoints/{endpoint_id}",
  operationId: "deleteWebhookEndpoint",
  summary: "Delete a webhook endpoint",
  description:
    "Nothing is sent to it any more: what was still to be sent is cancelled. Its deliveries can still be read.",
  ...TAGS,
  request: { params: EndpointPath },
  responses: {
    204: { description: "The endpoint is deleted" },
    ...problemResponses([...WRONG_BODY, "webhook_endpoint_not_found", ...SECURED], WRONG_ENDPOINT_ID),
  },
});

endpoint(webhookEndpoints, remove, async (c, { params: { endpoint_id: id } }) => {
  const { tag } = await deleteEndpoint(c.get("db"), originOf(c), id);
  if (tag === "unchanged") return problem(c, "webhook_endpoint_not_found");
  await cancelOpen(c.get("db"), id);
  return answer(c, 204, null);
});

const Rolling = z
  .strictObject({ overlap_seconds: Overlap }, NOT_AN_OBJECT)
  .openapi("WebhookSecretRoll", { description: "How a secret is rolled", example: { overlap_seconds: 86400 } });

const roll = createRoute({
  method: "post",
  path: "/api/v1/webhook-endpoints/{endpoint_id}/roll",
  operationId: "rollWebhookSecret",
  summary: "Roll the secret of a webhook endpoint",
  description:
    "Gives the endpoint a new secret, which is shown this once. For as long as `overlap_seconds` says, what is sent is " +
    "signed with the old one too; one that was rolled before that signs no more.",
  ...TAGS,
  request: {
    params: EndpointPath,
    headers: z.object({ "idempotency-key": keyHeader().optional() }),
    body: { required: true, content: { "application/json": { schema: Rolling } } },
  },
  responses: {
    201: { description: "The endpoint with its new secret", headers: LOCATION, content: NEW_ENDPOINT },
    200: {
      description: "The idempotency key has rolled this secret before; here is what is known of the endpoint",
      headers: { ...LOCATION, ...REPLAYED },
      content: ENDPOINT,
    },
    ...problemResponses(
      [...WRONG_BODY, "idempotency_key_invalid", "idempotency_key_reused", "webhook_endpoint_not_found", ...SECURED],
      { ...WRONG_KEY, validation_failed: { errors: [{ detail: OVERLAP, pointer: "#/overlap_seconds" }] } },
    ),
  },
});

endpoint(webhookEndpoints, roll, async (c, { params: { endpoint_id: id }, body }) => {
  const idempotency = await readIdempotency(c, "roll_webhook_secret", id, body);
  if (idempotency instanceof Response) return idempotency;
  const rolling = { id, overlap: body.overlap_seconds * 1000 };
  const made = await rollSecret(c.get("db"), originOf(c), idempotency, rolling);
  return made.tag === "unchanged" ? problem(c, "webhook_endpoint_not_found") : answerMade(c, made);
});

const test = createRoute({
  method: "post",
  path: "/api/v1/webhook-endpoints/{endpoint_id}/test",
  operationId: "testWebhookEndpoint",
  summary: "Send a test event",
  description:
    "Sends one event of the type `webhook_endpoint.test` and waits for what comes of it, up to 15 seconds. It is sent " +
    "once, also to an endpoint that is disabled, and is no part of the log. Takes no body.",
  ...TAGS,
  request: { params: EndpointPath },
  responses: {
    200: { description: "What came of it", content: { "application/json": { schema: TestSchema } } },
    ...problemResponses([...WRONG_BODY, "webhook_endpoint_not_found", ...SECURED], WRONG_ENDPOINT_ID),
  },
});

endpoint(webhookEndpoints, test, async (c, { params: { endpoint_id: id } }) => {
  const found = await findEndpoint(c.get("db"), c.get("principal").merchantId, id);
  if (!found) return problem(c, "webhook_endpoint_not_found");
  const now = Date.now();
  const event = {
    id: `evt_test_${crypto.randomUUID()}`,
    type: TEST_TYPE,
    timestamp: new Date(now).toISOString(),
    data: { webhook_endpoint_id: id },
  };
  const target = { url: found.url, secrets: secretsOf(found, now), allowLoopback: allowsLoopback(c) };
  const { succeeded, attempt } = await send(target, { id: event.id, body: JSON.stringify(event) });
  return json(c, 200, { event_id: event.id, succeeded, ...presentAttempt(attempt) });
});

/** Open mode answers this machine alone, and may tell it; no deployment that others reach can. */
function allowsLoopback(c: Context<App>): boolean {
  return c.env.AUTH_MODE === "open";
}

/** The URL in its normal spelling, or the refusal of one that may not be told. */
function judgeUrl(c: Context<App>, text: string): string | Response {
  const ownHost = allowsLoopback(c) ? undefined : new URL(c.req.url).hostname;
  const read = readUrl(text, { allowLoopback: allowsLoopback(c), ownHost });
  if (read.ok) return read.url;
  return problem(c, "validation_failed", { errors: [{ detail: read.detail, pointer: "#/url" }] });
}

async function answerEndpoint(c: Context<App>, id: number, headers = {}): Promise<Response> {
  const found = await findEndpoint(c.get("db"), c.get("principal").merchantId, id);
  return found ? json(c, 200, presentEndpoint(found, Date.now()), headers) : problem(c, "webhook_endpoint_not_found");
}

/** The endpoint whose secret was made: with the secret itself when this request made it. */
async function answerMade(c: Context<App>, made: Exclude<MadeSecret, { tag: "unchanged" }>): Promise<Response> {
  if (made.tag === "key_reused") return problem(c, "idempotency_key_reused");
  const id = made.tag === "made" ? made.id : Number(made.subject);
  const location = { Location: `/api/v1/webhook-endpoints/${id}` };
  if (made.tag === "replayed") return answerEndpoint(c, id, { ...location, ...REPLAY });
  const found = await findEndpoint(c.get("db"), c.get("principal").merchantId, id);
  return found
    ? json(c, 201, { ...presentEndpoint(found, Date.now()), secret: made.secret }, location)
    : problem(c, "webhook_endpoint_not_found");
}
