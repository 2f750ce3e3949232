/** The tables of reconciliation runs, mirrored for TypeScript. What was found is in `reconciliation_items`, which operations write, too. */
import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { merchants } from "../auth/tables";

/** Where a run is. */
export const RUN_STATES = ["running", "done", "failed"] as const;

/** Who began a run: the service, once a day, or a request. */
export const RUN_SOURCES = ["service", "request"] as const;

export const reconciliationRuns = sqliteTable("reconciliation_runs", {
  id: integer().primaryKey(),
  merchant_id: integer()
    .notNull()
    .references(() => merchants.id),
  account_id: integer().notNull(),
  source: text({ enum: RUN_SOURCES }).notNull(),
  key_id: text(),
  from_at: integer().notNull(),
  to_at: integer().notNull(),
  state: text({ enum: RUN_STATES }).notNull(),
  progress: text().notNull(),
  position: integer().notNull(),
  compared: integer().notNull(),
  differing: integer().notNull(),
  items: text().notNull(),
  due_at: integer(),
  failing_since: integer(),
  failure: text(),
  started_at: integer().notNull(),
  finished_at: integer(),
});

export const reconciliationSeen = sqliteTable(
  "reconciliation_seen",
  {
    run_id: integer().notNull(),
    block: integer().notNull(),
    bits: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.run_id, table.block] })],
);

export const reconciliationLooks = sqliteTable(
  "reconciliation_looks",
  {
    run_id: integer().notNull(),
    listing: text().notNull(),
    reference: text().notNull(),
    payment_id: integer().notNull(),
    entry: text(),
    said: text().notNull(),
    looks: integer().notNull(),
    due_at: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.run_id, table.listing, table.reference] })],
);
