import { applyD1Migrations } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { getTableConfig, type SQLiteTable } from "drizzle-orm/sqlite-core";
import { describe, expect, inject, it } from "vitest";
import * as account from "../../../src/account/tables";
import * as auth from "../../../src/auth/tables";
import * as jobs from "../../../src/jobs/tables";
import * as operation from "../../../src/operation/tables";
import * as outbox from "../../../src/outbox/tables";
import { STATUSES } from "../../../src/payment/lifecycle";
import * as payment from "../../../src/payment/tables";
import * as accounts from "../../../src/provider/accounts/tables";
import * as reconciliation from "../../../src/reconciliation/tables";
import * as statistics from "../../../src/statistics/tables";
import { VIOLATIONS } from "../../invariants";

const { RUN_STATES: _, RUN_SOURCES: __, ...runs } = reconciliation;
const tables: SQLiteTable[] = Object.values({
  ...runs,
  ...auth,
  ...account,
  ...payment,
  ...operation,
  ...accounts,
  ...outbox,
  ...statistics,
  ...jobs,
});

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
          // SQLite does not say it of a rowid, which cannot be null either.
          notnull: column.notNull && !(column.primary && column.getSQLType() === "integer") ? 1 : 0,
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
    env.DB.batch([
      insert(columns),
      env.DB.prepare("INSERT INTO merchants (id, name, created_at) VALUES (1, 'rolled back', 1)"),
    ]);

  it("no status, whether the lifecycle has it today or not", async () => {
    for (const status of [...STATUSES, "cancelled"])
      await expect(attempt({ status })).rejects.toThrow("UNIQUE constraint failed: merchants.id");
  });

  it.each([
    [{ status: "" }, "CHECK"],
    [{ amount_minor: 0 }, "CHECK"],
    [{ amount_minor: -1 }, "CHECK"],
    [{ amount_minor: 1.5 }, "cannot store REAL value"],
    [{ amount_minor: "many" }, "cannot store TEXT value"],
    [{ amount_minor: 2 ** 53 }, "CHECK"],
    [{ currency: "usd" }, "CHECK"],
    [{ currency: "USDX" }, "CHECK"],
    [{ order_id: 0 }, "CHECK"],
    [{ order_id: null }, "CHECK"],
    [{ provider: "" }, "CHECK"],
    [{ version: 0 }, "CHECK"],
    [{ updated_at: 0 }, "CHECK"],
    [{ id: 0 }, "CHECK"],
    [{ merchant_id: 99 }, "FOREIGN KEY"],
    [{ metadata: "no JSON" }, "CHECK"],
    [{ metadata: null }, "NOT NULL"],
  ])("%j", async (columns, reason) => {
    await expect(attempt(columns)).rejects.toThrow(reason);
  });
});

/** A row that each table would take, but for the one that a test makes wrong. */
const ROWS: Record<string, Record<string, string | number | null>> = {
  merchants: { id: 2, name: "Second", created_at: 1 },
  idempotency_keys: { merchant_id: 1, key: "k", fingerprint: "0".repeat(64), payment_id: 1, created_at: 1 },
  events: {
    merchant_id: 1,
    position: 1,
    payment_id: 1,
    sequence: 1,
    type: "payment.created",
    data: "{}",
    request_id: "r",
    commit_id: "c",
    key_id: null,
    idempotency_key: null,
    created_at: 1,
  },
  payment_metadata: { merchant_id: 1, name: "cart", prefix: "", created_at: 1, payment_id: 1 },
  api_keys: {
    id: "0123456789ab",
    merchant_id: 1,
    name: "Shop",
    scopes: "[]",
    digest: "0".repeat(64),
    created_by: null,
    created_at: 1,
    expires_at: null,
    revoked_at: null,
    last_used_at: null,
  },
  account_events: {
    id: 1,
    merchant_id: 1,
    type: "merchant.renamed",
    subject: "1",
    data: "{}",
    actor_merchant_id: 1,
    key_id: null,
    request_id: "r",
    commit_id: "c",
    idempotency_key: null,
    fingerprint: null,
    created_at: 1,
  },
  daily_totals: {
    ...{
      merchant_id: 1,
      day: 20_000,
      currency: "USD",
      provider: "internal",
      created: 0,
      created_minor: 0,
      confirmed: 0,
    },
    ...{ captured_minor: 0, failed: 0, cancelled: 0, expired: 0, refunds: 0, refunded_minor: 0, reversals: 0 },
    ...{ reversed_minor: 0, confirm_ms: 0, confirm_times: "{}" },
  },
  totals_cursors: { merchant_id: 1, position: 1, event_at: 1 },
  job_positions: { job: "idempotency_keys", position: "[]", updated_at: 1 },
};

function insertInto(table: string, row: Record<string, string | number | null>): D1PreparedStatement {
  const names = Object.keys(row);
  return env.DB.prepare(`INSERT INTO ${table} (${names}) VALUES (${names.map(() => "?")})`).bind(...Object.values(row));
}

describe("the database refuses a row of", () => {
  it.each([
    ["merchants", { id: 0 }],
    ["merchants", { name: "" }],
    ["idempotency_keys", { key: "" }],
    ["idempotency_keys", { key: "k".repeat(256) }],
    ["idempotency_keys", { fingerprint: "too short" }],
    ["idempotency_keys", { created_at: 0 }],
    ["events", { position: 0 }],
    ["events", { sequence: 0 }],
    ["events", { sequence: null }],
    ["events", { payment_id: null }],
    ["events", { type: "" }],
    ["events", { data: "no JSON" }],
    ["events", { request_id: "" }],
    ["events", { commit_id: "" }],
    ["events", { key_id: "" }],
    ["events", { idempotency_key: "" }],
    ["events", { idempotency_key: "k".repeat(256) }],
    ["events", { created_at: 0 }],
    ["payment_metadata", { name: "" }],
    ["payment_metadata", { prefix: "x".repeat(65) }],
    ["api_keys", { id: "too short" }],
    ["api_keys", { name: "" }],
    ["api_keys", { scopes: "admin" }],
    ["api_keys", { digest: "too short" }],
    ["api_keys", { created_at: 0 }],
    ["api_keys", { expires_at: 0 }],
    ["api_keys", { revoked_at: 0 }],
    ["api_keys", { last_used_at: 0 }],
    ["account_events", { type: "" }],
    ["account_events", { subject: "" }],
    ["account_events", { data: "no JSON" }],
    ["account_events", { key_id: "" }],
    ["account_events", { request_id: "" }],
    ["account_events", { commit_id: "" }],
    ["account_events", { idempotency_key: "" }],
    ["account_events", { idempotency_key: "k".repeat(256) }],
    ["account_events", { fingerprint: "too short" }],
    ["account_events", { created_at: 0 }],
    ["daily_totals", { day: -1 }],
    ["daily_totals", { created: -1 }],
    ["daily_totals", { created_minor: -1 }],
    ["daily_totals", { confirmed: -1 }],
    ["daily_totals", { captured_minor: -1 }],
    ["daily_totals", { failed: -1 }],
    ["daily_totals", { cancelled: -1 }],
    ["daily_totals", { expired: -1 }],
    ["daily_totals", { refunds: -1 }],
    ["daily_totals", { refunded_minor: -1 }],
    ["daily_totals", { reversals: -1 }],
    ["daily_totals", { reversed_minor: -1 }],
    ["daily_totals", { confirm_ms: -1 }],
    ["daily_totals", { currency: "usd" }],
    ["daily_totals", { provider: "" }],
    ["daily_totals", { confirm_times: "no JSON" }],
    ["totals_cursors", { position: 0 }],
    ["totals_cursors", { event_at: 0 }],
    ["job_positions", { job: "" }],
    ["job_positions", { position: "no JSON" }],
    ["job_positions", { updated_at: 0 }],
  ])("%s with %j", async (table, wrong) => {
    await expect(insertInto(table, { ...ROWS[table], ...wrong }).run()).rejects.toThrow("CHECK constraint failed");
  });

  it.each([
    ["events", { merchant_id: 99 }],
    ["payment_metadata", { merchant_id: 99 }],
    ["api_keys", { merchant_id: 99 }],
    ["account_events", { merchant_id: 99 }],
    ["daily_totals", { merchant_id: 99 }],
    ["totals_cursors", { merchant_id: 99 }],
  ])("%s without what it refers to: %j", async (table, wrong) => {
    await expect(insertInto(table, { ...ROWS[table], ...wrong }).run()).rejects.toThrow("FOREIGN KEY");
  });

  it.each([
    ["commit", { idempotency_key: "another" }, "account_events.commit_id"],
    ["idempotency key", { commit_id: "another" }, "account_events.actor_merchant_id, account_events.idempotency_key"],
  ])("account_events for the second change of one %s", async (_, columns, reason) => {
    const first = { ...ROWS.account_events, idempotency_key: "k", fingerprint: "0".repeat(64) };
    const second = { ...first, id: 2, ...columns };
    const both = [insertInto("account_events", first), insertInto("account_events", second)];
    await expect(env.DB.batch(both)).rejects.toThrow(`UNIQUE constraint failed: ${reason}`);
  });
});

describe("the query of the invariants finds", () => {
  const ORIGINAL = `INSERT INTO payments (id, merchant_id, order_id, amount_minor, currency, status, provider, version, created_at, updated_at, metadata, event_positions) VALUES (900, 1, 7, 100, 'USD', 'confirmed', 'internal', 2, 1, 2, '{"cart":"c-7"}', '[1,2]')`;
  const CREATED = `INSERT INTO events VALUES (1, 1, 900, 1, 'payment.created', '{"order_id":7,"amount_minor":100,"currency":"USD","status":"pending","provider":"internal"}', 'r1', 'c1', NULL, NULL, 1, 0)`;
  const CONFIRMED = `INSERT INTO events VALUES (1, 2, 900, 2, 'payment.confirmed', '{"status":"confirmed"}', 'r2', 'c2', NULL, NULL, 2, 0)`;
  const FOUND = `INSERT INTO payment_metadata VALUES (1, 'cart', 'c-7', 1, 900)`;
  const OTHER_MERCHANT = "INSERT OR IGNORE INTO merchants (id, name, created_at) VALUES (2, 'other', 1)";

  /** The same payment without metadata. */
  const PLAIN = ORIGINAL.replace(`'{"cart":"c-7"}'`, "'{}'");

  const ENDPOINT = `INSERT INTO webhook_endpoints VALUES (90, 1, 'https://shop.example.com/', NULL, NULL, NULL, 'whsec_c2VjcmV0', NULL, NULL, NULL, 3, 'gone', NULL, 1, 3)`;
  const DISABLED = `INSERT INTO events VALUES (1, 3, NULL, NULL, 'webhook_endpoint.disabled', '{"id":90}', 'r3', 'c3', NULL, NULL, 3, 500)`;
  const TRAIL = `INSERT INTO account_events VALUES (90, 1, 'webhook_endpoint.disabled', '90', '{}', 1, NULL, 'r3', 'c3', NULL, NULL, 3)`;

  const TOTALS = `INSERT INTO daily_totals VALUES (1, 0, 'USD', 'internal', 1, 100, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, '{"1":1}')`;
  const COUNTED = "INSERT INTO totals_cursors VALUES (1, 2, 2)";

  async function violations(...statements: string[]): Promise<string[]> {
    const tables = [
      "idempotency_keys",
      "events",
      "payment_metadata",
      "payments",
      "account_events",
      "webhook_endpoints",
      "daily_totals",
      "totals_cursors",
    ];
    const clear = tables.map((table) => `DELETE FROM ${table}`);
    await env.DB.batch([...clear, ...statements].map((sql) => env.DB.prepare(sql)));
    const found = await rows<{ violation: string }>(VIOLATIONS);
    await env.DB.batch(clear.map((sql) => env.DB.prepare(sql)));
    return found.map(({ violation }) => violation);
  }

  it("nothing wrong with what is right", async () => {
    expect(await violations(ORIGINAL, CREATED, CONFIRMED, FOUND)).toEqual([]);
    expect(await violations(PLAIN, CREATED, CONFIRMED)).toEqual([]);
    expect(await violations(ORIGINAL, CREATED, CONFIRMED, FOUND, ENDPOINT, DISABLED, TRAIL)).toEqual([]);
    expect(await violations(PLAIN, CREATED, CONFIRMED, TOTALS, COUNTED)).toEqual([]);
  });

  it.each([
    ["refunded", 40],
    ["confirmed", 100],
  ])(
    "a payment that is %s where %i of 100 are given back, and nothing wrong with the other way round",
    async (status, given) => {
      const at = (now: string, back: number) => {
        const amounts = { status: now, refunded_minor: back };
        const type = now === "refunded" ? "payment.refunded" : "refund.succeeded";
        return violations(
          `INSERT INTO payments (id, merchant_id, order_id, amount_minor, captured_minor, refunded_minor, currency, status, provider, version,
           created_at, updated_at, event_positions)
         VALUES (900, 1, 7, 100, 100, ${back}, 'USD', '${now}', 'internal', 3, 1, 3, '[1,2,3]')`,
          CREATED,
          CONFIRMED.replace('{"status":"confirmed"}', '{"status":"confirmed","captured_minor":100}'),
          `INSERT INTO events VALUES (1, 3, 900, 3, '${type}', '${JSON.stringify(amounts)}', 'r3', 'c3', NULL, NULL, 3, 0)`,
        );
      };
      expect(await at(status, given)).toEqual(["a payment is refunded, and not all of it, or is not, and all of it"]);
      expect(await at(status, 140 - given)).toEqual([]);
    },
  );

  it.each([
    ["a missing event", [ORIGINAL, CREATED, FOUND]],
    ["no event at all", [ORIGINAL, FOUND]],
    ["a gap", [ORIGINAL, CREATED, CONFIRMED.replace("900, 2", "900, 3"), FOUND]],
    ["an event too many", [ORIGINAL, CREATED, CONFIRMED, CONFIRMED.replace("2, 900, 2", "3, 900, 3"), FOUND]],
    [
      "a gap in a merchant's events",
      [ORIGINAL.replace("[1,2]", "[1,3]"), CREATED, CONFIRMED.replace("(1, 2", "(1, 3"), FOUND],
    ],
    ["an event that its payment does not know", [ORIGINAL.replace("[1,2]", "[1]"), CREATED, CONFIRMED, FOUND]],
    ["an event that its payment looks for elsewhere", [ORIGINAL.replace("[1,2]", "[2,1]"), CREATED, CONFIRMED, FOUND]],
    [
      "an event of another merchant",
      [ORIGINAL, CREATED, CONFIRMED, FOUND, OTHER_MERCHANT, CREATED.replace("(1, 1, 900, 1", "(2, 1, 900, 3")],
    ],
    [
      "events that are not in the order of their times",
      [
        ORIGINAL.replace("2, 1, 2,", "2, 3, 3,").replace("[1,2]", "[2,1]"),
        CREATED.replace("(1, 1,", "(1, 2,").replace("NULL, 1)", "NULL, 3)"),
        CONFIRMED.replace("(1, 2,", "(1, 1,"),
        FOUND.replace("1, 900", "3, 900"),
      ],
    ],
    ["an event of an endpoint that there is not", [ORIGINAL, CREATED, CONFIRMED, FOUND, DISABLED]],
    [
      "an event of an endpoint of another merchant",
      [OTHER_MERCHANT, ENDPOINT.replace("90, 1,", "90, 2,"), DISABLED.replace("(1, 3", "(1, 1")],
    ],
    ["a gap before the event of an endpoint", [ENDPOINT, DISABLED, TRAIL]],
    ["an endpoint of which the feed does not say that it was disabled", [ENDPOINT, TRAIL]],
    [
      "an endpoint of which the feed says so twice",
      [
        ENDPOINT,
        TRAIL,
        DISABLED.replace("(1, 3", "(1, 1"),
        DISABLED.replace("(1, 3", "(1, 2").replace("c3", "c4").replace("500", "900"),
      ],
    ],
    [
      "an event of an endpoint that is not counted as stored",
      [ENDPOINT, TRAIL, DISABLED.replace("(1, 3", "(1, 1").replace("500", "0")],
    ],
    ["another amount", [ORIGINAL.replace("100", "101"), CREATED, CONFIRMED, FOUND]],
    ["another status", [ORIGINAL.replace("confirmed", "failed"), CREATED, CONFIRMED, FOUND]],
    ["another time", [ORIGINAL.replace("2, 1, 2,", "2, 1, 3,"), CREATED, CONFIRMED, FOUND]],
    [
      "another creation",
      [ORIGINAL.replace("2, 1, 2,", "2, 2, 2,"), CREATED, CONFIRMED, FOUND.replace("1, 900", "2, 900")],
    ],
    ["an event of another name", [ORIGINAL, CREATED, CONFIRMED.replace("payment.confirmed", "payment.failed"), FOUND]],
    [
      "a step that the lifecycle has not",
      [ORIGINAL.replace("confirmed", "refunded"), CREATED, CONFIRMED.replaceAll("confirmed", "refunded"), FOUND],
    ],
    ["a payment that its metadata does not find", [ORIGINAL, CREATED, CONFIRMED]],
    ["a payment that is found by another value", [ORIGINAL, CREATED, CONFIRMED, FOUND.replace("c-7", "c-8")]],
    ["a payment that is found at another time", [ORIGINAL, CREATED, CONFIRMED, FOUND.replace("1, 900", "2, 900")]],
    [
      "a payment that another merchant finds",
      [ORIGINAL, CREATED, CONFIRMED, OTHER_MERCHANT, FOUND.replace("(1,", "(2,")],
    ],
    ["a pair too many", [ORIGINAL, CREATED, CONFIRMED, FOUND, FOUND.replace("'cart'", "'basket'")]],
    ["a pair of a payment that has none", [PLAIN, CREATED, CONFIRMED, FOUND]],
    ["an event that is counted twice", [PLAIN, CREATED, CONFIRMED, TOTALS.replace("100, 1,", "100, 2,"), COUNTED]],
    ["an event that is not counted", [PLAIN, CREATED, CONFIRMED, TOTALS.replace("1, 100,", "0, 0,"), COUNTED]],
    ["an event that is counted before its time", [PLAIN, CREATED, CONFIRMED, TOTALS, COUNTED.replace("2, 2", "1, 1")]],
    ["a cursor beyond the feed", [PLAIN, CREATED, CONFIRMED, TOTALS, COUNTED.replace("2, 2", "3, 2")]],
    [
      "a key of another merchant",
      [
        ORIGINAL,
        CREATED,
        CONFIRMED,
        FOUND,
        OTHER_MERCHANT,
        `INSERT INTO idempotency_keys VALUES (2, 'k', '${"0".repeat(64)}', 900, 1)`,
      ],
    ],
  ])("%s", async (_, statements) => {
    expect(await violations(...statements)).not.toEqual([]);
  });
});
