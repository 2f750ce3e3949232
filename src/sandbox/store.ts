/**
 * What the sandbox keeps of one account, in SQLite: its payments, the keys of calls, every movement of money, and what is
 * still to happen. It runs on an object's own storage, and on any other SQLite that runs a statement at once.
 */
import type { Window } from "../http/pages";
import { raw, type Sql, sql } from "../storage/sql";
import type { Call } from "./judge";
import { EFFECT_KINDS, type Effect, type SandboxPayment, type Step } from "./ledger";

/** Runs one statement and gives its rows. */
export type Execute = (statement: Sql) => Readonly<Record<string, unknown>>[];

/** The answer that a key has led to. */
export interface StoredAnswer {
  /** The method, path and body that came under the key. */
  readonly request: string;
  readonly status: number;
  readonly body: string;
  readonly created: number;
  /** Until when the answer is held back, and the key in use. */
  readonly busy_until: number;
}

/** A notification on its way. */
export interface Notification {
  readonly body: string;
  readonly first: number;
  readonly attempts: number;
  readonly is_signed_wrongly: boolean;
}

export type TaskData =
  | { readonly kind: "step"; readonly step: Step }
  | { readonly kind: "arrive"; readonly call: Call }
  | { readonly kind: "notify"; readonly notification: Notification };

export interface Task {
  readonly id: number;
  readonly dueAt: number;
  readonly payment: string;
  readonly data: TaskData;
}

/** A movement of money, as it is listed. */
export interface StoredEffect extends Effect {
  readonly id: number;
  readonly payment: string;
  readonly created: number;
}

const TABLES = [
  sql`CREATE TABLE payments (id TEXT PRIMARY KEY, created INTEGER NOT NULL, data TEXT NOT NULL) STRICT, WITHOUT ROWID`,
  sql`CREATE INDEX payments_by_time ON payments (created, id)`,
  sql`CREATE TABLE keys (key TEXT PRIMARY KEY, created INTEGER NOT NULL, data TEXT NOT NULL) STRICT, WITHOUT ROWID`,
  sql`CREATE INDEX keys_by_time ON keys (created)`,
  sql`CREATE TABLE struck_keys (key TEXT PRIMARY KEY, created INTEGER NOT NULL) STRICT, WITHOUT ROWID`,
  sql`CREATE INDEX struck_keys_by_time ON struck_keys (created)`,
  sql`CREATE TABLE effects (id INTEGER PRIMARY KEY, payment TEXT NOT NULL, created INTEGER NOT NULL,
    kind TEXT NOT NULL, amount INTEGER NOT NULL, nonce TEXT) STRICT`,
  sql`CREATE INDEX effects_by_payment ON effects (payment, id)`,
  sql`CREATE TABLE tasks (id INTEGER PRIMARY KEY, due_at INTEGER NOT NULL, payment TEXT NOT NULL,
    data TEXT NOT NULL) STRICT`,
  sql`CREATE INDEX tasks_by_time ON tasks (due_at, id)`,
  sql`CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID`,
];

/** What is kept as JSON is this module's own, so that it is what its type says. */
const parse = <Data>(row: Readonly<Record<string, unknown>> | undefined): Data | null =>
  row === undefined ? null : JSON.parse(String(row.data));

export class Store {
  readonly #execute: Execute;

  /**
   * @param transact runs work whose statements all hold, or none
   */
  constructor(
    execute: Execute,
    readonly transact: <Result>(work: () => Result) => Result,
  ) {
    this.#execute = execute;
  }

  /** Whether anything was ever kept here: who only looks for something leaves no trace of that. */
  get exists(): boolean {
    return this.#execute(sql`SELECT 1 FROM sqlite_master WHERE name = 'settings'`).length > 0;
  }

  /** Makes the tables, before anything is kept. */
  open(): void {
    if (!this.exists) for (const table of TABLES) this.#execute(table);
  }

  findPayment(id: string): SandboxPayment | null {
    return parse(this.#execute(sql`SELECT data FROM payments WHERE id = ${id}`)[0]);
  }

  putPayment(payment: SandboxPayment): void {
    this.#execute(sql`INSERT INTO payments (id, created, data)
      VALUES (${payment.id}, ${payment.created}, ${JSON.stringify(payment)})
      ON CONFLICT (id) DO UPDATE SET data = excluded.data`);
  }

  /** Payments from a time on, in the order of their creation; after a payment when one is named. */
  listPayments({ from, to, after, limit }: { from: number; to: number; after: string; limit: number }) {
    const last = this.findPayment(after);
    const [created, id] = last ? [last.created, last.id] : [from, ""];
    const rows =
      this.#execute(sql`SELECT data FROM payments WHERE (created, id) > (${created}, ${id}) AND created < ${to}
      ORDER BY created, id LIMIT ${limit}`);
    return rows.map((row): SandboxPayment => JSON.parse(String(row.data)));
  }

  /** Payments next to a position, nearest first, without making anything where nothing is kept. */
  listNearest({ position, backward, limit }: Window): SandboxPayment[] {
    if (!this.exists) return [];
    const [compare, order] = backward ? [raw(">"), raw("ASC")] : [raw("<"), raw("DESC")];
    const within = position ? sql`WHERE (created, id) ${compare} (${position.at}, ${String(position.id)})` : raw("");
    const rows = this.#execute(
      sql`SELECT data FROM payments ${within} ORDER BY created ${order}, id ${order} LIMIT ${limit}`,
    );
    return rows.map((row): SandboxPayment => JSON.parse(String(row.data)));
  }

  /** @param since a key that is older has been forgotten */
  findAnswer(key: string, since: number): StoredAnswer | null {
    return parse(this.#execute(sql`SELECT data FROM keys WHERE key = ${key} AND created >= ${since}`)[0]);
  }

  putAnswer(key: string, answer: StoredAnswer): void {
    this.#execute(sql`INSERT INTO keys (key, created, data) VALUES (${key}, ${answer.created}, ${JSON.stringify(answer)})
      ON CONFLICT (key) DO UPDATE SET created = excluded.created, data = excluded.data`);
  }

  forgetKey(key: string): void {
    this.#execute(sql`DELETE FROM keys WHERE key = ${key}`);
  }

  forgetKeys(before: number): void {
    this.#execute(sql`DELETE FROM keys WHERE created < ${before}`);
    this.#execute(sql`DELETE FROM struck_keys WHERE created < ${before}`);
  }

  /** Notes that a call's fault has struck; whether it was for the first time. */
  strike(key: string, now: number): boolean {
    if (this.#execute(sql`SELECT 1 FROM struck_keys WHERE key = ${key}`).length > 0) return false;
    this.#execute(sql`INSERT INTO struck_keys (key, created) VALUES (${key}, ${now})`);
    return true;
  }

  addEffect(payment: string, { kind, amount, nonce }: Effect, now: number): void {
    this.#execute(sql`INSERT INTO effects (payment, created, kind, amount, nonce)
      VALUES (${payment}, ${now}, ${kind}, ${amount}, ${nonce})`);
  }

  /** Movements of money, in their order, of one payment or of all. */
  listEffects({ payment, after, limit }: { payment: string | null; after: number; limit: number }): StoredEffect[] {
    const rows = this.#execute(sql`SELECT id, payment, created, kind, amount, nonce FROM effects
      WHERE id > ${after} AND (${payment} IS NULL OR payment = ${payment}) ORDER BY id LIMIT ${limit}`);
    return rows.map(({ kind, nonce, ...row }) => ({
      id: Number(row.id),
      payment: String(row.payment),
      created: Number(row.created),
      amount: Number(row.amount),
      nonce: nonce === null ? null : String(nonce),
      kind: EFFECT_KINDS.find((known) => known === kind) ?? "captured",
    }));
  }

  addTask(payment: string, dueAt: number, data: TaskData): void {
    this.#execute(
      sql`INSERT INTO tasks (due_at, payment, data) VALUES (${dueAt}, ${payment}, ${JSON.stringify(data)})`,
    );
  }

  /** What is due, in the order of its time. */
  findDue(now: number, limit: number): Task[] {
    return this.#execute(sql`SELECT id, due_at, payment, data FROM tasks WHERE due_at <= ${now}
      ORDER BY due_at, id LIMIT ${limit}`).map(
      (row): Task => ({
        id: Number(row.id),
        dueAt: Number(row.due_at),
        payment: String(row.payment),
        data: JSON.parse(String(row.data)),
      }),
    );
  }

  postpone(id: number, dueAt: number, data: TaskData): void {
    this.#execute(sql`UPDATE tasks SET due_at = ${dueAt}, data = ${JSON.stringify(data)} WHERE id = ${id}`);
  }

  removeTask(id: number): void {
    this.#execute(sql`DELETE FROM tasks WHERE id = ${id}`);
  }

  /** When the next task is due; null when there is none. */
  nextDue(): number | null {
    const [row] = this.#execute(sql`SELECT min(due_at) AS next FROM tasks`);
    return row?.next == null ? null : Number(row.next);
  }

  readSetting(name: string): string | null {
    const [row] = this.#execute(sql`SELECT value FROM settings WHERE name = ${name}`);
    return row === undefined ? null : String(row.value);
  }

  writeSetting(name: string, value: string): void {
    this.#execute(sql`INSERT INTO settings (name, value) VALUES (${name}, ${value})
      ON CONFLICT (name) DO UPDATE SET value = excluded.value`);
  }
}
