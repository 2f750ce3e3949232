/**
 * The tables of migrations/, mirrored for TypeScript: the row types that statements return are inferred
 * from here. The migrations are what runs; test/worker/storage/schema.test.ts holds the two together.
 */
import { integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { DELIVERY_STATE_NAMES } from "../outbox/states";
import { type EventType, STATUSES } from "../payment/lifecycle";

export const merchants = sqliteTable("merchants", {
  id: integer().primaryKey(),
  name: text().notNull(),
  created_at: integer().notNull(),
});

export const payments = sqliteTable("payments", {
  id: integer().primaryKey(),
  merchant_id: integer()
    .notNull()
    .references(() => merchants.id),
  order_id: integer().notNull(),
  amount_minor: integer().notNull(),
  currency: text().notNull(),
  status: text({ enum: STATUSES }).notNull(),
  provider: text().notNull(),
  version: integer().notNull(),
  created_at: integer().notNull(),
  updated_at: integer().notNull(),
  metadata: text().notNull(),
  event_positions: text().notNull(),
});

export const paymentMetadata = sqliteTable(
  "payment_metadata",
  {
    merchant_id: integer()
      .notNull()
      .references(() => merchants.id),
    name: text().notNull(),
    value: text().notNull(),
    created_at: integer().notNull(),
    payment_id: integer()
      .notNull()
      .references(() => payments.id),
  },
  (table) => [
    primaryKey({ columns: [table.merchant_id, table.name, table.value, table.created_at, table.payment_id] }),
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
    payment_id: integer()
      .notNull()
      .references(() => payments.id),
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
    payment_id: integer()
      .notNull()
      .references(() => payments.id),
    sequence: integer().notNull(),
    type: text().$type<EventType>().notNull(),
    data: text().notNull(),
    request_id: text().notNull(),
    commit_id: text(),
    key_id: text(),
    idempotency_key: text(),
    created_at: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.merchant_id, table.position] })],
);

/** What the version before `events` writes. */
export const paymentEvents = sqliteTable(
  "payment_events",
  {
    payment_id: integer()
      .notNull()
      .references(() => payments.id),
    sequence: integer().notNull(),
    type: text().notNull(),
    data: text().notNull(),
    request_id: text().notNull(),
    created_at: integer().notNull(),
    key_id: text(),
    commit_id: text(),
  },
  (table) => [primaryKey({ columns: [table.payment_id, table.sequence] })],
);

export const apiKeys = sqliteTable("api_keys", {
  id: text().primaryKey(),
  merchant_id: integer()
    .notNull()
    .references(() => merchants.id),
  name: text().notNull(),
  scopes: text().notNull(),
  digest: text().notNull(),
  created_at: integer().notNull(),
  expires_at: integer(),
  revoked_at: integer(),
  last_used_at: integer(),
});

export const accountEvents = sqliteTable("account_events", {
  id: integer().primaryKey(),
  merchant_id: integer()
    .notNull()
    .references(() => merchants.id),
  type: text().notNull(),
  subject: text().notNull(),
  data: text().notNull(),
  actor_merchant_id: integer()
    .notNull()
    .references(() => merchants.id),
  key_id: text(),
  request_id: text().notNull(),
  commit_id: text().notNull(),
  idempotency_key: text(),
  fingerprint: text(),
  created_at: integer().notNull(),
});

export const webhookEndpoints = sqliteTable("webhook_endpoints", {
  id: integer().primaryKey(),
  merchant_id: integer()
    .notNull()
    .references(() => merchants.id),
  url: text().notNull(),
  types: text().notNull(),
  secret: text().notNull(),
  previous_secret: text(),
  previous_secret_ends_at: integer(),
  failing_since: integer(),
  disabled_at: integer(),
  disabled_reason: text({ enum: ["requested", "gone", "failing"] }),
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

export const jobPositions = sqliteTable("job_positions", {
  job: text().primaryKey(),
  position: text().notNull(),
  updated_at: integer().notNull(),
});
