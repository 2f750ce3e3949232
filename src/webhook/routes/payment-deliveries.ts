/** The deliveries of one payment: what each endpoint of its merchant was told of it. */
import { z } from "@hono/zod-openapi";
import { json } from "../../http/answer";
import { problem } from "../../http/problem";
import { ok } from "../../http/responses";
import { withoutQuery } from "../../outbox/endpoint-schemas";
import { INVALID_ID, PaymentPath } from "../../payment/routes/payment-schemas";
import { createRoute, newApp, registerRoute, requiresScope } from "../../route";
import { listPaymentDeliveries, MAX_EVENTS_READ } from "../payment-deliveries";
import { DeliverySchema, toDeliveryResponse } from "./schemas";

export const paymentDeliveries = newApp();

const PaymentDeliverySchema = z
  .object({
    endpoint_id: z.int().openapi({ description: "The endpoint that it goes to" }),
    endpoint_url: z.string().openapi({ description: "Where that is, without a query" }),
    ...DeliverySchema.shape,
    attempts: DeliverySchema.shape.attempts.openapi({ description: "The newest one, or none" }),
  })
  .openapi("PaymentDelivery", { description: "What has come of delivering a payment's event to one endpoint" });

export const listPaymentDeliveriesRoute = createRoute({
  method: "get",
  path: "/api/v1/payments/{payment_id}/deliveries",
  operationId: "listPaymentDeliveries",
  summary: "What was sent of a payment",
  description:
    `The deliveries of a payment's newest ${MAX_EVENTS_READ} events to each webhook endpoint that is not deleted, newest event first, each ` +
    "with its newest attempt. The log of an endpoint, with `payment_id`, has the others.",
  tags: ["Webhooks"],
  ...requiresScope("webhooks:manage"),
  request: { params: PaymentPath },
  responses: {
    200: ok(
      z
        .object({ data: z.array(PaymentDeliverySchema).openapi({ description: "Newest event first" }) })
        .openapi("PaymentDeliveries", { description: "What was sent of a payment" }),
      { description: "The deliveries" },
    ),
  },
  problems: ["payment_not_found"],
  problemExamples: INVALID_ID,
});

registerRoute(paymentDeliveries, listPaymentDeliveriesRoute, async (c, { params }) => {
  const found = await listPaymentDeliveries(c.get("db"), c.get("principal").merchantId, params.payment_id);
  if (found === null) return problem(c, "payment_not_found");
  const data = found.map(({ endpoint_id, url, ...delivery }) => ({
    endpoint_id,
    endpoint_url: withoutQuery(url),
    ...toDeliveryResponse(delivery),
  }));
  return json(c, 200, { data });
});
