/**
 * The part of Web Crypto that the service uses, without the thread pool behind it: in a world whose seed decides who goes on
 * when, nothing ends at a time of its own.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createSecretKey,
  hkdfSync,
  KeyObject,
  timingSafeEqual,
} from "node:crypto";

type Key = Parameters<typeof KeyObject.from>[0] | KeyObject;
type Bytes = Uint8Array<ArrayBuffer>;
interface Gcm {
  readonly iv: Bytes;
  readonly additionalData: Bytes;
}

const TAG_BYTES = 16;
const keyObject = (key: Key): KeyObject => (key instanceof KeyObject ? key : KeyObject.from(key));

export const subtle = {
  digest: async (_: string, data: Bytes) => createHash("sha256").update(data).digest(),
  sign: async (_: string, key: Key, data: Bytes) =>
    new Uint8Array(createHmac("sha256", keyObject(key)).update(data).digest()).buffer,
  importKey: async (_: string, bytes: Bytes) => createSecretKey(bytes),
  deriveBits: async ({ salt, info }: { readonly salt: Bytes; readonly info: Bytes }, key: Key, bits: number) =>
    hkdfSync("sha256", keyObject(key), salt, info, bits / 8),
  encrypt: async ({ iv, additionalData }: Gcm, key: Key, text: Bytes) => {
    const cipher = createCipheriv("aes-256-gcm", keyObject(key), iv).setAAD(additionalData);
    return new Uint8Array(Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()])).buffer;
  },
  decrypt: async ({ iv, additionalData }: Gcm, key: Key, sealed: Bytes) => {
    const tag = sealed.subarray(sealed.length - TAG_BYTES);
    const cipher = createDecipheriv("aes-256-gcm", keyObject(key), iv).setAAD(additionalData).setAuthTag(tag);
    const text = cipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
    return new Uint8Array(Buffer.concat([text, cipher.final()])).buffer;
  },
  timingSafeEqual,
};
