/** The API of API keys: each route with its handler. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { invalidToken, scopeMissing } from "../../auth/authorize";
import { forgetKeys } from "../../auth/key-cache";
import type { App } from "../../context";
import { json, jsonPage } from "../../http/answer";
import { OVERLAP_MESSAGE } from "../../http/fields";
import {
  INVALID_IDEMPOTENCY_KEY,
  idempotencyKeyHeader,
  REPLAY,
  REPLAYED,
  readIdempotency,
} from "../../http/idempotency-header";
import { pageParameters, windowOf } from "../../http/pages";
import { problem } from "../../http/problem";
import { created, ok, page, replayed } from "../../http/responses";
import { enqueueDeliveries } from "../../outbox/outbox";
import { createRoute, newApp, originOf, registerRoute, requiresScope } from "../../route";
import {
  type CreatedApiKey,
  createApiKey,
  findApiKey,
  listApiKeys,
  renameApiKey,
  revokeApiKey,
  rollApiKey,
} from "../api-keys";
import {
  ApiKeyChanges,
  ApiKeyPath,
  ApiKeySchema,
  ApiKeyToCreate,
  INVALID_API_KEY_ID,
  NewApiKeySchema,
  Rolling,
  SCOPES_MESSAGE,
  toApiKeyResponse,
} from "./api-key-schemas";
import { issueKey, merchantFilter, refuseOutliving, requestedMerchant, ungranted } from "./grants";
import { MerchantParameter } from "./merchant-schemas";

export const apiKeys = newApp();

const TAGS = { tags: ["API keys"], ...requiresScope("keys:manage") };
const PATH = "/api/v1/api-keys/4fT9bQ2sXk7L";

export const createApiKeyRoute = createRoute({
  method: "post",
  path: "/api/v1/api-keys",
  operationId: "createApiKey",
  summary: "Create an API key",
  description:
    "The answer to the request that makes the key shows it; nobody can read it again. A retry with the same " +
    "`Idempotency-Key` finds what was made, without the key itself: if that was lost, roll it.",
  ...TAGS,
  request: {
    headers: z.object({ "idempotency-key": idempotencyKeyHeader().optional() }),
    body: { required: true, content: { "application/json": { schema: ApiKeyToCreate } } },
  },
  responses: {
    201: created(NewApiKeySchema, PATH, { description: "The key was created" }),
    200: replayed(ApiKeySchema, PATH, {
      description: "The idempotency key has created this API key before; here is what is known of it",
    }),
  },
  problems: ["idempotency_key_invalid", "idempotency_key_reused", "too_many_api_keys"],
  problemExamples: {
    ...INVALID_IDEMPOTENCY_KEY,
    validation_failed: { errors: [{ detail: SCOPES_MESSAGE, pointer: "#/scopes" }] },
  },
});

registerRoute(
  apiKeys,
  createApiKeyRoute,
  async (c, { body }) => {
    const { name, scopes, expires_at = null } = body;
    const missing = ungranted(c, scopes);
    if (missing.length > 0) return scopeMissing(c, missing);
    const merchantId = requestedMerchant(c, body.merchant_id, { pointer: "#/merchant_id" });
    if (merchantId instanceof Response) return merchantId;
    const outlives = refuseOutliving(c, expires_at);
    if (outlives) return outlives;
    const idempotency = await readIdempotency(c, "create_api_key", null, {
      name,
      scopes,
      expires_at,
      merchant_id: merchantId,
    });
    if (idempotency instanceof Response) return idempotency;
    const newKey = { merchantId, name, scopes, expiresAt: expires_at };
    const made = await createApiKey(c.get("db"), originOf(c), idempotency, await issueKey(c), newKey);
    if (made.tag === "not_found") {
      return problem(c, "validation_failed", {
        errors: [{ detail: "There is no such merchant", pointer: "#/merchant_id" }],
      });
    }
    return answerCreated(c, made);
  },
  { needsRoom: true },
);

export const listApiKeysRoute = createRoute({
  method: "get",
  path: "/api/v1/api-keys",
  operationId: "listApiKeys",
  summary: "List API keys",
  description: "A merchant's keys, newest first, with those that are revoked or expired.",
  ...TAGS,
  request: {
    query: z.strictObject({ ...pageParameters("api-keys", "string"), merchant_id: MerchantParameter.optional() }),
  },
  responses: {
    200: page(ApiKeySchema, "ApiKeyPage", "A page of keys, newest first"),
  },
  problems: [],
});

registerRoute(apiKeys, listApiKeysRoute, async (c, { query }) => {
  const merchantId = requestedMerchant(c, query.merchant_id, { parameter: "merchant_id" });
  if (merchantId instanceof Response) return merchantId;
  const found = await listApiKeys(c.get("db"), merchantId, windowOf(query));
  const now = Date.now();
  return jsonPage(c, found, (key) => toApiKeyResponse(key, now));
});

export const getApiKeyRoute = createRoute({
  method: "get",
  path: "/api/v1/api-keys/{key_id}",
  operationId: "getApiKey",
  summary: "Get an API key",
  description: "Reads what is known of a key, by its public id.",
  ...TAGS,
  request: { params: ApiKeyPath },
  responses: {
    200: ok(ApiKeySchema, { description: "What is known of the key" }),
  },
  problems: ["api_key_not_found"],
  problemExamples: INVALID_API_KEY_ID,
});

registerRoute(apiKeys, getApiKeyRoute, (c, { params }) => answerApiKey(c, params.key_id));

export const renameApiKeyRoute = createRoute({
  method: "patch",
  path: "/api/v1/api-keys/{key_id}",
  operationId: "renameApiKey",
  summary: "Rename an API key",
  description: "Gives a key another name.",
  ...TAGS,
  request: { params: ApiKeyPath, body: { required: true, content: { "application/json": { schema: ApiKeyChanges } } } },
  responses: {
    200: ok(ApiKeySchema, { description: "The key, which has this name now" }),
  },
  problems: ["api_key_not_found"],
  problemExamples: INVALID_API_KEY_ID,
});

registerRoute(
  apiKeys,
  renameApiKeyRoute,
  async (c, { params, body }) => {
    const renamed = await renameApiKey(c.get("db"), originOf(c), merchantFilter(c), params.key_id, body.name);
    if (renamed.tag === "unauthorized") return invalidToken(c);
    return answerApiKey(c, params.key_id);
  },
  { needsRoom: true },
);

export const revokeApiKeyRoute = createRoute({
  method: "post",
  path: "/api/v1/api-keys/{key_id}/revoke",
  operationId: "revokeApiKey",
  summary: "Revoke an API key",
  description:
    "Ends a key, for good, and with it every key that it has created, and that these have; within 30 seconds they are " +
    "refused everywhere. Webhook endpoints to which one of them gave their URL are disabled, and the others receive an event of it. Takes no body. Asked again, it answers 200 and changes nothing.",
  ...TAGS,
  request: {
    params: ApiKeyPath,
    headers: z.object({ "idempotency-key": idempotencyKeyHeader().optional() }),
  },
  responses: {
    200: ok(ApiKeySchema, { description: "The key, which is revoked", headers: REPLAYED }),
  },
  problems: ["idempotency_key_invalid", "idempotency_key_reused", "api_key_not_found"],
  problemExamples: { ...INVALID_IDEMPOTENCY_KEY, ...INVALID_API_KEY_ID },
});

registerRoute(apiKeys, revokeApiKeyRoute, async (c, { params }) => {
  const idempotency = await readIdempotency(c, "revoke_api_key", params.key_id, {});
  if (idempotency instanceof Response) return idempotency;
  const revoked = await revokeApiKey(c.get("db"), originOf(c), idempotency, merchantFilter(c), params.key_id);
  if (revoked.tag === "key_reused") return problem(c, "idempotency_key_reused");
  if (revoked.tag === "unauthorized") return invalidToken(c);
  if (revoked.tag === "revoked") {
    forgetKeys(c.env, revoked.ids);
    enqueueDeliveries(c, revoked.deliveries);
  }
  return answerApiKey(c, params.key_id, revoked.tag === "replayed" ? REPLAY : {});
});

export const rollApiKeyRoute = createRoute({
  method: "post",
  path: "/api/v1/api-keys/{key_id}/roll",
  operationId: "rollApiKey",
  summary: "Roll an API key",
  description:
    "Makes a new key with the name, the scopes and the merchant of an old one, which stays valid for as long as " +
    "`overlap_seconds` says. The answer shows the new key, this once.",
  ...TAGS,
  request: {
    params: ApiKeyPath,
    headers: z.object({ "idempotency-key": idempotencyKeyHeader().optional() }),
    body: { required: true, content: { "application/json": { schema: Rolling } } },
  },
  responses: {
    201: created(NewApiKeySchema, PATH, { description: "The new key" }),
    200: replayed(ApiKeySchema, PATH, {
      description: "The idempotency key has made this API key before; here is what is known of it",
    }),
  },
  problems: [
    "idempotency_key_invalid",
    "idempotency_key_reused",
    "api_key_not_found",
    "api_key_not_active",
    "too_many_api_keys",
  ],
  problemExamples: {
    ...INVALID_IDEMPOTENCY_KEY,
    validation_failed: { errors: [{ detail: OVERLAP_MESSAGE, pointer: "#/overlap_seconds" }] },
  },
});

registerRoute(apiKeys, rollApiKeyRoute, async (c, { params, body }) => {
  const old = await findApiKey(c.get("db"), merchantFilter(c), params.key_id);
  if (!old) return problem(c, "api_key_not_found");
  const missing = ungranted(c, old.scopes);
  if (missing.length > 0) return scopeMissing(c, missing);
  // Left out, it is the old key's, which the roll itself may change: so the fingerprint is of what was sent.
  const { overlap_seconds, expires_at = old.expires_at } = body;
  const outlives = refuseOutliving(c, expires_at);
  if (outlives) return outlives;
  const idempotency = await readIdempotency(c, "roll_api_key", old.id, body);
  if (idempotency instanceof Response) return idempotency;
  const rolling = { id: old.id, overlap: overlap_seconds * 1000, expiresAt: expires_at };
  const issued = await issueKey(c);
  const made = await rollApiKey(c.get("db"), originOf(c), idempotency, merchantFilter(c), issued, rolling);
  if (made.tag === "not_found") return problem(c, "api_key_not_active");
  if (made.tag === "made") forgetKeys(c.env, [old.id]);
  return answerCreated(c, made);
});

async function answerApiKey(c: Context<App>, id: string, headers = {}): Promise<Response> {
  const key = await findApiKey(c.get("db"), merchantFilter(c), id);
  return key ? json(c, 200, toApiKeyResponse(key, Date.now()), headers) : problem(c, "api_key_not_found");
}

/** The key that was made: with the key itself when this request made it. */
async function answerCreated(c: Context<App>, made: Exclude<CreatedApiKey, { tag: "not_found" }>): Promise<Response> {
  switch (made.tag) {
    case "unauthorized":
      return invalidToken(c);
    case "too_many":
      return problem(c, "too_many_api_keys");
    case "key_reused":
      return problem(c, "idempotency_key_reused");
    case "made":
      return json(c, 201, { ...toApiKeyResponse(made.record, Date.now()), key: made.key }, locationOf(made.record.id));
    case "replayed":
      return answerApiKey(c, made.subject, { ...locationOf(made.subject), ...REPLAY });
  }
}

function locationOf(id: string): { Location: string } {
  return { Location: `/api/v1/api-keys/${id}` };
}
