/** Refunds: created in parts, listed and read. */
import { z } from "@hono/zod-openapi";
import { json, jsonPage } from "../../http/answer";
import { CURSOR_MESSAGE } from "../../http/cursors";
import { expectedVersions } from "../../http/etag";
import { INVALID_IDEMPOTENCY_KEY, idempotencyKeyHeader, requireIdempotency } from "../../http/idempotency-header";
import { pageParameters, windowOf } from "../../http/pages";
import { problem } from "../../http/problem";
import { created, ok, page, replayed } from "../../http/responses";
import { refusal } from "../../payment/lifecycle";
import { refundId, toRefundResponse } from "../../payment/refund";
import { CARD_NUMBER, refuseCardNumbers } from "../../payment/routes/card-numbers";
import { readCondition, tagsHeader } from "../../payment/routes/conditions";
import { Amount, INVALID_ID, PaymentPath } from "../../payment/routes/payment-schemas";
import { REFUND_EXAMPLE, REFUND_ID_MESSAGE, RefundPath, RefundSchema } from "../../payment/routes/refund-schemas";
import { Metadata, shortText } from "../../payment/routes/text-schemas";
import { createRoute, newApp, registerRoute, requiresScope } from "../../route";
import { findRefund, listRefunds, placeIn } from "../refunds";
import { normalised } from "./action-schemas";
import { answerAction, remaining } from "./actions";

export const refunds = newApp();

const RefundBody = z
  .strictObject(
    {
      amount: Amount.optional().openapi({
        description:
          "What is given back, in major units of the payment's currency, with no more decimal places than that has; " +
          "without it, all that is left",
      }),
      reason: shortText("Why, for your own records and the provider's").optional(),
      metadata: Metadata.optional().openapi({
        description: "Pairs of your own, which the refund shows; of the form that a payment's have",
      }),
    },
    { error: "Must be a JSON object" },
  )
  .openapi("NewRefund", { description: "What is given back of a payment, and why" });

export const createRefundRoute = createRoute({
  method: "post",
  path: "/api/v1/payments/{payment_id}/refunds",
  operationId: "createRefund",
  summary: "Refund a payment, or a part of it",
  description:
    "Gives back a part of a `confirmed` payment, or all that is left of it, after which the payment is `refunded`. Refunds never " +
    "come to more than was captured, however many are asked for at once. However often a request is repeated with its key: one answer is 201, all " +
    "others are 200 with the same refund as it is then. With `If-Match`, it is refused with 412 when the payment has another version.",
  tags: ["Refunds"],
  ...requiresScope("refunds:write"),
  request: {
    params: PaymentPath,
    headers: z.object({
      "idempotency-key": idempotencyKeyHeader("refund-42-1"),
      "if-match": tagsHeader("The version of the payment that you expect, as in `ETag` of an earlier answer"),
    }),
    body: {
      required: true,
      content: {
        "application/json": {
          schema: RefundBody,
          examples: {
            part: { summary: "A part", value: { amount: 40, reason: REFUND_EXAMPLE.reason } },
            rest: { summary: "All that is left", value: {} },
          },
        },
      },
    },
  },
  responses: {
    201: created(RefundSchema, "/api/v1/refunds/re_1_3", { description: "The refund was created" }),
    200: replayed(RefundSchema, "/api/v1/refunds/re_1_3", {
      description: "The key has created this refund before; here it is as it is now",
    }),
  },
  problems: [
    "idempotency_key_missing",
    "idempotency_key_invalid",
    "payment_not_found",
    "action_not_allowed",
    "amount_exceeds_remaining",
    "operation_in_progress",
    "idempotency_key_reused",
    "precondition_failed",
    "card_number_refused",
    "payment_busy",
  ],
  problemExamples: {
    ...INVALID_IDEMPOTENCY_KEY,
    ...CARD_NUMBER,
    validation_failed: {
      errors: [{ detail: "Must have at most 2 decimal places in this currency", pointer: "#/amount" }],
    },
    action_not_allowed: { detail: refusal("pending", "refund") },
    amount_exceeds_remaining: remaining(59.99, "USD", "refunded"),
  },
});

registerRoute(refunds, createRefundRoute, async (c, { params, body }) => {
  const refused = refuseCardNumbers(c, body);
  if (refused) return refused;
  const { amount, reason, metadata = {} } = body;
  const asked = {
    amount: amount === undefined ? null : normalised(amount),
    reason: reason ?? null,
    metadata: Object.entries(metadata),
  };
  const idempotency = await requireIdempotency(c, "create_refund", params.payment_id, asked);
  if (idempotency instanceof Response) return idempotency;

  const tags = readCondition(c, "If-Match");
  if (tags instanceof Response) return tags;

  const request = {
    action: "refund" as const,
    idempotency,
    expected: tags && expectedVersions(tags),
    amount: amount ?? null,
    refund: { reason: asked.reason, metadata },
  };
  return answerAction(c, params.payment_id, request, (_, { tag, refund, ...success }, headers) => {
    if (!refund) throw new Error("A refund that was made is not found");
    const isReplay = tag === "replayed" || ("isReplay" in success && success.isReplay);
    const status = isReplay ? 200 : 201;
    return json(c, status, toRefundResponse(refund), { Location: `/api/v1/refunds/${refundId(refund)}`, ...headers });
  });
});

const READING = { tags: ["Refunds"], ...requiresScope("payments:read") };

export const listRefundsRoute = createRoute({
  method: "get",
  path: "/api/v1/payments/{payment_id}/refunds",
  operationId: "listRefunds",
  summary: "List the refunds of a payment",
  description: "What was given back of a payment, newest first: also what was refunded by the action `refund`.",
  ...READING,
  request: { params: PaymentPath, query: z.strictObject(pageParameters("refunds", "string")) },
  responses: { 200: page(RefundSchema, "RefundPage", "A page of refunds, newest first") },
  problems: ["payment_not_found"],
  problemExamples: INVALID_ID,
});

registerRoute(refunds, listRefundsRoute, async (c, { params, query }) => {
  const window = windowOf(query);
  if (window.position && placeIn(window.position)?.payment_id !== params.payment_id) {
    return problem(c, "validation_failed", { errors: [{ detail: CURSOR_MESSAGE, parameter: "cursor" }] });
  }
  const found = await listRefunds(c.get("db"), c.get("principal").merchantId, params.payment_id, window);
  if (!found) return problem(c, "payment_not_found");
  return jsonPage(c, found, toRefundResponse);
});

export const getRefundRoute = createRoute({
  method: "get",
  path: "/api/v1/refunds/{refund_id}",
  operationId: "getRefund",
  summary: "Get a refund",
  description: "Reads a refund as it is now.",
  ...READING,
  request: { params: RefundPath },
  responses: { 200: ok(RefundSchema, { description: "The refund" }) },
  problems: ["refund_not_found"],
  problemExamples: { validation_failed: { errors: [{ detail: REFUND_ID_MESSAGE, parameter: "refund_id" }] } },
});

registerRoute(refunds, getRefundRoute, async (c, { params: { refund_id } }) => {
  const refund = await findRefund(c.get("db"), c.get("principal").merchantId, refund_id);
  return refund ? json(c, 200, toRefundResponse(refund)) : problem(c, "refund_not_found");
});
