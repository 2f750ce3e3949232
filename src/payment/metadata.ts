/** How a payment's metadata are kept: all of them in its row, and the beginning of each value in an index. */
import { type Sql, sql } from "../storage/sql";

/** What a payment may carry. Lengths are in characters, as Unicode counts them. */
export const MAX_PAIRS = 20;
export const MAX_NAME_LENGTH = 40;
export const MAX_VALUE_LENGTH = 500;
/** Of all pairs together, as JSON in UTF-8. */
export const MAX_METADATA_BYTES = 8_192;

/** Characters of a value that its index has: all of nearly every value, and little of a long one. */
const PREFIX_LENGTH = 64;

/** The part of a value that its index has, as SQL. */
export const prefixOf = (value: Sql): Sql => sql`substr(${value}, 1, ${PREFIX_LENGTH})`;

/** What a pair takes in the index beside its texts, in bytes. */
const PAIR_BYTES = 30;

/** As JSON in UTF-8. */
export const jsonBytes = (value: unknown): number => new TextEncoder().encode(JSON.stringify(value)).length;

/** What metadata take in the database, in bytes: their JSON, and the beginnings of their values in the index. */
export function metadataBytes(metadata: Readonly<Record<string, string>>): number {
  const prefixes = indexedPairs(metadata);
  return prefixes.length === 0 ? 0 : jsonBytes(metadata) + jsonBytes(prefixes) + prefixes.length * PAIR_BYTES;
}

/** What is to be changed of metadata: null removes a pair. */
export type MetadataChanges = Readonly<Record<string, string | null>>;

/** Pairs with their names in order, as they are kept. */
export function inOrder(pairs: Iterable<readonly [name: string, value: string]>): Record<string, string> {
  return Object.fromEntries([...pairs].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Metadata with changes, as a merge patch (RFC 7396) makes them. */
export function mergeMetadata(
  metadata: Readonly<Record<string, string>>,
  changes: MetadataChanges,
): Record<string, string> {
  const merged = new Map(Object.entries(metadata));
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) merged.delete(name);
    else merged.set(name, value);
  }
  return inOrder(merged);
}

export const TOO_MANY_PAIRS_MESSAGE = `Must have at most ${MAX_PAIRS} pairs`;
export const TOO_MANY_BYTES_MESSAGE = `Must have at most ${MAX_METADATA_BYTES} bytes in all, as JSON in UTF-8`;

/** What is wrong with metadata as a whole, or null. */
export function metadataFault(metadata: Readonly<Record<string, string>>): string | null {
  if (Object.keys(metadata).length > MAX_PAIRS) return TOO_MANY_PAIRS_MESSAGE;
  return jsonBytes(metadata) > MAX_METADATA_BYTES ? TOO_MANY_BYTES_MESSAGE : null;
}

/** The pairs that the index has of metadata. */
export function indexedPairs(metadata: Readonly<Record<string, string>>): [name: string, prefix: string][] {
  return Object.entries(metadata).map(([name, value]) => [name, [...value].slice(0, PREFIX_LENGTH).join("")]);
}

/** Whether no other value begins like this one as far as the index goes, so that it answers a question for it. */
export const isIndexed = (value: string): boolean => [...value].length < PREFIX_LENGTH;

/** Whether a payment has a pair, as SQL that reads no row: setting it changes nothing. */
export const hasPair = ([name, value]: readonly [name: string, value: string]): Sql =>
  sql`json_patch(payments.metadata, ${JSON.stringify({ [name]: value })}) = payments.metadata`;
