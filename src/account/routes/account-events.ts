/** The API of the trail: who changed API keys, webhook endpoints and merchants, and when. */
import { z } from "@hono/zod-openapi";
import { jsonPage } from "../../http/answer";
import { choiceOf, oneOrSeveralOf, timeParameter } from "../../http/fields";
import { pageParameters, windowOf } from "../../http/pages";
import { page } from "../../http/responses";
import { withoutQuery } from "../../outbox/endpoint-schemas";
import { createRoute, newApp, registerRoute, requiresScope } from "../../route";
import { type AccountEvent, listAccountEvents } from "../account-events";
import { ACCOUNT_EVENT_TYPES } from "../event-types";
import { requestedMerchant } from "./grants";
import { MerchantParameter } from "./merchant-schemas";

export const accountEvents = newApp();

const AccountEventSchema = z
  .object({
    id: z.int().openapi({ description: "The event's id" }),
    type: z.enum(ACCOUNT_EVENT_TYPES).openapi({ description: "What happened" }),
    timestamp: z.iso.datetime().openapi({ description: "When it happened; RFC 3339, in UTC" }),
    merchant_id: z.int().openapi({ description: "The owner of what changed" }),
    subject: z.string().openapi({
      description:
        "The id of what changed: of an API key, a webhook endpoint, a provider account, a reconciliation item or run, or the merchant, as " +
        "`type` says",
    }),
    data: z.record(z.string(), z.unknown()).openapi({
      description: "What it was given. Never a secret; a URL is without its query, in which one may stand",
    }),
    request_id: z.string().openapi({ description: "The request that did it" }),
    key_id: z
      .string()
      .nullable()
      .openapi({
        description:
          "The public id of the key that did it, of the administrator's too; null in open mode, and where the service " +
          "itself disabled a webhook endpoint",
      }),
  })
  .openapi("AccountEvent", {
    description: "A change of an API key, a webhook endpoint or a merchant",
    example: {
      id: 7,
      type: "api_key.created" as const,
      timestamp: "2026-01-16T16:57:41.614Z",
      merchant_id: 2,
      subject: "4fT9bQ2sXk7L",
      data: { name: "Order service", scopes: ["payments:read", "payments:write"], expires_at: null },
      request_id: "0b96e0f7-5f0f-4ae2-a9d0-3c2f5f6f9f5e",
      key_id: "9cW3dR5tYm8N",
    },
  });

export const listAccountEventsRoute = createRoute({
  method: "get",
  path: "/api/v1/account-events",
  operationId: "listAccountEvents",
  summary: "List account events",
  description:
    "Every change of a merchant, its API keys and its webhook endpoints, newest first, in the order in which they were " +
    "committed.",
  tags: ["Account events"],
  ...requiresScope("account:read"),
  request: {
    query: z.strictObject({
      ...pageParameters("account-events"),
      type: choiceOf("type", ACCOUNT_EVENT_TYPES).optional(),
      created_from: timeParameter("created_from", "from", "Only events from this time on").optional(),
      created_to: timeParameter("created_to", "to", "Only events up to this time").optional(),
      merchant_id: MerchantParameter.optional(),
    }),
  },
  responses: {
    200: page(AccountEventSchema, "AccountEventPage", "A page of account events, newest first"),
  },
  problems: [],
  problemExamples: {
    validation_failed: { errors: [{ detail: oneOrSeveralOf(ACCOUNT_EVENT_TYPES), parameter: "type" }] },
  },
});

registerRoute(
  accountEvents,
  listAccountEventsRoute,
  async (c, { query }) => {
    const merchantId = requestedMerchant(c, query.merchant_id, { parameter: "merchant_id" });
    if (merchantId instanceof Response) return merchantId;
    const { type: types, created_from: from, created_to: to } = query;
    const found = await listAccountEvents(c.get("db"), merchantId, { types, from, to }, windowOf(query));
    return jsonPage(c, found, toAccountEventResponse);
  },
  { isCostly: ({ query }) => query.type !== undefined },
);

function toAccountEventResponse(event: AccountEvent): z.output<typeof AccountEventSchema> {
  const { id, type, created_at, merchant_id, subject, data, request_id, key_id } = event;
  const timestamp = new Date(created_at).toISOString();
  return { id, type, timestamp, merchant_id, subject, data: JSON.parse(data, toDataResponse), request_id, key_id };
}

/** A value in an event's data as the API shows it: times as texts, and URLs without what may be a credential. */
function toDataResponse(name: string, value: unknown): unknown {
  if (name.endsWith("_at") && typeof value === "number") return new Date(value).toISOString();
  if (name === "url" && typeof value === "string") return withoutQuery(value);
  return value;
}
