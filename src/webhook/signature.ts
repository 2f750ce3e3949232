/**
 * The secrets of webhook endpoints, which are stored sealed, and the signatures under them: those of the Standard Webhooks
 * specification, 1.0, HMAC-SHA256 over the id, the time and the body.
 */
import { open, type SealedPlace, whyNotOpened } from "../auth/seal";
import { logError } from "../storage/log";

const PREFIX = "whsec_";
/** The specification allows 24 to 64. */
const SECRET_BYTES = 32;

/** A new secret, as consumers of the specification take it. */
export function makeSecret(): string {
  return PREFIX + btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(SECRET_BYTES))));
}

/** Where the secrets of an endpoint are sealed: in its row, in either of two columns, for a roll moves one to the other. */
export const endpointSecretPlace = (merchantId: number, endpointId: number): SealedPlace => ({
  account: "webhook_endpoints",
  merchantId,
  field: `webhook_endpoints/${endpointId}/secret`,
});

/**
 * Opens the secrets of an endpoint, each once however often it is needed. One that cannot be opened is said in the log.
 *
 * @param keys the text of SECRETS_KEYS
 * @returns opens those that are to sign, the newest first; none when that one cannot be opened, for a receiver may know it alone
 */
export function secretOpener(
  { merchantId, endpointId }: { readonly merchantId: number; readonly endpointId: number },
  keys: string,
): (sealed: readonly string[]) => Promise<readonly string[]> {
  const texts = new Map<string, Promise<string | null>>();
  const openText = async (sealed: string): Promise<string | null> => {
    const opened = await open(sealed, endpointSecretPlace(merchantId, endpointId), keys);
    if (opened.tag === "opened") return opened.text;
    const cause = whyNotOpened(opened);
    logError({ message: "webhook secret not opened", endpoint_id: endpointId, merchant_id: merchantId, cause });
    return null;
  };
  const openOnce = (sealed: string): Promise<string | null> => {
    const known = texts.get(sealed) ?? openText(sealed);
    texts.set(sealed, known);
    return known;
  };
  return async (sealed) => {
    const [newest = null, ...others] = await Promise.all(sealed.map(openOnce));
    return newest === null ? [] : [newest, ...others.filter((other) => other !== null)];
  };
}

const UTF8 = new TextEncoder();

function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

async function signatureOf(secret: string, text: string): Promise<string> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", bytesOf(secret.slice(PREFIX.length)), algorithm, false, ["sign"]);
  return btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.sign("HMAC", key, UTF8.encode(text)))));
}

/**
 * The headers that a message is signed with.
 *
 * @param secrets as `makeSecret` makes them; each signs, so that either will do while one takes another's place
 * @param id the same on every attempt: a consumer knows by it what it has seen
 * @param now in milliseconds; the header has seconds
 */
export async function signedHeaders(
  secrets: readonly string[],
  id: string,
  now: number,
  body: string,
): Promise<Record<string, string>> {
  const timestamp = String(Math.floor(now / 1000));
  const signatures = await Promise.all(secrets.map((secret) => signatureOf(secret, `${id}.${timestamp}.${body}`)));
  return {
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    "webhook-signature": signatures.map((signature) => `v1,${signature}`).join(" "),
  };
}
