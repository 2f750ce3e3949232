/** The tables of daily totals, mirrored for TypeScript. */
import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { merchants } from "../auth/tables";

export const dailyTotals = sqliteTable(
  "daily_totals",
  {
    merchant_id: integer()
      .notNull()
      .references(() => merchants.id),
    day: integer().notNull(),
    currency: text().notNull(),
    provider: text().notNull(),
    created: integer().notNull(),
    created_minor: integer().notNull(),
    confirmed: integer().notNull(),
    captured_minor: integer().notNull(),
    failed: integer().notNull(),
    cancelled: integer().notNull(),
    expired: integer().notNull(),
    refunds: integer().notNull(),
    refunded_minor: integer().notNull(),
    reversals: integer().notNull(),
    reversed_minor: integer().notNull(),
    confirm_ms: integer().notNull(),
    confirm_times: text().notNull(),
  },
  (table) => [primaryKey({ columns: [table.merchant_id, table.day, table.currency, table.provider] })],
);

export const totalsCursors = sqliteTable(
  "totals_cursors",
  {
    merchant_id: integer()
      .notNull()
      .references(() => merchants.id),
    position: integer().notNull(),
    event_at: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.merchant_id] })],
);
