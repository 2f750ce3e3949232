/** What webhook endpoints and their deliveries look like from outside: schemas and their mapping. */
import { z } from "@hono/zod-openapi";
import {
  integerParameter,
  LIST_LENGTH_MESSAGE,
  MAX_LIST_LENGTH,
  NOT_AN_OBJECT_MESSAGE,
  oneOrSeveralOf,
  POSITIVE_INTEGER_MESSAGE,
} from "../../http/fields";
import { WEBHOOK_ENDPOINT_EXAMPLE, WebhookEndpointSchema } from "../../outbox/endpoint-schemas";
import { eventId } from "../../outbox/event-id";
import { EVENT_TYPE_NAMES, type EventType } from "../../outbox/event-types";
import { DELIVERY_STATE_NAMES, DELIVERY_STATES } from "../../outbox/states";
import { MAX_ATTEMPTS_KEPT } from "../deliveries";
import { type Delivery, MAX_ATTEMPTS_IN_PAGE } from "../delivery-log";
import type { Attempt } from "../send";
import { MAX_URL_LENGTH, readUrl } from "../url";

export const WebhookEndpointPath = z.object({
  endpoint_id: integerParameter("endpoint_id", "path", "The endpoint's id").openapi({ example: 1 }),
});
export const INVALID_ENDPOINT_ID = {
  validation_failed: { errors: [{ detail: POSITIVE_INTEGER_MESSAGE, parameter: "endpoint_id" }] },
};

const Time = z.iso.datetime();

export const NewWebhookEndpointSchema = z
  .object({
    ...WebhookEndpointSchema.shape,
    secret: z.string().openapi({
      description: "Signs what is sent here, as the Standard Webhooks specification says. It is shown this once.",
    }),
  })
  .openapi("NewWebhookEndpoint", {
    description: "A webhook endpoint with its new secret",
    example: { ...WEBHOOK_ENDPOINT_EXAMPLE, secret: "whsec_bm90IGEgc2VjcmV0LCBhbiBleGFtcGxlIG9mIG9uZSE=" },
  });

/** What a URL must be anywhere; whether it may name this machine or service is checked where those are known. */
const Url = z
  .string({ error: (issue) => (issue.input === undefined ? "Field required" : "Must be a string") })
  .superRefine((text, context) => {
    const read = readUrl(text, { allowLoopback: true, ownDomains: [] });
    if (!read.ok) context.addIssue({ code: "custom", message: read.detail });
  })
  // Without a format: what URLs are is said by the WHATWG here, which takes more than RFC 3986 calls a URI.
  .openapi({
    maxLength: MAX_URL_LENGTH,
    description:
      "Where events are sent: https, with the name of a public host, port 443 or 8443, without credentials and fragment",
  });

const TYPES_MESSAGE = oneOrSeveralOf(EVENT_TYPE_NAMES);
const Types = z
  .array(z.enum(EVENT_TYPE_NAMES, { error: TYPES_MESSAGE }), { error: TYPES_MESSAGE })
  .min(1, { error: TYPES_MESSAGE })
  .max(MAX_LIST_LENGTH, { error: LIST_LENGTH_MESSAGE })
  .transform((types) => EVENT_TYPE_NAMES.filter((type) => types.includes(type)))
  .openapi({ description: "The types of events that are sent; all, also those that come later, when left out" });
/** Left out, a change leaves them alone. */
const ChangedTypes = Types.openapi({
  description: "The types of events that are sent from now on; they stay as they are when left out",
});

const ALL_TYPES_MESSAGE = "Must be true; to receive some types, name them in types";
const AllTypes = z.literal(true, { error: ALL_TYPES_MESSAGE }).openapi({
  description: "Instead of `types`: the endpoint receives all types, also those that come later",
});

interface ChosenTypes {
  readonly types?: readonly EventType[] | undefined;
  readonly all_types?: true | undefined;
}

/** One of the two says what an endpoint receives. */
function refuseBoth({ types, all_types }: ChosenTypes, context: z.RefinementCtx): void {
  if (types === undefined || all_types === undefined) return;
  context.addIssue({ code: "custom", path: ["all_types"], message: "Leave out either types or all_types" });
}

/** What is chosen: null for all types, undefined when nothing is. */
export function chosenTypes({ types, all_types }: ChosenTypes): readonly EventType[] | null | undefined {
  return all_types ? null : types;
}

export const WebhookEndpointToCreate = z
  .strictObject({ url: Url, types: Types.optional(), all_types: AllTypes.optional() }, NOT_AN_OBJECT_MESSAGE)
  .superRefine(refuseBoth)
  .openapi("WebhookEndpointToCreate", {
    description: "What a webhook endpoint is made of",
    example: { url: WEBHOOK_ENDPOINT_EXAMPLE.url, types: WEBHOOK_ENDPOINT_EXAMPLE.types },
  });

export const WebhookEndpointChanges = z
  .strictObject(
    {
      url: Url.optional(),
      types: ChangedTypes.optional(),
      all_types: AllTypes.optional(),
      enabled: z.boolean({ error: "Must be true or false" }).optional().openapi({
        description: "false cancels what is still to be sent; while it is false, events are not sent, nor later",
      }),
    },
    NOT_AN_OBJECT_MESSAGE,
  )
  .superRefine(refuseBoth)
  .openapi("WebhookEndpointChanges", {
    description: "What to change of a webhook endpoint",
    example: { enabled: false },
  });

const ATTEMPT_EXAMPLE = {
  at: "2026-01-16T16:58:02.460Z",
  duration_ms: 87,
  http_status: 204,
  error: null,
  answer: "",
};

const AttemptShape = {
  at: Time.openapi({ description: "When it began; RFC 3339, in UTC" }),
  duration_ms: z.int().openapi({ description: "How long it took, in milliseconds" }),
  http_status: z.int().nullable().openapi({ description: "What was answered; null when nothing was" }),
  error: z.string().nullable().openapi({
    description:
      "Why nothing was answered: no more than that there was no connection, or that the URL is not allowed; or why nothing was sent",
  }),
  answer: z
    .string()
    .openapi({ description: "The beginning of the answer's body, up to 512 bytes, with control characters replaced" }),
};

const AttemptSchema = z
  .object(AttemptShape)
  .openapi("DeliveryAttempt", { description: "One attempt of a delivery", example: ATTEMPT_EXAMPLE });

export function toAttemptResponse({ at, duration_ms, status, error, answer }: Attempt): z.output<typeof AttemptSchema> {
  return { at: new Date(at).toISOString(), duration_ms, http_status: status, error, answer };
}

export const TestSchema = z
  .object({
    event_id: z.string().openapi({ description: "The `webhook-id` that it was sent with" }),
    succeeded: z.boolean().openapi({ description: "Whether the endpoint answered with a 2xx status" }),
    ...AttemptShape,
  })
  .openapi("WebhookTest", {
    description: "What came of a test event",
    example: { event_id: "evt_test_0b96e0f7", succeeded: true, ...ATTEMPT_EXAMPLE },
  });

export const DeliverySchema = z
  .object({
    event_id: z.string().openapi({ description: "The event that is delivered; names the delivery, too" }),
    event_type: z.enum(EVENT_TYPE_NAMES).openapi({ description: "What happened" }),
    status: z.enum(DELIVERY_STATE_NAMES).openapi({
      description: Object.entries(DELIVERY_STATES)
        .map(([state, meaning]) => `\`${state}\`: ${meaning}`)
        .join("; "),
    }),
    next_attempt_at: Time.nullable().openapi({ description: "When it is sent next; null when it is not" }),
    attempt_count: z.int().openapi({ description: "How often it was sent" }),
    attempts: z.array(AttemptSchema).openapi({
      description: `The newest ${MAX_ATTEMPTS_KEPT}, in a list the newest ${MAX_ATTEMPTS_IN_PAGE}; oldest first`,
    }),
    created_at: Time.openapi({ description: "RFC 3339, in UTC" }),
  })
  .openapi("WebhookDelivery", {
    description: "What has come of delivering an event to an endpoint",
    example: {
      event_id: "evt_1_2",
      event_type: "payment.confirmed",
      status: "succeeded",
      next_attempt_at: null,
      attempt_count: 1,
      attempts: [ATTEMPT_EXAMPLE],
      created_at: "2026-01-16T16:58:02.107Z",
    },
  });

export function toDeliveryResponse(delivery: Delivery): z.output<typeof DeliverySchema> {
  const { next_attempt_at: next } = delivery;
  return {
    event_id: eventId(delivery),
    event_type: delivery.type,
    status: delivery.state,
    next_attempt_at: next === null ? null : new Date(next).toISOString(),
    attempt_count: delivery.attempted,
    attempts: delivery.attempts.map(toAttemptResponse),
    created_at: new Date(delivery.created_at).toISOString(),
  };
}
