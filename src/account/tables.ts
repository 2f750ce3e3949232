/** The table of the account trail, mirrored for TypeScript. */
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { merchants } from "../auth/tables";

export const accountEvents = sqliteTable("account_events", {
  id: integer().primaryKey(),
  merchant_id: integer()
    .notNull()
    .references(() => merchants.id),
  type: text().notNull(),
  subject: text().notNull(),
  data: text().notNull(),
  actor_merchant_id: integer().notNull(),
  key_id: text(),
  request_id: text().notNull(),
  commit_id: text().notNull(),
  idempotency_key: text(),
  fingerprint: text(),
  created_at: integer().notNull(),
});
