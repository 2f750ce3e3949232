/** The payments API: each route with its handler. */
import { z } from "@hono/zod-openapi";
import { answer, json } from "../../http/answer";
import { isAmong } from "../../http/etag";
import {
  INVALID_IDEMPOTENCY_KEY,
  idempotencyKeyHeader,
  REPLAY,
  requireIdempotency,
} from "../../http/idempotency-header";
import { problem } from "../../http/problem";
import { created, ok, replayed } from "../../http/responses";
import { enqueueDeliveries } from "../../outbox/outbox";
import { createRoute, hasRoom, newApp, originOf, registerRoute, requiresScope } from "../../route";
import { createPayment, findCreated } from "../create";
import { findPayment } from "../find";
import { toPaymentResponse } from "../response";
import { ETAG, readCondition, tagsHeader } from "./conditions";
import { etagOf, INVALID_ID, NewPaymentSchema, PaymentPath, PaymentSchema } from "./payment-schemas";

export const payments = newApp();

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
