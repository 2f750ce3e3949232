/** Changing a payment's description and metadata. */
import { z } from "@hono/zod-openapi";
import { expectedVersions } from "../../http/etag";
import {
  INVALID_IDEMPOTENCY_KEY,
  idempotencyKeyHeader,
  REPLAYED,
  readIdempotency,
} from "../../http/idempotency-header";
import { ok } from "../../http/responses";
import { CARD_NUMBER, refuseCardNumbers } from "../../payment/routes/card-numbers";
import { ETAG, readCondition, tagsHeader } from "../../payment/routes/conditions";
import { INVALID_ID, PaymentPath, PaymentSchema } from "../../payment/routes/payment-schemas";
import { PaymentChangesSchema } from "../../payment/routes/text-schemas";
import { createRoute, newApp, registerRoute, requiresScope } from "../../route";
import { answerAction, shownAs } from "./actions";

export const paymentUpdate = newApp();

export const updatePaymentRoute = createRoute({
  method: "patch",
  path: "/api/v1/payments/{payment_id}",
  operationId: "updatePayment",
  summary: "Change a payment's description and metadata",
  description:
    "Sets and removes metadata, and the description, in any status: `null` removes. Of a payment that has these texts already it " +
    "changes nothing. What they were before is told by the event `payment.updated`, and stays in the payment's history. With an " +
    "`Idempotency-Key`, a retry after a lost answer gets the payment as it is then. With `If-Match`, it is refused with 412 when the " +
    "payment has another version.",
  tags: ["Payments"],
  ...requiresScope("payments:write"),
  request: {
    params: PaymentPath,
    headers: z.object({
      "idempotency-key": idempotencyKeyHeader().optional(),
      "if-match": tagsHeader(
        'The version that you expect, as in `ETag` of an earlier answer: `"1"`, or `W/"1"` where a proxy has weakened it',
      ),
    }),
    body: { required: true, content: { "application/json": { schema: PaymentChangesSchema } } },
  },
  responses: {
    200: ok(PaymentSchema, {
      description: "The payment, which has these texts now",
      headers: { ...ETAG, ...REPLAYED },
    }),
  },
  problems: [
    "idempotency_key_invalid",
    "payment_not_found",
    "idempotency_key_reused",
    "precondition_failed",
    "payment_busy",
    "card_number_refused",
  ],
  problemExamples: { ...INVALID_IDEMPOTENCY_KEY, ...INVALID_ID, ...CARD_NUMBER },
});

registerRoute(
  paymentUpdate,
  updatePaymentRoute,
  async (c, { params, body }) => {
    const { description, metadata = {} } = body;
    const set = Object.entries(metadata).flatMap(([name, value]) => (value === null ? [] : [[name, value] as const]));
    const refused = refuseCardNumbers(c, { description: description ?? null, metadata: Object.fromEntries(set) });
    if (refused) return refused;

    const fields = {
      ...(description !== undefined && { description }),
      ...(Object.keys(metadata).length > 0 && { metadata: Object.entries(metadata) }),
    };
    const idempotency = await readIdempotency(c, "update", params.payment_id, fields);
    if (idempotency instanceof Response) return idempotency;
    const tags = readCondition(c, "If-Match");
    if (tags instanceof Response) return tags;

    const expected = tags && expectedVersions(tags);
    const changes = { ...(description !== undefined && { description }), metadata };
    return answerAction(c, params.payment_id, { action: "update", idempotency, expected, changes }, shownAs(200));
  },
  { needsRoom: true },
);
