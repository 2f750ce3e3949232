import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import { VIOLATIONS } from "../../invariants";

const DIRECTORY = path.join(import.meta.dirname, "../../../migrations");
const MIGRATIONS = readdirSync(DIRECTORY)
  .sort()
  .map((file) => ({ file, sql: readFileSync(path.join(DIRECTORY, file), "utf8") }));

/** A row in every table, as the base has them: a payment that was created and confirmed, and all that belongs to it. */
const FILLED = `
  INSERT INTO merchants (id, name, created_at) VALUES (2, 'Shop', 1000);
  INSERT INTO api_keys VALUES ('0123456789ab', 2, 'Orders', '["payments:write"]', '${"0".repeat(64)}', NULL, 1000, NULL,
    NULL, NULL);
  INSERT INTO account_events VALUES (1, 2, 'merchant.created', '2', '{"name":"Shop"}', 1, NULL, 'r0', 'c0', NULL, NULL,
    1000);
  INSERT INTO payments (id, merchant_id, order_id, amount_minor, captured_minor, currency, status, provider, version, created_at,
    updated_at, metadata, event_positions)
  VALUES (7, 2, 42, 9999, 9999, 'USD', 'confirmed', 'internal', 2, 1000, 2000, '{"cart":"c-7"}', '[1,2]');
  INSERT INTO payment_metadata VALUES (2, 'cart', 'c-7', 1000, 7);
  INSERT INTO idempotency_keys VALUES (2, 'order-42', '${"0".repeat(64)}', 7, 1000);
  INSERT INTO events VALUES (2, 1, 7, 1, 'payment.created', '{"order_id":42,"amount_minor":9999,"currency":"USD",
    "status":"pending","provider":"internal"}', 'r1', 'c1', '0123456789ab', 'order-42', 1000, 0);
  INSERT INTO events VALUES (2, 2, 7, 2, 'payment.confirmed', '{"status":"confirmed","captured_minor":9999}', 'r2', 'c2', '0123456789ab', NULL,
    2000, 0);
  INSERT INTO events VALUES (2, 3, NULL, NULL, 'webhook_endpoint.disabled', '{"id":1}', 'r3', 'c3', NULL, NULL, 3000, 900);
  INSERT INTO webhook_endpoints VALUES (1, 2, 'https://shop.example.com/', NULL, NULL, NULL, 'whsec_c2VjcmV0', NULL, NULL, NULL,
    NULL, NULL, NULL, 1000, 1000);
  INSERT INTO webhook_deliveries VALUES (1, 1, 'succeeded', NULL, 1, 0, '[]', 1000);
  INSERT INTO webhook_deliveries VALUES (1, 2, 'pending', 2000, 0, 0, '[]', 2000);
  INSERT INTO operations (merchant_id, payment_id, number, kind, amount_minor, state, source, request_id, created_at, updated_at)
    VALUES (2, 7, 1, 'authorize', 9999, 'succeeded', 'request', 'r2', 2000, 2000);
  INSERT INTO disputes VALUES (2, 7, 'dp_1', 9999, 'open', NULL, NULL, 2000, 2000);
  INSERT INTO reconciliation_items VALUES (1, 2, 7, NULL, 'late_success', 'pay_1', 'Late', 2000, NULL, NULL, NULL);
  INSERT INTO reconciliation_runs (id, merchant_id, account_id, source, from_at, to_at, state, progress, started_at)
    VALUES (1, 2, 1, 'service', 1000, 2000, 'done', '{}', 2000);
  INSERT INTO reconciliation_seen VALUES (1, 0, 128);
  INSERT INTO reconciliation_looks VALUES (1, 'own', 'pi_1', 7, NULL, '[]', 0, 2000);
  INSERT INTO provider_accounts (id, merchant_id, provider, mode, name, api_key, api_key_hint, created_at, updated_at)
    VALUES (1, 2, 'stripe', 'test', 'Shop', 'v1.k.iv.sealed', 'sk_test_…4242', 1000, 1000);
  INSERT INTO provider_notifications VALUES ('sandbox_2', 'ntf_1', 2000);
  INSERT INTO daily_totals VALUES (2, 0, 'USD', 'internal', 1, 9999, 1, 9999, 0, 0, 0, 0, 0, 0, 0, 1000, '{"35":1}');
  INSERT INTO totals_cursors VALUES (2, 2, 2000);
  INSERT INTO dashboard_sessions VALUES ('${"0".repeat(22)}', '0123456789ab', 2000);
  INSERT INTO leases VALUES (1, 1, 'commit', 1000);
  INSERT INTO job_positions VALUES ('idempotency_keys', '[0,""]', 1000);`;

function filledBase(): DatabaseSync {
  const [base] = MIGRATIONS;
  const database = new DatabaseSync(":memory:", { enableForeignKeyConstraints: true });
  database.exec(base?.sql ?? "");
  database.exec(FILLED);
  return database;
}

const tablesOf = (database: DatabaseSync) =>
  database
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
    .all()
    .map(({ name }) => String(name));

const countsOf = (database: DatabaseSync, tables: readonly string[]) =>
  Object.fromEntries(tables.map((table) => [table, database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n]));

it("every migration after the base keeps the rows of a filled database", () => {
  const database = filledBase();
  const tables = tablesOf(database);
  const before = countsOf(database, tables);
  expect(Object.values(before)).not.toContain(0);
  for (const { sql } of MIGRATIONS.slice(1)) database.exec(sql);
  expect(countsOf(database, tables)).toEqual(before);
  expect(database.prepare("SELECT * FROM payments").get()).toMatchObject({ id: 7, amount_minor: 9999, version: 2 });
  expect(database.prepare(VIOLATIONS).all()).toEqual([]);
});

it("a new status, action, state and reason need no migration", () => {
  const database = filledBase();
  database.exec(`
    UPDATE payments SET status = 'disputed';
    UPDATE webhook_deliveries SET state = 'paused', next_attempt_at = NULL;
    UPDATE webhook_endpoints SET disabled_at = 2000, disabled_reason = 'quota';
    INSERT INTO events VALUES (2, 4, 7, 3, 'refund.created', '{}', 'r4', 'c4', NULL, NULL, 3000, 900);
    INSERT INTO events VALUES (2, 5, NULL, NULL, 'merchant.renamed', '{}', 'r5', 'c5', NULL, NULL, 3000, 900);`);
});

it("no table refers to one that it has no index to be found by", () => {
  const database = filledBase();
  const seen: string[] = [];
  for (const table of tablesOf(database)) {
    const indexes = database.prepare("SELECT * FROM pragma_index_list(?) WHERE partial = 0").all(table);
    const leading = indexes.map(
      ({ name }) => database.prepare("SELECT name FROM pragma_index_info(?) WHERE seqno = 0").get(String(name))?.name,
    );
    const references = database.prepare(`SELECT "from" AS column FROM pragma_foreign_key_list(?)`).all(table);
    for (const { column } of references) expect(leading, `${table}.${column}`).toContain(column);
    seen.push(...references.map(({ column }) => `${table}.${column}`));
  }
  expect(seen).toContain("events.merchant_id");
});
