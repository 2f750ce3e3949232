/** What an isolate remembers of the keys that it has looked up, so that a warm request pays no round trip. */
import type { Principal } from "../scopes";

/** In milliseconds. */
const KEY_CACHE_TTL_MS = 30_000;
/** Keys that are remembered, of each sort, at most; the oldest go first. */
const KEY_CACHE_SIZE = 1_000;

interface Remembered {
  /** The whole key, in memory only: comparing it spares a warm request the digest. */
  readonly key: Uint8Array;
  /** When it was looked up, in milliseconds. */
  readonly at: number;
}

/** Whether what is remembered still holds. After a clock that went back nothing does: its age is unknown. */
export function isFresh({ at }: Remembered, now: number): boolean {
  return now >= at && now - at < KEY_CACHE_TTL_MS;
}

interface KeyCache {
  /** By public id. */
  readonly valid: Map<string, Remembered & { readonly principal: Principal }>;
  /** Those that were looked up and refused: because their merchant is disabled, or for good. */
  readonly refused: Map<string, Remembered & { readonly isDisabled: boolean }>;
}

/** One per D1 binding, of which an isolate has one. */
const caches = new WeakMap<D1Database, KeyCache>();

export function memoryOf({ DB }: Env): KeyCache {
  const cache = caches.get(DB) ?? { valid: new Map(), refused: new Map() };
  caches.set(DB, cache);
  return cache;
}

/** For how long a key of this id is still remembered, in milliseconds; without a key for ever. */
export function freshForMs(env: Env, id: string | null, now: number): number {
  if (id === null) return Number.POSITIVE_INFINITY;
  const remembered = memoryOf(env).valid.get(id);
  return remembered && isFresh(remembered, now) ? remembered.at + KEY_CACHE_TTL_MS - now : 0;
}

export function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > KEY_CACHE_SIZE && oldest !== undefined) map.delete(oldest);
}

/** Forgets keys in this isolate, so that their end takes effect here at once. */
export function forgetKeys(env: Env, ids: Iterable<string>): void {
  for (const id of ids) memoryOf(env).valid.delete(id);
}

/** Forgets the keys of a merchant in this isolate, so that it is disabled or enabled here at once. */
export function forgetMerchant(env: Env, merchantId: number): void {
  const { valid, refused } = memoryOf(env);
  for (const [id, { principal }] of valid) if (principal.merchantId === merchantId) valid.delete(id);
  for (const [id, { isDisabled }] of refused) if (isDisabled) refused.delete(id);
}
