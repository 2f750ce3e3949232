/** Reads that are begun together go to D1 together. */
import { type BatchRows, Database } from "./database";
import type { Sql } from "./sql";

interface Waiting {
  readonly statements: readonly (Sql | null)[];
  readonly resolve: (answer: { rows: BatchRows<unknown>; attempts: number }) => void;
  readonly reject: (error: unknown) => void;
}

/** What only reads. A statement that names a change goes by itself, as the transaction that it is. */
const READ = /^\s*(SELECT|WITH)\b/i;
const CHANGE = /\b(INSERT|UPDATE|DELETE|REPLACE)\b/i;
const isRead = ({ text }: Sql) => READ.test(text) && !CHANGE.test(text);

/**
 * A way to D1 on which all reads that are begun in the same turn of the event loop are one round trip, and one
 * transaction: a page that shows several things shows them as of the same moment. What one of them throws, all throw.
 */
export class GatheredDatabase extends Database {
  #waiting: Waiting[] = [];

  override async all<T>(statement: Sql): Promise<T[]> {
    if (!isRead(statement)) return super.all<T>(statement);
    const { rows } = await this.#gather([statement]);
    // As in Database: what rows a statement returns, its caller knows.
    return (rows[0] ?? []) as T[];
  }

  override async batch<T>(statements: readonly (Sql | null)[]): Promise<{ rows: BatchRows<T>; attempts: number }> {
    const isReading = statements.every((statement) => statement === null || isRead(statement));
    if (!isReading) return super.batch<T>(statements);
    const { rows, attempts } = await this.#gather(statements);
    return { rows: rows as BatchRows<T>, attempts };
  }

  #gather(statements: readonly (Sql | null)[]): Promise<{ rows: BatchRows<unknown>; attempts: number }> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ statements, resolve, reject });
      // After everything that is ready to run, which may begin further reads.
      if (this.#waiting.length === 1) setTimeout(() => void this.#send(), 0);
    });
  }

  async #send(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    try {
      const { rows, attempts } = await super.batch<unknown>(waiting.flatMap(({ statements }) => statements));
      let next = 0;
      for (const { statements, resolve } of waiting) {
        resolve({ rows: rows.slice(next, next + statements.length), attempts });
        next += statements.length;
      }
    } catch (error) {
      for (const { reject } of waiting) reject(error);
    }
  }
}
