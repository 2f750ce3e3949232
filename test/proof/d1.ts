import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";

const MIGRATIONS = path.join(import.meta.dirname, "../../migrations");

/** One D1 call on its way to the database: `execute` is the transaction that it is there. */
export type Deliver = <T>(execute: () => T) => Promise<T>;

/**
 * D1 for the simulated platform: the real SQL and migrations on Node's SQLite, and `deliver` for the
 * network between. Each call is one transaction; its errors read as D1's do.
 */
export class SimulatedD1 {
  readonly #database = new DatabaseSync(":memory:", { enableForeignKeyConstraints: true });
  readonly #prepared = new Map<string, StatementSync>();
  deliver: Deliver = async (execute) => execute();

  constructor() {
    for (const file of readdirSync(MIGRATIONS).sort()) {
      this.#database.exec(readFileSync(path.join(MIGRATIONS, file), "utf8"));
    }
  }

  /** The binding that the service uses. */
  get binding(): D1Database {
    const binding = {
      prepare: (sql: string) => this.#statement(sql, []),
      batch: (statements: { execute(): unknown }[]) =>
        this.deliver(() => this.#transaction(() => statements.map((statement) => statement.execute()))),
    };
    return binding as unknown as D1Database;
  }

  /** Rows of a query, past the network and its faults. */
  rows<T>(sql: string): T[] {
    return this.#prepare(sql).all() as T[];
  }

  /** Empties every table that the service writes; ids begin at 1 again. */
  clear(): void {
    this.#database.exec("DELETE FROM payment_events; DELETE FROM idempotency_keys; DELETE FROM payments");
  }

  #statement(sql: string, values: SQLInputValue[]) {
    const execute = () => {
      try {
        return { results: this.#prepare(sql).all(...values) };
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        throw new Error(`D1_ERROR: ${message}: ${/constraint/.test(message) ? "SQLITE_CONSTRAINT" : "SQLITE_ERROR"}`);
      }
    };
    const all = () => this.deliver(() => this.#transaction(execute));
    return {
      execute,
      all,
      first: async () => (await all()).results[0] ?? null,
      bind: (...bound: SQLInputValue[]) => this.#statement(sql, bound),
    };
  }

  #transaction<T>(work: () => T): T {
    this.#database.exec("BEGIN");
    try {
      const result = work();
      this.#database.exec("COMMIT");
      return result;
    } catch (error) {
      this.#database.exec("ROLLBACK");
      throw error;
    }
  }

  #prepare(sql: string): StatementSync {
    const prepared = this.#prepared.get(sql) ?? this.#database.prepare(sql);
    this.#prepared.set(sql, prepared);
    return prepared;
  }
}
