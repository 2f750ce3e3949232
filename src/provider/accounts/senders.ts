/** What an isolate remembers of those who send notifications: accounts that it has looked up, and addresses that are refused. */

import type { ProviderAccountRow } from "./accounts";

/** In milliseconds. An account that is changed sends and is answered by its old secrets for as long. */
const ACCOUNT_TTL_MS = 30_000;
const BLOCKED_FOR_MS = 60_000;
/** Of each sort, at most; the oldest go first. */
const MAX_REMEMBERED = 1_000;

interface Remembered<Row> {
  readonly row: Row | null;
  /** In milliseconds. */
  readonly at: number;
}

class SenderCache<Row> {
  /** By database, of which an isolate has one, and by the account's name. */
  readonly #accounts = new WeakMap<object, Map<string, Remembered<Row>>>();
  readonly #blockedSince = new Map<string, number>();

  /** The row of an account, as it is remembered, or else as it is found. */
  async find(database: object, name: string, look: () => Promise<Row | null>): Promise<Row | null> {
    const accounts = this.#accounts.get(database) ?? new Map<string, Remembered<Row>>();
    this.#accounts.set(database, accounts);
    const known = accounts.get(name);
    const now = Date.now();
    // After a clock that went back nothing holds: its age is unknown.
    if (known !== undefined && now >= known.at && now - known.at < ACCOUNT_TTL_MS) return known.row;
    const row = await look();
    put(accounts, name, { row, at: now });
    return row;
  }

  /** Forgets an account that was changed, in this isolate. */
  forget(database: object, name: string): void {
    this.#accounts.get(database)?.delete(name);
  }

  isBlocked(from: string, now: number): boolean {
    const since = this.#blockedSince.get(from);
    return since !== undefined && now >= since && now - since < BLOCKED_FOR_MS;
  }

  block(from: string, now: number): void {
    put(this.#blockedSince, from, now);
  }
}

/** Who sends without being asked must not cost a query each time. */
export const senders = new SenderCache<ProviderAccountRow>();

function put<Value>(map: Map<string, Value>, key: string, value: Value): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > MAX_REMEMBERED && oldest !== undefined) map.delete(oldest);
}
