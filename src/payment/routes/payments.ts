/** The payments API: each route with its handler. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { App } from "../../context";
import { answer, json } from "../../http/answer";
import { expectedVersions, isAmong, readTags, TAGS_PATTERN, type Tags } from "../../http/etag";
import {
  INVALID_IDEMPOTENCY_KEY,
  idempotencyKeyHeader,
  REPLAY,
  REPLAYED,
  readIdempotency,
  requireIdempotency,
} from "../../http/idempotency-header";
import { problem } from "../../http/problem";
import { created, ok, replayed } from "../../http/responses";
import { enqueueDeliveries } from "../../outbox/outbox";
import { createRoute, hasRoom, newApp, originOf, registerRoute, requiresScope } from "../../route";
import type { Scope } from "../../scopes";
import { createPayment, findCreated } from "../create";
import { findPayment } from "../find";
import { ACTIONS, type Action, LIFECYCLE, outcome, refusal, STATUSES } from "../lifecycle";
import { runAction } from "../object";
import { toPaymentResponse } from "../response";
import { etagOf, INVALID_ID, NewPaymentSchema, PAYMENT_EXAMPLE, PaymentPath, PaymentSchema } from "./payment-schemas";

export const payments = newApp();

/** What a key must be allowed for each action. */
const ACTION_SCOPES: Readonly<Record<Action, Scope>> = {
  confirm: "payments:write",
  fail: "payments:write",
  refund: "refunds:write",
};

const ETAG = {
  ETag: {
    description: "The payment's version, for If-Match and If-None-Match",
    schema: { type: "string" as const, example: '"1"' },
  },
};

/** The header of a condition in the document; without an example, which the Swagger page would send. */
function tagsHeader(description: string) {
  return z.string().optional().openapi({ pattern: TAGS_PATTERN, description });
}

const create = createRoute({
  method: "post",
  path: "/api/v1/payments",
  operationId: "createPayment",
  summary: "Create a payment",
  description:
    "Creates a payment in status `pending`. However often, and however concurrently, a request is repeated with its " +
    "key: one answer is 201, all others are 200 with the same payment as it is then.",
  tags: ["Payments"],
  ...requiresScope("payments:write"),
  request: {
    headers: z.object({ "idempotency-key": idempotencyKeyHeader("order-42") }),
    body: {
      required: true,
      content: {
        "application/json": {
          schema: NewPaymentSchema,
          examples: {
            dollars: { summary: "99.99 US dollars", value: { order_id: 42, amount: 99.99, currency: "USD" } },
            yen: {
              summary: "5000 yen, which have no decimals",
              value: { order_id: 43, amount: 5000, currency: "JPY" },
            },
            text: { summary: "A decimal string, in the default currency", value: { order_id: 44, amount: "10.00" } },
          },
        },
      },
    },
  },
  responses: {
    201: created(PaymentSchema, "/api/v1/payments/1", { description: "The payment was created", headers: ETAG }),
    200: replayed(PaymentSchema, "/api/v1/payments/1", {
      description: "The key has created this payment before; here it is as it is now",
      headers: ETAG,
    }),
  },
  problems: ["idempotency_key_missing", "idempotency_key_invalid", "idempotency_key_reused"],
  problemExamples: {
    ...INVALID_IDEMPOTENCY_KEY,
    validation_failed: {
      errors: [
        { detail: "Field required", pointer: "#/order_id" },
        { detail: "Must be greater than zero", pointer: "#/amount" },
      ],
    },
  },
});

registerRoute(payments, create, async (c, { body }) => {
  const { metadata, ...plain } = body;
  // Without pairs the fingerprint is that of the time before there were any.
  const fields = Object.keys(metadata).length > 0 ? { ...plain, metadata: Object.entries(metadata) } : plain;
  const idempotency = await requireIdempotency(c, "create", null, fields);
  if (idempotency instanceof Response) return idempotency;

  // Not by `needsRoom`: a retry is to find what its key has created, also when nothing new is taken.
  const result = hasRoom(c)
    ? await createPayment(c.get("db"), originOf(c), idempotency, body)
    : await findCreated(c.get("db"), originOf(c), idempotency);
  if (result === null) return problem(c, "storage_full");
  if (result.tag === "key_reused") return problem(c, "idempotency_key_reused");
  const headers = { Location: `/api/v1/payments/${result.payment.id}`, ETag: etagOf(result.payment) };
  if (result.tag === "created") {
    enqueueDeliveries(c, result.deliveries);
    return json(c, 201, toPaymentResponse(result.payment), headers);
  }
  return json(c, 200, toPaymentResponse(result.payment), { ...headers, ...REPLAY });
});

const get = createRoute({
  method: "get",
  path: "/api/v1/payments/{payment_id}",
  operationId: "getPayment",
  summary: "Get a payment",
  description: "Reads a payment as it is now. With `If-None-Match`, one that has not changed is a 304 without a body.",
  tags: ["Payments"],
  ...requiresScope("payments:read"),
  request: {
    params: PaymentPath,
    headers: z.object({
      "if-none-match": tagsHeader('Entity tags of what you have, as in `ETag` of an earlier answer: `"1"`'),
    }),
  },
  responses: {
    200: ok(PaymentSchema, { description: "The payment", headers: ETAG }),
    304: { description: "The payment is still the one that If-None-Match names", headers: ETAG },
  },
  problems: ["payment_not_found"],
  problemExamples: INVALID_ID,
});

registerRoute(payments, get, async (c, { params }) => {
  const tags = readCondition(c, "If-None-Match");
  if (tags instanceof Response) return tags;
  const payment = await findPayment(c.get("db"), c.get("principal").merchantId, params.payment_id);
  if (!payment) return problem(c, "payment_not_found");
  const headers = { ETag: etagOf(payment) };
  return tags && isAmong(tags, headers.ETag)
    ? answer(c, 304, null, headers)
    : json(c, 200, toPaymentResponse(payment), headers);
});

function actionRoute(action: Action) {
  const { from, to, repeatable } = LIFECYCLE[action];
  const refusedFrom = STATUSES.find((status) => outcome(status, action) === "refused") ?? to;
  return createRoute({
    method: "post",
    path: `/api/v1/payments/{payment_id}/${action}`,
    operationId: `${action}Payment`,
    summary: `${action.charAt(0).toUpperCase()}${action.slice(1)} a payment`,
    description:
      `Moves a payment from status ${from.map((status) => `\`${status}\``).join(" or ")} to \`${to}\`. ` +
      (repeatable ? `Asked again, it answers 200 and changes nothing. ` : "") +
      "Takes no body. With an `Idempotency-Key`, a retry after a lost answer gets 200 and the payment as it is then. " +
      "With `If-Match`, it is refused with 412 when the payment has another version.",
    tags: ["Payments"],
    ...requiresScope(ACTION_SCOPES[action]),
    request: {
      params: PaymentPath,
      headers: z.object({
        "idempotency-key": idempotencyKeyHeader().optional(),
        "if-match": tagsHeader(
          'The version that you expect, as in `ETag` of an earlier answer: `"1"`, or `W/"1"` where a proxy has weakened it',
        ),
      }),
    },
    responses: {
      200: ok(PaymentSchema, {
        description: repeatable
          ? `The payment, which is now \`${to}\`, or was so before`
          : `The payment, which is now \`${to}\`; on a retry with its key, the payment as it is now`,
        headers: { ...ETAG, ...REPLAYED },
        example: { ...PAYMENT_EXAMPLE, status: to },
      }),
    },
    problems: [
      "idempotency_key_invalid",
      "payment_not_found",
      "action_not_allowed",
      "idempotency_key_reused",
      "precondition_failed",
      "payment_busy",
    ],
    problemExamples: {
      ...INVALID_IDEMPOTENCY_KEY,
      ...INVALID_ID,
      action_not_allowed: { detail: refusal(refusedFrom, action) },
    },
  });
}

for (const action of ACTIONS) {
  registerRoute(payments, actionRoute(action), async (c, { params }) => {
    const id = params.payment_id;
    const idempotency = await readIdempotency(c, action, id, {});
    if (idempotency instanceof Response) return idempotency;

    const tags = readCondition(c, "If-Match");
    if (tags instanceof Response) return tags;

    const request = { action, idempotency, expected: tags && expectedVersions(tags) };
    const result = await runAction(c.env.PAYMENT, c.get("db"), id, originOf(c), request);
    switch (result.tag) {
      case "not_found":
        return problem(c, "payment_not_found");
      case "key_reused":
        return problem(c, "idempotency_key_reused");
      case "busy":
        return problem(c, "payment_busy", { headers: { "Retry-After": "1" } });
      case "refused":
        return problem(c, "action_not_allowed", { detail: refusal(result.status, action) });
      case "outdated":
        return problem(c, "precondition_failed", {
          detail: `If-Match does not name the payment's version: its ETag is ${etagOf(result)}`,
          headers: { ETag: etagOf(result) },
        });
      case "replayed":
        return json(c, 200, toPaymentResponse(result.payment), { ETag: etagOf(result.payment), ...REPLAY });
      case "changed":
        enqueueDeliveries(c, result.deliveries);
        return json(c, 200, toPaymentResponse(result.payment), { ETag: etagOf(result.payment) });
      case "unchanged":
        return json(c, 200, toPaymentResponse(result.payment), { ETag: etagOf(result.payment) });
    }
  });
}

/** The tags of a condition, null without one, or the refusal of what is no list of tags. */
function readCondition(c: Context<App>, header: "If-Match" | "If-None-Match"): Tags | null | Response {
  const value = c.req.header(header);
  if (value === undefined) return null;
  const detail = 'Must be * or a list of entity tags, such as "1"';
  return readTags(value) ?? problem(c, "validation_failed", { errors: [{ detail, header }] });
}
