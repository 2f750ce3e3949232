/**
 * API keys: `pay_<public id>_<secret><checksum>`, all of it base62. The public id names the key in lists,
 * events and logs. The checksum is a MAC of what comes before it, under a key of the service: what the service has not
 * issued, a typing error too, is refused without a look-up. What is stored is the SHA-256 of the whole key.
 *
 * The administrator's key has the same form, by which scanners know it; its checksum is a CRC-32, for it is made before
 * there is any secret, and it is compared whole.
 */
// Node runs this file as it is, for the commands that make keys: hence the extension.
import type { MacKey } from "./secret-keys.ts";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PUBLIC_ID_LENGTH = 12;
/** 32 characters of base62 are 190 bits. */
const SECRET_LENGTH = 32;
/** 35 bits: a guess in 56,000 million costs a look-up. */
const CHECKSUM_LENGTH = 6;

export const PUBLIC_ID = new RegExp(`^[0-9A-Za-z]{${PUBLIC_ID_LENGTH}}$`);
const FORMAT = new RegExp(
  `^(pay_([0-9A-Za-z]{${PUBLIC_ID_LENGTH}})_[0-9A-Za-z]{${SECRET_LENGTH}})([0-9A-Za-z]{${CHECKSUM_LENGTH}})$`,
);

/** A key with its public id. */
export interface IssuedApiKey {
  readonly id: string;
  /** Shown once, in the answer to the request that creates it. */
  readonly key: string;
}

/** A new key, with its checksum under the newest of the service's keys for that. */
export async function makeApiKey([newest]: readonly MacKey[]): Promise<IssuedApiKey> {
  if (newest === undefined) throw new Error("There is no key to make checksums with");
  const { id, body } = randomBody();
  return { id, key: await withChecksum(body, newest) };
}

/** A key of the part that is not its checksum. */
export async function withChecksum(body: string, checksumKey: MacKey): Promise<string> {
  return body + (await mac(body, checksumKey));
}

/** A new administrator's key. */
export function makeAdministratorKey(): string {
  const { body } = randomBody();
  return body + crc(body);
}

/** The public id of what has the form of a key; null for other texts. */
export function publicId(key: string): string | null {
  return FORMAT.exec(key)?.[2] ?? null;
}

/** Whether the service has issued a key, under one of its keys for checksums: a MAC says so, and no look-up. */
export async function isIssued(key: string, checksumKeys: readonly MacKey[]): Promise<boolean> {
  const [, body, , checksum] = FORMAT.exec(key) ?? [];
  if (body === undefined || checksum === undefined) return false;
  const right = await Promise.all(checksumKeys.map((secret) => mac(body, secret)));
  // All of them, in full, so that the time tells nothing.
  return right.map((text) => difference(text, checksum)).includes(0);
}

/** The public id of an administrator's key; null for what is none, a typing error too. */
export function administratorId(key: string): string | null {
  const [, body, id, checksum] = FORMAT.exec(key) ?? [];
  return body !== undefined && id !== undefined && crc(body) === checksum ? id : null;
}

function randomBody(): { id: string; body: string } {
  const id = randomText(PUBLIC_ID_LENGTH);
  return { id, body: `pay_${id}_${randomText(SECRET_LENGTH)}` };
}

/** Each character equally likely: bytes beyond the last whole alphabet are drawn again. */
function randomText(length: number): string {
  const fair = 256 - (256 % ALPHABET.length);
  let text = "";
  while (text.length < length) {
    for (const byte of crypto.getRandomValues(new Uint8Array(length))) {
      if (byte < fair && text.length < length) text += ALPHABET.charAt(byte % ALPHABET.length);
    }
  }
  return text;
}

/** The HMAC-SHA-256 of a text: its first 48 bits, in base62. */
async function mac(text: string, secret: MacKey): Promise<string> {
  const digest = new DataView(await crypto.subtle.sign("HMAC", secret, new TextEncoder().encode(text)));
  return base62(digest.getUint16(0) * 2 ** 32 + digest.getUint32(2));
}

function difference(one: string, other: string): number {
  let bits = 0;
  for (let n = 0; n < CHECKSUM_LENGTH; n++) bits |= one.charCodeAt(n) ^ other.charCodeAt(n);
  return bits;
}

/** CRC-32 (ISO 3309) of an ASCII text, in base62. */
function crc(text: string): string {
  let remainder = 0xffffffff;
  for (let n = 0; n < text.length; n++) {
    remainder ^= text.charCodeAt(n);
    for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? 0xedb88320 : 0);
  }
  return base62((remainder ^ 0xffffffff) >>> 0);
}

/** The last six digits of a number. */
function base62(value: number): string {
  let [rest, digits] = [value, ""];
  for (let digit = 0; digit < CHECKSUM_LENGTH; digit++) {
    digits = ALPHABET.charAt(rest % ALPHABET.length) + digits;
    rest = Math.floor(rest / ALPHABET.length);
  }
  return digits;
}
