/** The merchants API: each route with its handler. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { invalidToken } from "../../auth/authorize";
import { forgetMerchant } from "../../auth/key-cache";
import type { App } from "../../context";
import { json, jsonPage } from "../../http/answer";
import { POSITIVE_INTEGER_MESSAGE } from "../../http/fields";
import {
  INVALID_IDEMPOTENCY_KEY,
  idempotencyKeyHeader,
  REPLAY,
  REPLAYED,
  readIdempotency,
} from "../../http/idempotency-header";
import { pageParameters, windowOf } from "../../http/pages";
import { problem } from "../../http/problem";
import type { ProblemKind } from "../../http/problem-kinds";
import { created, ok, page, replayed } from "../../http/responses";
import { createRoute, newApp, originOf, registerRoute, requiresScope } from "../../route";
import { createMerchant, findMerchant, listMerchants, renameMerchant, setMerchantEnabled } from "../merchants";
import {
  MerchantChanges,
  MerchantPath,
  MerchantSchema,
  MerchantToCreate,
  toMerchantResponse,
} from "./merchant-schemas";

export const merchants = newApp();

const TAGS = { tags: ["Merchants"], ...requiresScope("admin") };
const INVALID_ID = { validation_failed: { errors: [{ detail: POSITIVE_INTEGER_MESSAGE, parameter: "merchant_id" }] } };
const INVALID_NAME = { validation_failed: { errors: [{ detail: "Field required", pointer: "#/name" }] } };
const PATH = "/api/v1/merchants/2";

export const createMerchantRoute = createRoute({
  method: "post",
  path: "/api/v1/merchants",
  operationId: "createMerchant",
  summary: "Create a merchant",
  description: "Creates an account. Give it API keys next: `POST /api/v1/api-keys` with its `merchant_id`.",
  ...TAGS,
  request: {
    headers: z.object({ "idempotency-key": idempotencyKeyHeader().optional() }),
    body: { required: true, content: { "application/json": { schema: MerchantToCreate } } },
  },
  responses: {
    201: created(MerchantSchema, PATH, { description: "The merchant was created" }),
    200: replayed(MerchantSchema, PATH, {
      description: "The key has created this merchant before; here it is as it is now",
    }),
  },
  problems: ["idempotency_key_invalid", "idempotency_key_reused"],
  problemExamples: {
    ...INVALID_IDEMPOTENCY_KEY,
    ...INVALID_NAME,
  },
});

registerRoute(
  merchants,
  createMerchantRoute,
  async (c, { body }) => {
    const idempotency = await readIdempotency(c, "create_merchant", null, body);
    if (idempotency instanceof Response) return idempotency;
    const result = await createMerchant(c.get("db"), originOf(c), idempotency, body.name);
    if (result.tag === "key_reused") return problem(c, "idempotency_key_reused");
    if (result.tag === "unauthorized") return invalidToken(c);
    if (result.tag === "unchanged") throw new Error("A merchant was neither created nor found");
    const headers = { Location: `/api/v1/merchants/${result.subject}` };
    return result.tag === "changed"
      ? answerMerchant(c, Number(result.subject), 201, headers)
      : answerMerchant(c, Number(result.subject), 200, { ...headers, ...REPLAY });
  },
  { needsRoom: true },
);

export const listMerchantsRoute = createRoute({
  method: "get",
  path: "/api/v1/merchants",
  operationId: "listMerchants",
  summary: "List merchants",
  description: "All merchants, newest first.",
  ...TAGS,
  request: { query: z.strictObject(pageParameters("merchants")) },
  responses: {
    200: page(MerchantSchema, "MerchantPage", "A page of merchants, newest first"),
  },
  problems: [],
});

registerRoute(merchants, listMerchantsRoute, async (c, { query }) =>
  jsonPage(c, await listMerchants(c.get("db"), windowOf(query)), toMerchantResponse),
);

export const getMerchantRoute = createRoute({
  method: "get",
  path: "/api/v1/merchants/{merchant_id}",
  operationId: "getMerchant",
  summary: "Get a merchant",
  description: "Reads a merchant.",
  ...TAGS,
  request: { params: MerchantPath },
  responses: {
    200: ok(MerchantSchema, { description: "The merchant" }),
  },
  problems: ["merchant_not_found"],
  problemExamples: INVALID_ID,
});

registerRoute(merchants, getMerchantRoute, (c, { params }) => answerMerchant(c, params.merchant_id, 200));

export const renameMerchantRoute = createRoute({
  method: "patch",
  path: "/api/v1/merchants/{merchant_id}",
  operationId: "renameMerchant",
  summary: "Rename a merchant",
  description: "Gives a merchant another name.",
  ...TAGS,
  request: {
    params: MerchantPath,
    body: { required: true, content: { "application/json": { schema: MerchantChanges } } },
  },
  responses: {
    200: ok(MerchantSchema, { description: "The merchant, which has this name now" }),
  },
  problems: ["merchant_not_found"],
  problemExamples: INVALID_NAME,
});

registerRoute(
  merchants,
  renameMerchantRoute,
  async (c, { params, body }) => {
    const renamed = await renameMerchant(c.get("db"), originOf(c), params.merchant_id, body.name);
    if (renamed.tag === "unauthorized") return invalidToken(c);
    return answerMerchant(c, params.merchant_id, 200);
  },
  { needsRoom: true },
);

const SWITCH = {
  ...TAGS,
  request: {
    params: MerchantPath,
    headers: z.object({ "idempotency-key": idempotencyKeyHeader().optional() }),
  },
  problems: ["idempotency_key_invalid", "idempotency_key_reused", "merchant_not_found"] satisfies ProblemKind[],
  problemExamples: { ...INVALID_IDEMPOTENCY_KEY, ...INVALID_ID },
};
export const disableMerchantRoute = createRoute({
  method: "post",
  path: "/api/v1/merchants/{merchant_id}/disable",
  operationId: "disableMerchant",
  summary: "Disable a merchant",
  description:
    "Stops a merchant: within 30 seconds all of its API keys are refused everywhere, with a problem that says why, and no " +
    "webhook is sent to it. Nothing of it is lost. Takes no body. Asked again, it answers 200 and changes nothing.",
  ...SWITCH,
  responses: {
    200: ok(MerchantSchema, { description: "The merchant, which is disabled", headers: REPLAYED }),
  },
});

registerRoute(merchants, disableMerchantRoute, (c, { params }) => switchMerchant(c, params.merchant_id, false));

export const enableMerchantRoute = createRoute({
  method: "post",
  path: "/api/v1/merchants/{merchant_id}/enable",
  operationId: "enableMerchant",
  summary: "Enable a merchant",
  description:
    "Ends what disabling began: within 30 seconds the merchant's API keys are valid again, those that have neither been " +
    "revoked nor expired meanwhile, and within two minutes the webhooks that were still to be sent go on. Takes no body. Asked again, it answers 200 and changes nothing.",
  ...SWITCH,
  responses: {
    200: ok(MerchantSchema, { description: "The merchant, which is enabled", headers: REPLAYED }),
  },
});

registerRoute(merchants, enableMerchantRoute, (c, { params }) => switchMerchant(c, params.merchant_id, true));

async function switchMerchant(c: Context<App>, id: number, enabled: boolean): Promise<Response> {
  const operation = enabled ? "enable_merchant" : "disable_merchant";
  const idempotency = await readIdempotency(c, operation, id, {});
  if (idempotency instanceof Response) return idempotency;
  const changed = await setMerchantEnabled(c.get("db"), originOf(c), idempotency, id, enabled);
  if (changed.tag === "key_reused") return problem(c, "idempotency_key_reused");
  if (changed.tag === "unauthorized") return invalidToken(c);
  forgetMerchant(c.env, id);
  return answerMerchant(c, id, 200, changed.tag === "replayed" ? REPLAY : {});
}

/** The merchant as it is now, or that there is none. */
async function answerMerchant(c: Context<App>, id: number, status: number, headers = {}): Promise<Response> {
  const merchant = await findMerchant(c.get("db"), id);
  return merchant ? json(c, status, toMerchantResponse(merchant), headers) : problem(c, "merchant_not_found");
}
