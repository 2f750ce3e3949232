/** The tables of webhook endpoints and deliveries, mirrored for TypeScript: a commit reads the one and writes the other. */
import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { merchants } from "../auth/tables";
import { DELIVERY_STATE_NAMES } from "./states";

export const webhookEndpoints = sqliteTable("webhook_endpoints", {
  id: integer().primaryKey(),
  merchant_id: integer()
    .notNull()
    .references(() => merchants.id),
  url: text().notNull(),
  url_set_by: text(),
  types: text(),
  types_changed_at: integer(),
  secret: text(),
  previous_secret: text(),
  previous_secret_ends_at: integer(),
  failing_since: integer(),
  disabled_at: integer(),
  disabled_reason: text({ enum: ["requested", "gone", "failing", "key_revoked"] }),
  deleted_at: integer(),
  created_at: integer().notNull(),
  updated_at: integer().notNull(),
});

export const webhookDeliveries = sqliteTable(
  "webhook_deliveries",
  {
    endpoint_id: integer()
      .notNull()
      .references(() => webhookEndpoints.id),
    position: integer().notNull(),
    state: text({ enum: DELIVERY_STATE_NAMES }).notNull(),
    next_attempt_at: integer(),
    attempted: integer().notNull(),
    failures: integer().notNull(),
    attempts: text().notNull(),
    created_at: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.endpoint_id, table.position] })],
);
