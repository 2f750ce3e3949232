/**
 * The part of Web Crypto that the service uses, without the thread pool behind it: in a world whose seed decides who goes on
 * when, nothing ends at a time of its own.
 */
import { createCipheriv, createDecipheriv, createHmac, hash, hkdfSync, KeyObject, timingSafeEqual } from "node:crypto";

type Bytes = Uint8Array<ArrayBuffer>;
/** A key of this world's is its bytes: an object for each would cost more than what is done with it. */
type Key = Parameters<typeof KeyObject.from>[0] | Bytes;
interface Gcm {
  readonly iv: Bytes;
  readonly additionalData: Bytes;
}
interface Hkdf {
  readonly salt: Bytes;
  readonly info: Bytes;
}

const TAG_BYTES = 16;

/** Keys that were made before a world took over. */
const keyObjects = new WeakMap<object, KeyObject>();
function secretOf(key: Key): KeyObject | Bytes {
  if (key instanceof Uint8Array) return key;
  const known = keyObjects.get(key) ?? KeyObject.from(key);
  keyObjects.set(key, known);
  return known;
}

/** A part of a message at a time, and one piece of memory for all. */
function joined(first: Buffer, ...others: Buffer[]): ArrayBuffer {
  return new Uint8Array(Buffer.concat([first, ...others])).buffer;
}

/** What was derived from bytes: the same comes of the same, and every call to a provider derives its account's secrets. */
const derived = new Map<string, ArrayBuffer>();
function derive(key: Key, { salt, info }: Hkdf, bits: number): ArrayBuffer {
  const secret = secretOf(key);
  if (!(secret instanceof Uint8Array)) return hkdfSync("sha256", secret, salt, info, bits / 8);
  const name = [secret, salt, info].map((part) => Buffer.from(part).toString("latin1")).join(`|${bits}|`);
  const made = derived.get(name) ?? hkdfSync("sha256", secret, salt, info, bits / 8);
  derived.set(name, made);
  return made.slice(0);
}

export const subtle = {
  digest: async (_: string, data: Bytes) => hash("sha256", data, "buffer"),
  sign: async (_: string, key: Key, data: Bytes) => joined(createHmac("sha256", secretOf(key)).update(data).digest()),
  importKey: async (_: string, bytes: Bytes) => Uint8Array.from(bytes),
  deriveBits: async (hkdf: Hkdf, key: Key, bits: number) => derive(key, hkdf, bits),
  encrypt: async ({ iv, additionalData }: Gcm, key: Key, text: Bytes) => {
    const cipher = createCipheriv("aes-256-gcm", secretOf(key), iv).setAAD(additionalData);
    return joined(cipher.update(text), cipher.final(), cipher.getAuthTag());
  },
  decrypt: async ({ iv, additionalData }: Gcm, key: Key, sealed: Bytes) => {
    const tag = sealed.subarray(sealed.length - TAG_BYTES);
    const cipher = createDecipheriv("aes-256-gcm", secretOf(key), iv).setAAD(additionalData).setAuthTag(tag);
    return joined(cipher.update(sealed.subarray(0, sealed.length - TAG_BYTES)), cipher.final());
  },
  timingSafeEqual,
};
