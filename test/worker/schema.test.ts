import { applyD1Migrations } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { getTableConfig, type SQLiteTable } from "drizzle-orm/sqlite-core";
import { describe, expect, inject, it } from "vitest";
import * as schema from "../../src/db/schema";
import { STATUSES } from "../../src/payment/lifecycle";
import { assertInvariants } from "./invariants";

const tables: SQLiteTable[] = Object.values(schema);

async function rows<T>(sql: string, ...values: unknown[]): Promise<T[]> {
  return (
    await env.DB.prepare(sql)
      .bind(...values)
      .all<T>()
  ).results;
}

describe("the migrations", () => {
  it("make the tables that schema.ts mirrors, and no others", async () => {
    const names = await rows<{ name: string; strict: number }>(
      `SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'
       AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_cf_%' AND name <> 'd1_migrations' ORDER BY name`,
    );
    expect(names.map(({ name }) => name)).toEqual(tables.map((table) => getTableConfig(table).name).sort());
    expect(names.every(({ strict }) => strict === 1)).toBe(true);
  });

  it.each(tables.map((table) => [getTableConfig(table).name, table] as const))(
    "give %s the columns, keys and references of its mirror",
    async (name, table) => {
      const mirror = getTableConfig(table);
      const columns = await rows<{ name: string; type: string; notnull: number; pk: number }>(
        'SELECT name, type, "notnull", pk FROM pragma_table_info(?) ORDER BY cid',
        name,
      );
      const keyColumns = mirror.primaryKeys.flatMap((key) => key.columns.map((column) => column.name));
      expect(columns).toEqual(
        mirror.columns.map((column) => ({
          name: column.name,
          type: column.getSQLType().toUpperCase(),
          notnull: column.notNull && !column.primary ? 1 : 0,
          pk: column.primary ? 1 : keyColumns.indexOf(column.name) + 1,
        })),
      );
      const references = await rows<{ column: string; parent: string; parentColumn: string }>(
        `SELECT "from" AS "column", "table" AS parent, "to" AS parentColumn FROM pragma_foreign_key_list(?) ORDER BY 1`,
        name,
      );
      const mirrored = mirror.foreignKeys.map((key) => {
        const {
          columns: [column],
          foreignTable,
          foreignColumns: [foreignColumn],
        } = key.reference();
        return { column: column?.name, parent: getTableConfig(foreignTable).name, parentColumn: foreignColumn?.name };
      });
      expect(references).toEqual(mirrored.sort((a, b) => ((a.column ?? "") < (b.column ?? "") ? -1 : 1)));
    },
  );

  it("can run again on what they made, and leave it as it is", async () => {
    const before = await rows("SELECT sql FROM sqlite_schema ORDER BY name");
    await applyD1Migrations(env.DB, inject("migrations"));
    expect(await rows("SELECT sql FROM sqlite_schema ORDER BY name")).toEqual(before);
  });

  it("make the default merchant", async () => {
    const now = Date.now();
    const [merchant] = await rows<{ id: number; name: string; created_at: number }>("SELECT * FROM merchants");
    expect(merchant).toMatchObject({ id: 1, name: "default" });
    expect(Math.abs((merchant?.created_at ?? 0) - now)).toBeLessThan(600_000);
  });
});

describe("the database refuses", () => {
  const insert = (columns: Record<string, unknown>) => {
    const row = {
      merchant_id: 1,
      order_id: 1,
      amount_minor: 100,
      currency: "USD",
      status: "pending",
      provider: "internal",
      version: 1,
      created_at: 1,
      updated_at: 1,
      ...columns,
    };
    const names = Object.keys(row);
    return env.DB.prepare(`INSERT INTO payments (${names}) VALUES (${names.map(() => "?")})`).bind(
      ...Object.values(row),
    );
  };
  // Each attempt is rolled back with its batch, so that the table keeps only what the service wrote.
  const attempt = (columns: Record<string, unknown>) =>
    env.DB.batch([insert(columns), env.DB.prepare("INSERT INTO merchants VALUES (1, 'rolled back', 1)")]);

  it("nothing that the lifecycle has a status for", async () => {
    for (const status of STATUSES)
      await expect(attempt({ status })).rejects.toThrow("UNIQUE constraint failed: merchants.id");
  });

  it.each([
    [{ status: "paid" }, "CHECK"],
    [{ amount_minor: 0 }, "CHECK"],
    [{ amount_minor: -1 }, "CHECK"],
    [{ amount_minor: 1.5 }, "cannot store REAL value"],
    [{ amount_minor: "many" }, "cannot store TEXT value"],
    [{ amount_minor: 2 ** 53 }, "CHECK"],
    [{ currency: "usd" }, "CHECK"],
    [{ currency: "USDX" }, "CHECK"],
    [{ order_id: 0 }, "CHECK"],
    [{ order_id: null }, "NOT NULL"],
    [{ provider: "" }, "CHECK"],
    [{ version: 0 }, "CHECK"],
    [{ updated_at: 0 }, "CHECK"],
    [{ id: 0 }, "CHECK"],
    [{ merchant_id: 99 }, "FOREIGN KEY"],
  ])("%j", async (columns, reason) => {
    await expect(attempt(columns)).rejects.toThrow(reason);
  });
});

it.each([
  ["idempotency_keys", [1, "", "0".repeat(64), 1, 1]],
  ["idempotency_keys", [1, "k".repeat(256), "0".repeat(64), 1, 1]],
  ["idempotency_keys", [1, "k", "too short", 1, 1]],
  ["idempotency_keys", [1, "k", "0".repeat(64), 1, 0]],
  ["payment_events", [1, 0, "payment.created", "{}", "r", 1]],
  ["payment_events", [1, 1, "", "{}", "r", 1]],
  ["payment_events", [1, 1, "payment.created", "no JSON", "r", 1]],
  ["payment_events", [1, 1, "payment.created", "{}", "", 1]],
  ["merchants", [0, "zero", 1]],
  ["merchants", [2, "", 1]],
])("the database refuses a row of %s: %j", async (table, values) => {
  const insert = env.DB.prepare(`INSERT INTO ${table} VALUES (${values.map(() => "?")})`).bind(...values);
  await expect(insert.run()).rejects.toThrow("CHECK constraint failed");
});

describe("the query of the invariants finds", () => {
  const ORIGINAL = `INSERT INTO payments VALUES (900, 1, 7, 100, 'USD', 'confirmed', 'internal', 2, 1, 2)`;
  const CREATED = `INSERT INTO payment_events VALUES (900, 1, 'payment.created', '{"order_id":7,"amount_minor":100,"currency":"USD","status":"pending","provider":"internal"}', 'r1', 1)`;
  const CONFIRMED = `INSERT INTO payment_events VALUES (900, 2, 'payment.confirmed', '{"status":"confirmed"}', 'r2', 2)`;

  async function violations(...statements: string[]): Promise<string> {
    const clear = ["DELETE FROM idempotency_keys", "DELETE FROM payment_events", "DELETE FROM payments"];
    await env.DB.batch([...clear, ...statements].map((sql) => env.DB.prepare(sql)));
    const outcome = await assertInvariants(env.DB).then(
      () => "none",
      (error: Error) => error.message,
    );
    await env.DB.batch(clear.map((sql) => env.DB.prepare(sql)));
    return outcome;
  }

  it("nothing wrong with what is right", async () => {
    expect(await violations(ORIGINAL, CREATED, CONFIRMED)).toBe("none");
  });

  it.each([
    ["a missing event", [ORIGINAL, CREATED]],
    ["no event at all", [ORIGINAL]],
    ["a gap", [ORIGINAL, CREATED, CONFIRMED.replace("(900, 2", "(900, 3")]],
    ["an event too many", [ORIGINAL, CREATED, CONFIRMED, CONFIRMED.replace("(900, 2", "(900, 3")]],
    ["another amount", [ORIGINAL.replace("100", "101"), CREATED, CONFIRMED]],
    ["another status", [ORIGINAL.replace("confirmed", "failed"), CREATED, CONFIRMED]],
    ["another time", [ORIGINAL.replace("2, 1, 2)", "2, 1, 3)"), CREATED, CONFIRMED]],
    ["another creation", [ORIGINAL.replace("2, 1, 2)", "2, 2, 2)"), CREATED, CONFIRMED]],
    ["an event of another name", [ORIGINAL, CREATED, CONFIRMED.replace("payment.confirmed", "payment.failed")]],
    [
      "a step that the lifecycle has not",
      [ORIGINAL.replace("confirmed", "refunded"), CREATED, CONFIRMED.replaceAll("confirmed", "refunded")],
    ],
    [
      "a key of another merchant",
      [
        ORIGINAL,
        CREATED,
        CONFIRMED,
        "INSERT OR IGNORE INTO merchants VALUES (2, 'other', 1)",
        `INSERT INTO idempotency_keys VALUES (2, 'k', '${"0".repeat(64)}', 900, 1)`,
      ],
    ],
  ])("%s", async (_, statements) => {
    expect(await violations(...statements)).not.toBe("none");
  });
});
