/** The table of accounts at providers, mirrored for TypeScript. */
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { merchants } from "../../auth/tables";
import { ACCOUNT_MODES } from "../seam";

export const providerAccounts = sqliteTable("provider_accounts", {
  id: integer().primaryKey(),
  merchant_id: integer()
    .notNull()
    .references(() => merchants.id),
  provider: text().notNull(),
  mode: text({ enum: ACCOUNT_MODES }).notNull(),
  name: text().notNull(),
  api_key: text().notNull(),
  api_key_hint: text().notNull(),
  webhook_secret: text(),
  publishable_key: text(),
  api_url: text(),
  failing_since: integer(),
  failure: text(),
  disabled_at: integer(),
  created_at: integer().notNull(),
  updated_at: integer().notNull(),
});
