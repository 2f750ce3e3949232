import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { makeApiKey } from "../../src/auth/api-key";
import { checksumKeys, makeSecretsKeys } from "../../src/auth/secret-keys";
import { SCOPE_NAMES } from "../../src/scopes";

const MIGRATIONS = path.join(import.meta.dirname, "../../migrations");

/** SQLite on Node does not count rows; that the service counts them is for other tests. */
const NO_COST = { rows_read: 0, rows_written: 0 };

/** One D1 call on its way to the database: `execute` is the transaction that it is there. */
export type Deliver = <T>(execute: () => T, writesPayment: boolean) => Promise<T>;

const WRITES_PAYMENT = /^\s*(INSERT INTO|UPDATE) payments\b/;

/** A statement's text as SQLite has prepared it: it comes again in every history. */
interface Prepared {
  readonly statement: StatementSync;
  readonly writesPayment: boolean;
}

/** The keys of the simulated service, and an API key that every simulated database holds. */
export const SECRETS_KEYS = makeSecretsKeys(new Date());
const API_KEY = await makeApiKey(await checksumKeys(SECRETS_KEYS));

/**
 * D1 for the simulated platform: the real SQL and migrations on Node's SQLite, and `deliver` for the
 * network between. Each call is one transaction; its errors read as D1's do.
 */
export class SimulatedD1 {
  readonly #database = new DatabaseSync(":memory:", { enableForeignKeyConstraints: true });
  readonly #prepared = new Map<string, Prepared>();
  /** An API key of merchant 1, with every scope. Nothing that the service does depends on which it is. */
  readonly key: string;
  deliver: Deliver = async (execute) => execute();

  constructor() {
    for (const file of readdirSync(MIGRATIONS).sort()) {
      this.#database.exec(readFileSync(path.join(MIGRATIONS, file), "utf8"));
    }
    const { id, key } = API_KEY;
    this.key = key;
    this.#prepare(
      "INSERT INTO api_keys (id, merchant_id, name, scopes, digest, created_at) VALUES (?, 1, 'clients', ?, ?, 1)",
    ).statement.all(id, JSON.stringify(SCOPE_NAMES), createHash("sha256").update(key).digest("hex"));
  }

  /** The binding that the service uses; a new one each time, for the service remembers keys by it. */
  get binding(): D1Database {
    const binding = {
      prepare: (sql: string) => new Statement(this, this.#prepare(sql), []),
      batch: (statements: Statement[]) =>
        this.deliver(
          () => this.#transaction(() => statements.map((statement) => statement.execute())),
          statements.some(({ prepared }) => prepared.writesPayment),
        ),
    };
    return binding as unknown as D1Database;
  }

  /** Rows of a query, past the network and its faults. */
  rows<T>(sql: string): T[] {
    return this.#prepare(sql).statement.all() as T[];
  }

  /** Takes back all that clients have brought about, so that each run begins alike; ids begin at 1 again. */
  clear(): void {
    this.#database.exec(`
      DELETE FROM webhook_deliveries; DELETE FROM webhook_endpoints; DELETE FROM account_events; DELETE FROM events; DELETE FROM idempotency_keys; DELETE FROM payment_metadata; DELETE FROM payments;
      DELETE FROM operations; DELETE FROM disputes; DELETE FROM reconciliation_items; DELETE FROM provider_notifications;
      UPDATE merchants SET disabled_at = NULL; UPDATE api_keys SET last_used_at = NULL`);
  }

  #transaction<T>(work: () => T): T {
    this.#prepare("BEGIN").statement.run();
    try {
      const result = work();
      this.#prepare("COMMIT").statement.run();
      return result;
    } catch (error) {
      this.#prepare("ROLLBACK").statement.run();
      throw error;
    }
  }

  #prepare(sql: string): Prepared {
    const known = this.#prepared.get(sql);
    if (known !== undefined) return known;
    const prepared = { statement: this.#database.prepare(sql), writesPayment: WRITES_PAYMENT.test(sql) };
    this.#prepared.set(sql, prepared);
    return prepared;
  }
}

/** A statement of the binding's, with the values of its parameters. */
class Statement {
  constructor(
    readonly d1: SimulatedD1,
    readonly prepared: Prepared,
    readonly values: readonly SQLInputValue[],
  ) {}

  bind(...values: SQLInputValue[]): Statement {
    return new Statement(this.d1, this.prepared, values);
  }

  /** At the database: by itself, it is a transaction of its own. */
  execute() {
    try {
      return { results: this.prepared.statement.all(...this.values), meta: NO_COST };
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new Error(`D1_ERROR: ${message}: ${/constraint/.test(message) ? "SQLITE_CONSTRAINT" : "SQLITE_ERROR"}`);
    }
  }

  all() {
    return this.d1.deliver(() => this.execute(), this.prepared.writesPayment);
  }

  run() {
    return this.all();
  }

  async first() {
    return (await this.all()).results[0] ?? null;
  }
}
