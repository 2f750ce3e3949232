/**
 * Events of webhook endpoints that the service disables: the statements that record one, and deliver it to the merchant's
 * other endpoints, in the batch that disables.
 */
import type { Origin } from "../context";
import { commitTime } from "../storage/clock";
import { raw, type Sql, sql } from "../storage/sql";
import type { ShownWebhookEndpoint } from "./endpoint-schemas";
import { EVENT_TYPE_NAMES, type EventType } from "./event-types";
import { insertDeliveriesOf, MAX_ENDPOINTS, type OwnedDelivery } from "./outbox";

/** What an event keeps of its endpoint: how it was just after, with the types that there were. */
export interface EndpointSnapshot extends ShownWebhookEndpoint {
  readonly types: readonly EventType[];
  readonly all_types: boolean;
}

/** Who or what disables endpoints; `keyId` is null where the service does by itself. */
type Disabler = Pick<Origin, "requestId" | "commitId" | "keyId" | "now">;

/** What an event of an endpoint stores beside its data, in bytes, about. */
const EVENT_BYTES = 150;

/**
 * Records that endpoints are disabled: an event of each, after the newest of its merchant. It stands before the statement
 * that disables them, with the same condition, so that running the batch again records nothing.
 *
 * @param condition chooses rows of `webhook_endpoints`, none of which is disabled yet
 */
export function insertDisabledEvents(
  condition: Sql,
  reason: NonNullable<ShownWebhookEndpoint["disabled_reason"]>,
  { requestId, commitId, keyId, now }: Disabler,
): Sql {
  const ofMerchant = raw("OVER (PARTITION BY disabled.merchant_id ORDER BY disabled.id)");
  return sql`
  INSERT INTO events (merchant_id, position, type, data, request_id, commit_id, key_id, created_at, stored_bytes)
  SELECT disabled.merchant_id, coalesce(newest.position, 0) + row_number() ${ofMerchant}, 'webhook_endpoint.disabled',
    disabled.snapshot, ${requestId}, ${commitId} || ' endpoint ' || disabled.id, ${keyId},
    max(${commitTime(now)}, coalesce(newest.created_at, 0)),
    coalesce(newest.stored_bytes, 0) + sum(length(disabled.snapshot) + ${EVENT_BYTES}) ${ofMerchant}
  FROM (
    SELECT id, merchant_id, json_object('id', id, 'url', url, 'url_set_by', url_set_by,
      'types', json(coalesce(types, ${JSON.stringify(EVENT_TYPE_NAMES)})),
      'all_types', json(iif(types IS NULL, 'true', 'false')),
      'disabled_at', CAST(${now} AS INTEGER), 'disabled_reason', ${reason}, 'failing_since', failing_since,
      'previous_secret_ends_at', previous_secret_ends_at, 'created_at', created_at,
      'updated_at', CAST(max(updated_at, ${now}) AS INTEGER)) AS snapshot
    FROM webhook_endpoints WHERE ${condition}) AS disabled
  LEFT JOIN events AS newest ON newest.merchant_id = disabled.merchant_id
    AND newest.position = (SELECT max(position) FROM events WHERE merchant_id = disabled.merchant_id)`;
}

/**
 * The deliveries of the events that this commit has recorded of endpoints: to each other endpoint of the merchant that
 * receives the type. It stands after the statement that disables. Running it again does nothing.
 *
 * @param endpoints a query for rows of `webhook_endpoints`, those that were disabled among them
 */
export function insertDisabledDeliveries(endpoints: Sql, { commitId, now }: Pick<Disabler, "commitId" | "now">): Sql {
  // What a commit has recorded is the newest that its merchant has: one event of each endpoint at most.
  const from = sql`(${endpoints}) AS disabled
    CROSS JOIN events AS event ON event.merchant_id = disabled.merchant_id
      AND event.position > (SELECT max(position) FROM events WHERE merchant_id = disabled.merchant_id) - ${MAX_ENDPOINTS}
      AND event.commit_id = ${commitId} || ' endpoint ' || disabled.id
    CROSS JOIN webhook_endpoints AS endpoint INDEXED BY webhook_endpoints_enabled
      ON endpoint.merchant_id = disabled.merchant_id`;
  const inserted = insertDeliveriesOf({ from, first: raw("SELECT 1 WHERE false"), onConflict: raw("DO NOTHING") }, now);
  return sql`${inserted},
    (SELECT merchant_id FROM webhook_endpoints WHERE id = webhook_deliveries.endpoint_id) AS merchant_id`;
}

export const isOwnedDelivery = (row: object): row is OwnedDelivery => "endpoint_id" in row && "merchant_id" in row;
