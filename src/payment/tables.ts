/** The tables of payments, mirrored for TypeScript. */
import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { merchants } from "../auth/tables";
import type { EventType } from "../outbox/event-types";
import { CAPTURE_METHODS } from "../provider/seam";
import { STATUSES } from "./lifecycle";

export const payments = sqliteTable("payments", {
  id: integer().primaryKey(),
  merchant_id: integer()
    .notNull()
    .references(() => merchants.id),
  order_id: integer(),
  reference: text(),
  single: integer().notNull(),
  amount_minor: integer().notNull(),
  captured_minor: integer().notNull(),
  refunded_minor: integer().notNull(),
  held_minor: integer().notNull(),
  currency: text().notNull(),
  status: text({ enum: STATUSES }).notNull(),
  failure: text(),
  next_action: text(),
  provider: text().notNull(),
  provider_account_id: integer(),
  provider_reference: text(),
  capture_method: text({ enum: CAPTURE_METHODS }).notNull(),
  payment_method: text(),
  return_url: text(),
  description: text(),
  expires_at: integer(),
  expiry_due_at: integer(),
  version: integer().notNull(),
  created_at: integer().notNull(),
  updated_at: integer().notNull(),
  metadata: text().notNull(),
  event_positions: text().notNull(),
  original_metadata: text(),
});

export const paymentMetadata = sqliteTable(
  "payment_metadata",
  {
    merchant_id: integer()
      .notNull()
      .references(() => merchants.id),
    name: text().notNull(),
    prefix: text().notNull(),
    created_at: integer().notNull(),
    payment_id: integer().notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.merchant_id, table.name, table.prefix, table.created_at, table.payment_id] }),
  ],
);

export const idempotencyKeys = sqliteTable(
  "idempotency_keys",
  {
    merchant_id: integer()
      .notNull()
      .references(() => merchants.id),
    key: text().notNull(),
    fingerprint: text().notNull(),
    payment_id: integer().notNull(),
    created_at: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.merchant_id, table.key] })],
);

export const events = sqliteTable(
  "events",
  {
    merchant_id: integer()
      .notNull()
      .references(() => merchants.id),
    position: integer().notNull(),
    payment_id: integer(),
    sequence: integer(),
    type: text().$type<EventType>().notNull(),
    data: text().notNull(),
    request_id: text().notNull(),
    commit_id: text(),
    key_id: text(),
    idempotency_key: text(),
    created_at: integer().notNull(),
    stored_bytes: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.merchant_id, table.position] })],
);
