/** The sandbox's notifications: when they are sent, and how they are signed. */
import type { Notification } from "./store";
import { type Behaviour, DELAY_MS } from "./tokens";

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;

/** The pauses after a notification that was not taken; the last one goes on, until it is given up. */
const PAUSES_MS: readonly number[] = [5 * SECOND, 30 * SECOND, 120 * SECOND, 600 * SECOND, HOUR, 6 * HOUR];
const GIVE_UP_AFTER_MS = 72 * HOUR;

/** The header of a notification's signature. */
export const SIGNATURE_HEADER = "Sandbox-Signature";

/** When a notification is sent, for each time that it is. */
export function sendingTimes(notifies: Behaviour["notifies"], isProcessing: boolean, now: number): number[] {
  if (notifies === "never") return [];
  if (notifies === "twice") return [now, now + SECOND];
  // What says that a payment is processing comes after what says that it is no more.
  return [notifies === "reordered" && isProcessing ? now + 2 * DELAY_MS : now];
}

/** How long to wait before a notification is sent again; null when it is given up. */
export function backoffMs({ first, attempts }: Notification, now: number): number | null {
  const pause = PAUSES_MS[Math.min(attempts, PAUSES_MS.length - 1)] ?? HOUR;
  return now + pause - first > GIVE_UP_AFTER_MS ? null : pause;
}

/**
 * The value of the signature's header: `t=<seconds>,v1=<hex>`, an HMAC-SHA256 over the seconds, a point and the body.
 *
 * @param secret in base64url
 */
export async function signatureOf(secret: string, body: string, now: number): Promise<string> {
  const seconds = Math.floor(now / SECOND);
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const utf8 = new TextEncoder();
  const key = await crypto.subtle.importKey("raw", utf8.encode(secret), algorithm, false, ["sign"]);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", key, utf8.encode(`${seconds}.${body}`)));
  return `t=${seconds},v1=${Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
