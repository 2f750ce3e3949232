/** The history of a payment. */
import { createRoute, z } from "@hono/zod-openapi";
import { json } from "../../http/answer";
import { problem, problemResponses } from "../../http/problem";
import { SECURED } from "../../http/problem-kinds";
import { demands, endpoint, newApp } from "../../route";
import { findEvents } from "../history";
import { presentEvent } from "../presentation";
import { EventSchema } from "./event-schemas";
import { PaymentPath, WRONG_ID } from "./payment-schemas";

export const paymentEvents = newApp();

const list = createRoute({
  method: "get",
  path: "/api/v1/payments/{payment_id}/events",
  operationId: "listPaymentEvents",
  summary: "A payment's history",
  description: "Everything that has happened to a payment, oldest first, with the request and the API key that did it.",
  tags: ["Payments"],
  ...demands("events:read"),
  request: { params: PaymentPath },
  responses: {
    200: {
      description: "All events of the payment",
      content: {
        "application/json": {
          schema: z.object({ data: z.array(EventSchema).openapi({ description: "Oldest first" }) }),
        },
      },
    },
    ...problemResponses(["payment_not_found", "body_too_large", "validation_failed", ...SECURED], WRONG_ID),
  },
});

endpoint(paymentEvents, list, async (c, { params }) => {
  const events = await findEvents(c.get("db"), c.get("principal").merchantId, params.payment_id);
  // Every payment has its creation.
  return events.length > 0 ? json(c, 200, { data: events.map(presentEvent) }) : problem(c, "payment_not_found");
});
