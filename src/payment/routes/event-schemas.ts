/** What events look like from outside: schemas and parameters. */
import { z } from "@hono/zod-openapi";
import { choiceOf, integerParameter, timeParameter } from "../../http/fields";
import { WEBHOOK_ENDPOINT_EXAMPLE, WebhookEndpointSchema } from "../../outbox/endpoint-schemas";
import { EVENT_ID_PATTERN, readEventId } from "../../outbox/event-id";
import {
  EVENT_TYPE_NAMES,
  PAYMENT_EVENT_TYPE_NAMES,
  WEBHOOK_ENDPOINT_EVENT_TYPE_NAMES,
} from "../../outbox/event-types";
import type { EventResponse, PaymentEventResponse, WebhookEndpointEventResponse } from "../response";
import { DisputeSchema, ReconciliationItemSchema } from "./dispute-schemas";
import { PAYMENT_EXAMPLE, PaymentSchema } from "./payment-schemas";
import { RefundSchema } from "./refund-schemas";

export const EVENT_EXAMPLE = {
  id: "evt_1_2",
  type: "payment.confirmed",
  timestamp: "2026-01-16T16:58:02.107Z",
  sequence: 2,
  data: {
    ...PAYMENT_EXAMPLE,
    status: "confirmed" as const,
    amount_captured: PAYMENT_EXAMPLE.amount,
    amount_refundable: PAYMENT_EXAMPLE.amount,
    updated_at: "2026-01-16T16:58:02.107Z",
  },
  previous: { status: "pending", amount_captured: 0, amount_refundable: 0, updated_at: PAYMENT_EXAMPLE.updated_at },
  refund: null,
  dispute: null,
  reconciliation_item: null,
  request_id: "0b96e0f7-5f0f-4ae2-a9d0-3c2f5f6f9f5e",
  key_id: "4fT9bQ2sXk7L",
  idempotency_key: "confirm-order-42",
};

export const PaymentEventSchema = z
  .object({
    id: z.string().openapi({ description: "Names the event, and never changes" }),
    type: z.enum(PAYMENT_EVENT_TYPE_NAMES).openapi({ description: "What happened" }),
    timestamp: z.iso.datetime().openapi({ description: "When it happened; RFC 3339, in UTC" }),
    sequence: z.int().min(1).openapi({ description: "1, 2, 3 … for each payment, without gaps" }),
    // With a description of its own it would be another type in the document.
    data: PaymentSchema,
    previous: z.record(z.string(), z.unknown()).openapi({ description: "What it changed, as that was before" }),
    // What the event tells of, as it was then. With a description of its own it would be another type.
    refund: z.union([RefundSchema, z.null()]),
    dispute: z.union([DisputeSchema, z.null()]),
    reconciliation_item: z.union([ReconciliationItemSchema, z.null()]),
    request_id: z.string().openapi({ description: "The request that did it" }),
    key_id: z.string().nullable().openapi({ description: "The API key that did it; null where none was asked for" }),
    idempotency_key: z.string().nullable().openapi({
      description:
        "The Idempotency-Key of the request that did it; null where it had none, and of events that are older than this field",
    }),
  })
  .openapi("PaymentEvent", {
    description:
      "That something happened to a payment; `data` is the payment as it was then, `refund`, `dispute` and `reconciliation_item` what it is about, or null",
    example: EVENT_EXAMPLE,
  }) satisfies z.ZodType<PaymentEventResponse>;

export const WEBHOOK_ENDPOINT_EVENT_EXAMPLE = {
  id: "evt_m1_7",
  type: "webhook_endpoint.disabled" as const,
  timestamp: "2026-01-21T16:58:02.107Z",
  data: {
    ...WEBHOOK_ENDPOINT_EXAMPLE,
    enabled: false,
    disabled_at: "2026-01-21T16:58:02.107Z",
    disabled_reason: "failing" as const,
    failing_since: WEBHOOK_ENDPOINT_EXAMPLE.created_at,
    updated_at: "2026-01-21T16:58:02.107Z",
  },
  request_id: "6c3b6f0e-8a3e-4d0b-9c62-0f4f1a6a7f11",
  key_id: null,
};

export const WebhookEndpointEventSchema = z
  .object({
    id: z.string().openapi({ description: "Names the event, and never changes" }),
    type: z.enum(WEBHOOK_ENDPOINT_EVENT_TYPE_NAMES).openapi({ description: "What happened" }),
    timestamp: z.iso.datetime().openapi({ description: "When it happened; RFC 3339, in UTC" }),
    data: WebhookEndpointSchema,
    request_id: z
      .string()
      .openapi({ description: "The request that did it, or the attempt after which the service did" }),
    key_id: z.string().nullable().openapi({ description: "The API key that did it; null where the service did" }),
  })
  .openapi("WebhookEndpointEvent", {
    description:
      "That the service has disabled a webhook endpoint; `data` is the endpoint as it was then, its `url` without a query",
    example: WEBHOOK_ENDPOINT_EVENT_EXAMPLE,
  }) satisfies z.ZodType<WebhookEndpointEventResponse>;

/** Any event of the feed; `type` tells them apart. */
export const EventSchema = z
  .discriminatedUnion("type", [PaymentEventSchema, WebhookEndpointEventSchema])
  .openapi("Event", {
    description: "Something that happened; `type` says what, and so what `data` is",
  }) satisfies z.ZodType<EventResponse>;

/** The query parameters that choose events, in the feed and in the log of deliveries. */
export const EventFilters = {
  type: choiceOf("type", EVENT_TYPE_NAMES).optional(),
  payment_id: integerParameter("payment_id", "query", "The payment whose events are meant").optional(),
  created_from: timeParameter("created_from", "from", "Only events from this time on").optional(),
  created_to: timeParameter("created_to", "to", "Only events up to this time").optional(),
};

export const EVENT_ID_MESSAGE = "Must be an event's id, such as evt_1_2";

export const EventPath = z.object({
  event_id: z
    .string()
    .transform((text, context) => {
      const read = readEventId(text);
      if (read) return read;
      context.addIssue({ code: "custom", message: EVENT_ID_MESSAGE });
      return z.NEVER;
    })
    .openapi({
      param: { name: "event_id", in: "path" },
      type: "string",
      pattern: EVENT_ID_PATTERN,
      description: "The event's id",
      example: "evt_1_2",
    }),
});
