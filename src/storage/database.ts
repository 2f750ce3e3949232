/** One request's way to D1: every statement goes through here, is retried where that helps, and is counted. */
import { classifyD1Error, withRetries } from "./outage";
import type { Sql } from "./sql";

/** What a request has cost in D1, from the runtime's own figures. */
export interface Cost {
  /** Round trips, those that failed included. */
  trips: number;
  rowsRead: number;
  rowsWritten: number;
}

/**
 * The rows of a batch, statement by statement. `T` is a tuple with the row of each statement in its place, or, where
 * all may return the same rows, one row type.
 */
export type BatchRows<T> = [T] extends [readonly unknown[]] ? { [Place in keyof T]: T[Place][] } : T[][];

/** What each database was last said to take, in bytes; an isolate knows of a few. */
const sizes = new WeakMap<D1Database, number>();

export class Database {
  readonly #d1: D1Database;
  readonly cost: Cost = { trips: 0, rowsRead: 0, rowsWritten: 0 };
  /** Statements that D1 was asked for here: it answers so many of one invocation. */
  statements = 0;

  constructor(d1: D1Database) {
    this.#d1 = d1;
  }

  /** The size of the database as D1 has last said it to this isolate, in bytes; null before that. */
  get sizeBytes(): number | null {
    return sizes.get(this.#d1) ?? null;
  }

  /**
   * The rows of one statement that may run twice. One round trip.
   *
   * @throws Outage when D1 is out of reach after retries; what D1 says about the statement itself
   */
  async all<T>(statement: Sql): Promise<T[]> {
    const prepared = this.#prepare(statement);
    const { results } = await withRetries(async () => {
      this.cost.trips++;
      this.statements++;
      return this.#count(await prepared.all<T>());
    }, classifyD1Error);
    return results;
  }

  /**
   * The rows of each statement of one transaction that may run twice. One round trip.
   *
   * @param statements in their order; null stands for one that is left out, and has no rows in its place
   * @returns also how many attempts it took: all but the last may have committed, or may still
   * @throws as `all` does
   */
  async batch<T>(statements: readonly (Sql | null)[]): Promise<{ rows: BatchRows<T>; attempts: number }> {
    const prepared = statements.flatMap((statement) => (statement === null ? [] : [this.#prepare(statement)]));
    let attempts = 0;
    const results = await withRetries(async () => {
      attempts++;
      this.cost.trips++;
      this.statements += prepared.length;
      const answers = await this.#d1.batch(prepared);
      for (const answer of answers) this.#count(answer);
      return answers;
    }, classifyD1Error);
    let next = 0;
    const rows = statements.map((statement) => (statement === null ? [] : (results[next++]?.results ?? [])));
    // As with `all`: what rows a statement returns, its caller knows.
    return { rows: rows as BatchRows<T>, attempts };
  }

  /** Adds what was spent elsewhere in the name of this request. */
  add(cost: Cost): void {
    this.cost.trips += cost.trips;
    this.cost.rowsRead += cost.rowsRead;
    this.cost.rowsWritten += cost.rowsWritten;
  }

  #prepare({ text, values }: Sql): D1PreparedStatement {
    return this.#d1.prepare(text).bind(...values);
  }

  #count<T>(answer: D1Result<T>): D1Result<T> {
    this.cost.rowsRead += answer.meta.rows_read;
    this.cost.rowsWritten += answer.meta.rows_written;
    sizes.set(this.#d1, answer.meta.size_after);
    return answer;
  }
}
