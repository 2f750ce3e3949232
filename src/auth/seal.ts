/**
 * Sealing what the database must not hold in clear: AES-256-GCM under keys that are derived from SECRETS_KEYS for this alone.
 * The text form is `v1.<key id>.<iv>.<ciphertext>`, the last two in base64url. The newest key seals, any that is listed opens.
 */
import { decode, encode, sealingKeys } from "./secret-keys";

/**
 * Where a sealed text stands. It opens there only: what is copied to another row, field or merchant does not. Field names
 * its table, its row's key within the account and its column, such as `operations/17/2/request`.
 */
export interface SealedPlace {
  /** The provider account, the webhook endpoint or whatever else the secret belongs to. */
  readonly account: string;
  readonly merchantId: number;
  readonly field: string;
}

/** What opening came to; but for `opened`, none says more than that, and none is to be shown to a caller. */
export type Opened =
  | { readonly tag: "opened"; readonly text: string }
  /** The key that sealed it is no longer listed in SECRETS_KEYS. */
  | { readonly tag: "key_missing"; readonly keyId: string }
  /** It was altered, stands where it was not sealed for, or was never sealed. */
  | { readonly tag: "not_authentic" };

/** Why a sealed text did not open, for an operator: what it says is in nobody's answer. */
export function whyNotOpened(opened: Exclude<Opened, { readonly tag: "opened" }>): string {
  return opened.tag === "key_missing"
    ? `SECRETS_KEYS does not list the key ${opened.keyId}, which has sealed it`
    : "It was altered, or was sealed for another place";
}

const VERSION = "v1";
/** The vendor's and NIST's length of an IV for AES-GCM. Chance repeats one after some 2^32 texts under one key. */
const IV_BYTES = 12;
const TAG_BYTES = 16;
const BASE64URL = /^[0-9A-Za-z_-]+$/;

/**
 * Seals a text for a place.
 *
 * @param secrets the text of SECRETS_KEYS (`secretsKeys`)
 * @throws Error when the text is no Unicode text, or a part of the place has the separator in it
 */
export async function seal(text: string, place: SealedPlace, secrets: string): Promise<string> {
  if (!text.isWellFormed()) throw new Error("What is sealed must be Unicode text");
  const [newest] = await sealingKeys(secrets);
  if (newest === undefined) throw new Error("SECRETS_KEYS lists no key");
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES));
  const algorithm = { name: "AES-GCM", iv, additionalData: additionalData(place, newest.id) };
  const sealed = await crypto.subtle.encrypt(algorithm, newest.key, new TextEncoder().encode(text));
  return [VERSION, newest.id, encode(iv), encode(new Uint8Array(sealed))].join(".");
}

/**
 * Opens a text that was sealed for the place.
 *
 * @param secrets the text of SECRETS_KEYS (`secretsKeys`)
 */
export async function open(sealed: string, place: SealedPlace, secrets: string): Promise<Opened> {
  const [version, keyId = "", iv, ciphertext, ...rest] = sealed.split(".");
  const bytes = { iv: readBytes(iv), ciphertext: readBytes(ciphertext) };
  if (version !== VERSION || keyId === "" || rest.length > 0) return { tag: "not_authentic" };
  if (bytes.iv?.length !== IV_BYTES || bytes.ciphertext === null || bytes.ciphertext.length < TAG_BYTES) {
    return { tag: "not_authentic" };
  }
  const derived = (await sealingKeys(secrets)).find(({ id }) => id === keyId);
  if (derived === undefined) return { tag: "key_missing", keyId };
  const algorithm = { name: "AES-GCM", iv: bytes.iv, additionalData: additionalData(place, keyId) };
  try {
    const text = await crypto.subtle.decrypt(algorithm, derived.key, bytes.ciphertext);
    return { tag: "opened", text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(text) };
  } catch {
    // The runtime's only word for a tag that does not match.
    return { tag: "not_authentic" };
  }
}

/** The bytes of a part, or null where another text would be of the same bytes: then it is not the one that was written. */
function readBytes(part: string | undefined): Uint8Array<ArrayBuffer> | null {
  if (part === undefined || !BASE64URL.test(part) || part.length % 4 === 1) return null;
  const bytes = decode(part);
  return encode(bytes) === part ? bytes : null;
}

function additionalData({ account, merchantId, field }: SealedPlace, keyId: string) {
  const parts = [account, String(merchantId), field, keyId];
  if (parts.some((part) => part.includes("|"))) throw new Error("A part of a sealed text's place must not contain |");
  return new TextEncoder().encode(parts.join("|"));
}
