/**
 * Idempotency keys: their syntax and the fingerprint that tells a retry from a reuse. What a key has
 * led to is kept in D1, in the batch of the change itself (see payment/create.ts and operation/run-action.ts).
 */
// Node runs this file as it is, for the benchmarks: hence the extension.
import { sha256 } from "./digest.ts";

export const MAX_IDEMPOTENCY_KEY_LENGTH = 255;

const VISIBLE_ASCII = /^[\x21-\x7e]+$/;
/** An RFC 9651 string: printable ASCII between quotes, with `\"` and `\\` as its only escapes. */
const QUOTED = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/;

/** The values of the header that are keys, in the document: as they are, or as an RFC 9651 string. */
export const IDEMPOTENCY_KEY_PATTERN = String.raw`^(?:[!#-~][!-~]{0,${MAX_IDEMPOTENCY_KEY_LENGTH - 1}}|"(?:[!#-\[\]-~]|\\["\\]){1,${MAX_IDEMPOTENCY_KEY_LENGTH}}")$`;

export type ReadIdempotencyKey = { ok: true; key: string } | { ok: false; detail: string };

/**
 * Reads the value of an `Idempotency-Key` header. A quoted string (`"abc"`) is the same key as `abc`.
 *
 * @returns the key, 1 to 255 visible ASCII characters, or what is wrong with the value. Two headers
 *   reach a Worker as one value joined by `, `, which the space betrays.
 */
export function readIdempotencyKey(value: string): ReadIdempotencyKey {
  let key = value;
  if (value.startsWith('"')) {
    const quoted = QUOTED.exec(value);
    if (!quoted) return { ok: false, detail: "Must be one complete quoted string, or have no quote in front" };
    key = (quoted[1] ?? "").replace(/\\(["\\])/g, "$1");
  }
  if (key === "") return { ok: false, detail: "Must not be empty" };
  if (key.length > MAX_IDEMPOTENCY_KEY_LENGTH) {
    return { ok: false, detail: `Must be at most ${MAX_IDEMPOTENCY_KEY_LENGTH} characters long` };
  }
  if (!VISIBLE_ASCII.test(key)) {
    return { ok: false, detail: "Must be one value of visible ASCII characters, without spaces" };
  }
  return { ok: true, key };
}

/** One intended success of a caller: its name, and what it is to do. */
export interface Idempotency {
  readonly key: string;
  readonly fingerprint: string;
}

/**
 * The fingerprint of a request: SHA-256, in hex, over the operation, the id of what it is about (null when
 * it makes one) and the validated, normalised body. Two spellings of one request have one fingerprint.
 */
export function fingerprint(operation: string, subject: number | string | null, body: object): Promise<string> {
  const fields = Object.entries(body).sort(([a], [b]) => (a < b ? -1 : 1));
  return sha256(JSON.stringify([operation, subject, fields]));
}
