/**
 * The Worker's secret keys: the secret SECRETS_KEYS maps ids to keys, `id:key,id:key`, the newest first, each key 32 bytes
 * in base64url. What is made is made under the newest; what an older one has made holds while that is listed. From
 * each, a key is derived for one purpose alone, so that no two purposes share one.
 */

/** A tenth key would be a rotation that never ended. */
const MAX_KEYS = 10;
const KEY_BYTES = 32;
const PAIR = /^([0-9A-Za-z_-]{1,32}):([0-9A-Za-z_-]{43})$/;

/** Open mode needs nothing set, and hides nothing: what is made under this key holds in open mode alone. */
const OPEN_MODE_KEYS = `open:${"A".repeat(43)}`;

/** The text of SECRETS_KEYS that counts; empty when it is not set and must be. */
export function secretsKeys({ AUTH_MODE, SECRETS_KEYS }: { AUTH_MODE: string; SECRETS_KEYS?: string }): string {
  return SECRETS_KEYS || (AUTH_MODE === "open" ? OPEN_MODE_KEYS : "");
}

/** Reads a value of SECRETS_KEYS, newest key first; null when it is none. */
export function readSecretsKeys(text: string): { id: string; key: Uint8Array<ArrayBuffer> }[] | null {
  const keys = text.split(",").map((pair) => {
    const [, id, key] = PAIR.exec(pair.trim()) ?? [];
    return id === undefined || key === undefined ? null : { id, key: decode(key) };
  });
  const complete = keys.filter((key) => key !== null);
  const ids = new Set(complete.map(({ id }) => id));
  return complete.length < keys.length || ids.size < keys.length || keys.length > MAX_KEYS ? null : complete;
}

/** A value for SECRETS_KEYS with one new key, whose id says the day. */
export function makeSecretsKeys(now: Date): string {
  const [day] = now.toISOString().split("T");
  const bytes = crypto.getRandomValues(new Uint8Array(KEY_BYTES + 3));
  return `${day}-${encode(bytes.subarray(KEY_BYTES))}:${encode(bytes.subarray(0, KEY_BYTES))}`;
}

/** A value of SECRETS_KEYS with a new key in front of its own, or why there is none. */
export function rotateSecretsKeys(
  text: string,
  now: Date,
): { readonly ok: true; readonly keys: string } | { readonly ok: false; readonly detail: string } {
  const keys = text.trim();
  const listed = readSecretsKeys(keys);
  if (listed === null)
    return { ok: false, detail: "It holds something else than keys that `npm run secrets-key` has made" };
  return listed.length === MAX_KEYS
    ? { ok: false, detail: `It has ${MAX_KEYS} keys already: take out one that nothing names any more` }
    : { ok: true, keys: `${makeSecretsKeys(now)},${keys}` };
}

/** A key, as the runtime holds it. */
export type RuntimeKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;
export type MacKey = RuntimeKey;

/** One of the keys that were derived for a purpose, with the id of the secret key that it comes from. */
export interface DerivedKey {
  readonly id: string;
  readonly key: RuntimeKey;
}

/** What was derived last for a purpose, of which an isolate has one. */
interface Derived<T> {
  readonly text: string;
  readonly keys: Promise<readonly T[]>;
}

let checksum: Derived<MacKey> | undefined;
let sealing: Derived<DerivedKey> | undefined;

/** The keys that the checksums of API keys are made with, newest first. */
export function checksumKeys(text: string): Promise<readonly MacKey[]> {
  if (checksum?.text !== text) {
    const hmac = { name: "HMAC", hash: "SHA-256", length: 256 };
    const keys = derive(text, "payment-service api-key checksum", hmac, ["sign"]);
    checksum = { text, keys: keys.then((all) => all.map(({ key }) => key)) };
  }
  return checksum.keys;
}

/** The keys that secrets and payment tokens are sealed with, newest first. */
export function sealingKeys(text: string): Promise<readonly DerivedKey[]> {
  if (sealing?.text !== text) {
    const aes = { name: "AES-GCM", length: 256 };
    sealing = { text, keys: derive(text, "payment-service seal", aes, ["encrypt", "decrypt"]) };
  }
  return sealing.keys;
}

async function derive(
  text: string,
  purpose: string,
  algorithm: { readonly name: string; readonly length: number; readonly hash?: string },
  usages: ("sign" | "encrypt" | "decrypt")[],
): Promise<DerivedKey[]> {
  const keys = readSecretsKeys(text);
  if (keys === null) throw new Error("SECRETS_KEYS is not what the configuration was checked for");
  const info = new TextEncoder().encode(purpose);
  return Promise.all(
    keys.map(async ({ id, key }) => {
      const secret = await crypto.subtle.importKey("raw", key, "HKDF", false, ["deriveKey"]);
      const hkdf = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info };
      return { id, key: await crypto.subtle.deriveKey(hkdf, secret, algorithm, false, usages) };
    }),
  );
}

/** The secrets, newest first, that the notifications of a sandbox account are signed with: its own, of each listed key. */
export function sandboxSecrets(
  variables: { AUTH_MODE: string; SECRETS_KEYS?: string },
  accountId: string,
): Promise<string[]> {
  return deriveTexts(secretsKeys(variables), `payment-service sandbox notifications ${accountId}`);
}

/**
 * The secrets, newest first, by which the service knows the URLs that it has given to an account's provider.
 *
 * @param text of SECRETS_KEYS (`secretsKeys`)
 */
export function notificationSecrets(text: string, accountId: string): Promise<string[]> {
  return deriveTexts(text, `payment-service notification urls ${accountId}`);
}

/**
 * Secrets derived for one purpose, in base64url, the newest key's first.
 *
 * @param purpose names it, and whose it is: no two share a secret
 */
async function deriveTexts(text: string, purpose: string): Promise<string[]> {
  const keys = readSecretsKeys(text);
  if (keys === null) throw new Error("SECRETS_KEYS is not what the configuration was checked for");
  const info = new TextEncoder().encode(purpose);
  return Promise.all(
    keys.map(async ({ key }) => {
      const secret = await crypto.subtle.importKey("raw", key, "HKDF", false, ["deriveBits"]);
      const hkdf = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info };
      return encode(new Uint8Array(await crypto.subtle.deriveBits(hkdf, secret, KEY_BYTES * 8)));
    }),
  );
}

/** Bytes in base64url, without padding. */
export function encode(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

/** The bytes of a text in base64url. */
export function decode(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));
}
