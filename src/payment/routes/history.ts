/** The history of a payment. */
import { z } from "@hono/zod-openapi";
import { json } from "../../http/answer";
import { problem } from "../../http/problem";
import { ok } from "../../http/responses";
import { createRoute, newApp, registerRoute, requiresScope } from "../../route";
import { findEvents } from "../history";
import { toPaymentEventResponse } from "../response";
import { PaymentEventSchema } from "./event-schemas";
import { INVALID_ID, PaymentPath } from "./payment-schemas";

export const paymentEvents = newApp();

const PaymentHistory = z
  .object({ data: z.array(PaymentEventSchema).openapi({ description: "Oldest first" }) })
  .openapi("PaymentHistory", { description: "All events of a payment, oldest first" });

export const listPaymentEventsRoute = createRoute({
  method: "get",
  path: "/api/v1/payments/{payment_id}/events",
  operationId: "listPaymentEvents",
  summary: "A payment's history",
  description: "Everything that has happened to a payment, oldest first, with the request and the API key that did it.",
  tags: ["Payments"],
  ...requiresScope("events:read"),
  request: { params: PaymentPath },
  responses: {
    200: ok(PaymentHistory, { description: "All events of the payment" }),
  },
  problems: ["payment_not_found"],
  problemExamples: INVALID_ID,
});

registerRoute(paymentEvents, listPaymentEventsRoute, async (c, { params }) => {
  const events = await findEvents(c.get("db"), c.get("principal").merchantId, params.payment_id);
  // Every payment has its creation.
  return events.length > 0
    ? json(c, 200, { data: events.map(toPaymentEventResponse) })
    : problem(c, "payment_not_found");
});
