import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, it } from "vitest";
import { VIOLATIONS } from "../../invariants";

const DIRECTORY = path.join(import.meta.dirname, "../../../migrations");
const MIGRATIONS = readdirSync(DIRECTORY)
  .sort()
  .map((file) => ({ file, sql: readFileSync(path.join(DIRECTORY, file), "utf8") }));

/** What the first version left behind: a payment that was created and confirmed, with its key. */
const FIRST_VERSION = `
  INSERT INTO payments VALUES (7, 1, 42, 9999, 'USD', 'confirmed', 'internal', 2, 1000, 2000);
  INSERT INTO idempotency_keys VALUES (1, 'order-42', '${"0".repeat(64)}', 7, 1000);
  INSERT INTO payment_events VALUES (7, 1, 'payment.created',
    '{"order_id":42,"amount_minor":9999,"currency":"USD","status":"pending","provider":"internal"}', 'r1', 1000);
  INSERT INTO payment_events VALUES (7, 2, 'payment.confirmed', '{"status":"confirmed"}', 'r2', 2000);`;

it("each migration keeps what the first version has stored", () => {
  const database = new DatabaseSync(":memory:", { enableForeignKeyConstraints: true });
  for (const [n, { file, sql }] of MIGRATIONS.entries()) {
    database.exec(sql);
    if (n === 0) database.exec(FIRST_VERSION);
    const payment = database.prepare("SELECT * FROM payments").get();
    expect(payment, file).toMatchObject({ id: 7, order_id: 42, amount_minor: 9999, status: "confirmed", version: 2 });
  }
  expect(database.prepare(VIOLATIONS).all()).toEqual([]);
  expect(database.prepare("SELECT event_positions FROM payments").all()).toEqual([{ event_positions: "[1,2]" }]);
});

it("what the first version still writes, while the next one is rolled out, is taken", () => {
  const database = new DatabaseSync(":memory:", { enableForeignKeyConstraints: true });
  for (const { sql } of MIGRATIONS) database.exec(sql);
  database.exec(`
    INSERT INTO payments (merchant_id, order_id, amount_minor, currency, status, provider, version, created_at, updated_at)
    VALUES (1, 42, 9999, 'USD', 'pending', 'internal', 1, 1000, 1000);
    INSERT INTO payment_events (payment_id, sequence, type, data, request_id, created_at)
    VALUES (last_insert_rowid(), 1, 'payment.created',
      '{"order_id":42,"amount_minor":9999,"currency":"USD","status":"pending","provider":"internal"}', 'r1', 1000);
    UPDATE payments SET status = 'confirmed', version = 2, updated_at = 2000;
    INSERT INTO payment_events (payment_id, sequence, type, data, request_id, created_at)
    SELECT id, version, 'payment.confirmed', '{"status":"confirmed"}', 'r2', updated_at FROM payments WHERE changes() = 1;
    INSERT INTO idempotency_keys SELECT 1, 'confirm', '${"0".repeat(64)}', id, 2000 FROM payments WHERE changes() = 1;`);
  expect(database.prepare("SELECT key FROM idempotency_keys").all()).toEqual([{ key: "confirm" }]);
  expect(database.prepare(VIOLATIONS).all()).toEqual([]);
});
