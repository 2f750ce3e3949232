/** What a webhook endpoint looks like from outside, in its own routes and in the events that are about it. */
import { z } from "@hono/zod-openapi";
import type { InferSelectModel } from "drizzle-orm";
import { EVENT_TYPE_NAMES, type EventType } from "./event-types";
import type { webhookEndpoints } from "./tables";

export const WEBHOOK_ENDPOINT_EXAMPLE = {
  id: 1,
  url: "https://shop.example.com/webhooks",
  url_set_by: "4fT9bQ2sXk7L",
  types: ["payment.confirmed" as const, "payment.refunded" as const],
  all_types: false,
  enabled: true,
  disabled_at: null,
  disabled_reason: null,
  failing_since: null,
  previous_secret_ends_at: null,
  created_at: "2026-01-16T16:57:41.614Z",
  updated_at: "2026-01-16T16:57:41.614Z",
};

const Time = z.iso.datetime();

const DisabledReason = z.enum(["requested", "gone", "failing", "key_revoked"]).openapi("WebhookDisabledReason", {
  description:
    "Why events are not sent: it was asked for, the endpoint answered 410, it has only failed for five days, or the API " +
    "key that set `url` was revoked; null while they are",
});

export const WebhookEndpointSchema = z
  .object({
    id: z.int().openapi({ description: "The endpoint's id" }),
    url: z.string().openapi({ description: "Where events are sent" }),
    url_set_by: z.string().nullable().openapi({
      description:
        "The API key that set `url`, whose revocation disables the endpoint; null where no key was asked for",
    }),
    types: z.array(z.enum(EVENT_TYPE_NAMES)).openapi({ description: "The types of events that are sent" }),
    all_types: z.boolean().openapi({
      description:
        "Whether the endpoint receives all types, also those that the service may have later; `types` lists today's",
    }),
    enabled: z.boolean().openapi({ description: "Whether events are sent" }),
    disabled_at: Time.nullable().openapi({ description: "Since when they are not; null while they are" }),
    // As `nullable()`, or with a description of its own, it would be several types in generated clients.
    disabled_reason: z.union([DisabledReason, z.null()]),
    failing_since: Time.nullable().openapi({ description: "The first failure after the last success" }),
    previous_secret_ends_at: Time.nullable().openapi({
      description: "Up to when the secret before this one signs too; null when there is none",
    }),
    created_at: Time.openapi({ description: "RFC 3339, in UTC" }),
    updated_at: Time.openapi({ description: "RFC 3339, in UTC" }),
  })
  .openapi("WebhookEndpoint", {
    description: "Where events are sent; the secret that signs them is shown once, when it is made",
    example: WEBHOOK_ENDPOINT_EXAMPLE,
  });

export type WebhookEndpointResponse = z.output<typeof WebhookEndpointSchema>;

/** What is shown of an endpoint; times in milliseconds. */
export interface ShownWebhookEndpoint
  extends Pick<
    InferSelectModel<typeof webhookEndpoints>,
    | "id"
    | "url"
    | "url_set_by"
    | "disabled_at"
    | "disabled_reason"
    | "failing_since"
    | "previous_secret_ends_at"
    | "created_at"
    | "updated_at"
  > {
  /** The types that it receives; null for all, also those that come later. */
  readonly types: readonly EventType[] | null;
}

/** A URL as those see it who need not know all of it: what follows the question mark may be a credential. */
export function withoutQuery(url: string): string {
  return url.replace(/\?.*$/s, "?…");
}

/** An endpoint as the API shows it at a time. */
export function toWebhookEndpointResponse(endpoint: ShownWebhookEndpoint, now: number): WebhookEndpointResponse {
  const time = (at: number | null) => (at === null ? null : new Date(at).toISOString());
  const { previous_secret_ends_at: end } = endpoint;
  return {
    id: endpoint.id,
    url: endpoint.url,
    url_set_by: endpoint.url_set_by,
    types: [...(endpoint.types ?? EVENT_TYPE_NAMES)],
    all_types: endpoint.types === null,
    enabled: endpoint.disabled_at === null,
    disabled_at: time(endpoint.disabled_at),
    disabled_reason: endpoint.disabled_reason,
    failing_since: time(endpoint.failing_since),
    previous_secret_ends_at: end !== null && now < end ? time(end) : null,
    created_at: new Date(endpoint.created_at).toISOString(),
    updated_at: new Date(endpoint.updated_at).toISOString(),
  };
}
