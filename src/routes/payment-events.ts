/** The history of a payment. */
import { createRoute, z } from "@hono/zod-openapi";
import { json } from "../answer";
import { demands, endpoint, newApp } from "../endpoint";
import { findEvents, type PaymentEvent } from "../payment/history";
import { eventType, STATUSES } from "../payment/lifecycle";
import { problem, problemResponses } from "../problem";
import { SECURED } from "../problem-kinds";
import { PAYMENT_EXAMPLE, PaymentPath, PaymentSchema, present, WRONG_ID } from "./payment-schemas";

export const paymentEvents = newApp();

export const EventSchema = z
  .object({
    id: z.string().openapi({ description: "Names the event, and never changes" }),
    type: z.enum(STATUSES.map(eventType)).openapi({ description: "What happened" }),
    sequence: z.int().min(1).openapi({ description: "1, 2, 3 … for each payment, without gaps" }),
    timestamp: z.iso.datetime().openapi({ description: "When it happened; RFC 3339, in UTC" }),
    data: PaymentSchema.openapi({ description: "The payment as it was then" }),
    previous: z.record(z.string(), z.unknown()).openapi({ description: "What it changed, as that was before" }),
    request_id: z.string().openapi({ description: "The request that did it" }),
    key_id: z.string().nullable().openapi({ description: "The API key that did it; null where none was asked for" }),
  })
  .openapi("PaymentEvent", {
    description: "That something happened to a payment",
    example: {
      id: "evt_1_2",
      type: "payment.confirmed",
      sequence: 2,
      timestamp: "2026-01-16T16:58:02.107Z",
      data: { ...PAYMENT_EXAMPLE, status: "confirmed", updated_at: "2026-01-16T16:58:02.107Z" },
      previous: { status: "pending", updated_at: PAYMENT_EXAMPLE.updated_at },
      request_id: "0b96e0f7-5f0f-4ae2-a9d0-3c2f5f6f9f5e",
      key_id: "4fT9bQ2sXk7L",
    },
  });

function presentEvent({ payment, before, sequence, type, created_at, request_id, key_id }: PaymentEvent) {
  const data = present(payment);
  const changed = Object.entries(before ? present(before) : {}).filter(
    ([name, value]) => typeof value !== "object" && value !== Reflect.get(data, name),
  );
  return {
    id: `evt_${payment.id}_${sequence}`,
    type,
    sequence,
    timestamp: new Date(created_at).toISOString(),
    data,
    previous: Object.fromEntries(changed),
    request_id,
    key_id,
  };
}

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
