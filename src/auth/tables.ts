/** The tables of merchants and API keys, mirrored for TypeScript; test/worker/storage/schema.test.ts compares them with the migrations. */
import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

export const merchants = sqliteTable("merchants", {
  id: integer().primaryKey(),
  name: text().notNull(),
  default_account_id: integer(),
  disabled_at: integer(),
  created_at: integer().notNull(),
});

export const apiKeys = sqliteTable("api_keys", {
  id: text().primaryKey(),
  merchant_id: integer()
    .notNull()
    .references(() => merchants.id),
  name: text().notNull(),
  scopes: text().notNull(),
  digest: text().notNull(),
  created_by: text(),
  created_at: integer().notNull(),
  expires_at: integer(),
  revoked_at: integer(),
  last_used_at: integer(),
});

export const dashboardSessions = sqliteTable("dashboard_sessions", {
  id: text().primaryKey(),
  key_id: text().notNull(),
  ends_at: integer().notNull(),
});

export const leases = sqliteTable(
  "leases",
  {
    merchant_id: integer()
      .notNull()
      .references(() => merchants.id),
    slot: integer().notNull(),
    holder: text().notNull(),
    ends_at: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.merchant_id, table.slot] })],
);
