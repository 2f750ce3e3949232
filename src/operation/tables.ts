/** The tables of what is asked of providers, mirrored for TypeScript. */
import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { merchants } from "../auth/tables";
import { RECONCILIATION_KINDS } from "../provider/reconciliation";
import { DISPUTE_STATES, OPERATION_KINDS } from "../provider/seam";
import { OPERATION_SOURCES, OPERATION_STATES } from "./reducer/change";

export const operations = sqliteTable(
  "operations",
  {
    merchant_id: integer()
      .notNull()
      .references(() => merchants.id),
    payment_id: integer().notNull(),
    number: integer().notNull(),
    kind: text({ enum: OPERATION_KINDS }).notNull(),
    amount_minor: integer().notNull(),
    state: text({ enum: OPERATION_STATES }).notNull(),
    source: text({ enum: OPERATION_SOURCES }).notNull(),
    nonce: text(),
    request: text(),
    provider_reference: text(),
    failure: text(),
    reason: text(),
    metadata: text().notNull(),
    key_id: text(),
    request_id: text().notNull(),
    idempotency_key: text(),
    due_at: integer(),
    attempted: integer().notNull(),
    attempts: text().notNull(),
    created_at: integer().notNull(),
    updated_at: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.merchant_id, table.payment_id, table.number] })],
);

export const disputes = sqliteTable(
  "disputes",
  {
    merchant_id: integer()
      .notNull()
      .references(() => merchants.id),
    payment_id: integer().notNull(),
    reference: text().notNull(),
    amount_minor: integer().notNull(),
    state: text({ enum: DISPUTE_STATES }).notNull(),
    reason: text(),
    due_at: integer(),
    created_at: integer().notNull(),
    updated_at: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.merchant_id, table.payment_id, table.reference] })],
);

export const reconciliationItems = sqliteTable("reconciliation_items", {
  id: integer().primaryKey(),
  merchant_id: integer()
    .notNull()
    .references(() => merchants.id),
  payment_id: integer().notNull(),
  account: text(),
  kind: text({ enum: RECONCILIATION_KINDS }).notNull(),
  reference: text().notNull(),
  detail: text().notNull(),
  created_at: integer().notNull(),
  resolved_at: integer(),
  resolved_by: text(),
  resolution: text(),
});

export const providerNotifications = sqliteTable(
  "provider_notifications",
  {
    account_id: text().notNull(),
    id: text().notNull(),
    created_at: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.account_id, table.id] })],
);
