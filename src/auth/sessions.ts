/**
 * Sessions of the dashboard. A cookie names the key that somebody has signed in with and never holds it; it is sealed, so
 * that nobody else can make one. What it names is a row, which ends when its user signs out.
 */
import type { Database } from "../storage/database";
import { sql } from "../storage/sql";
import { open, type SealedPlace, seal } from "./seal";
import { encode } from "./secret-keys";

/** Without a request for so long, a session ends; in milliseconds. */
const SESSION_IDLE_MS = 30 * 60_000;
/** No session lasts longer, in milliseconds. */
const SESSION_MAX_MS = 12 * 3_600_000;
/** How many rows of ended sessions one that begins takes away. */
const ENDED_SESSIONS_DELETED = 20;

/** What the cookie says, and its seal vouches for. */
export interface SessionCookie {
  /** The session's row and its key's public id; null for a browser that has not signed in. */
  readonly signedIn: { readonly id: string; readonly keyId: string } | null;
  /** What every form of the session has to bring back. */
  readonly csrfToken: string;
  /** When the session was last used, in milliseconds. */
  readonly usedAt: number;
}

const PLACE: SealedPlace = { account: "dashboard", merchantId: 0, field: "sessions/cookie" };
const TOKEN_BYTES = 16;

const randomToken = (): string => encode(crypto.getRandomValues(new Uint8Array(TOKEN_BYTES)));

/** The cookie of a browser that has not signed in. */
export function anonymousCookie(now: number): SessionCookie {
  return { signedIn: null, csrfToken: randomToken(), usedAt: now };
}

/**
 * Begins a session, and takes away some that have ended. One round trip.
 *
 * @param replaced the session of the browser that signs in anew, which ends with that; null where it has none
 */
export async function beginSession(
  db: Database,
  keyId: string,
  replaced: string | null,
  now: number,
): Promise<SessionCookie> {
  const id = randomToken();
  await db.batch([
    replaced === null ? null : sql`DELETE FROM dashboard_sessions WHERE id = ${replaced}`,
    sql`DELETE FROM dashboard_sessions WHERE id IN (
      SELECT id FROM dashboard_sessions WHERE ends_at <= ${now} LIMIT ${ENDED_SESSIONS_DELETED})`,
    sql`INSERT INTO dashboard_sessions (id, key_id, ends_at) VALUES (${id}, ${keyId}, ${now + SESSION_MAX_MS})
      ON CONFLICT DO NOTHING`,
  ]);
  return { signedIn: { id, keyId }, csrfToken: randomToken(), usedAt: now };
}

/** Whether the session has neither ended nor been ended. One round trip. */
export async function hasSession(
  db: Database,
  { id, keyId }: { readonly id: string; readonly keyId: string },
  now: number,
): Promise<boolean> {
  const rows = await db.all(sql`
    SELECT 1 AS one FROM dashboard_sessions WHERE id = ${id} AND key_id = ${keyId} AND ends_at > ${now}`);
  return rows.length > 0;
}

/** Ends a session, wherever its cookie is. One round trip. */
export async function endSession(db: Database, id: string): Promise<void> {
  await db.all(sql`DELETE FROM dashboard_sessions WHERE id = ${id}`);
}

/** The cookie's value. */
export function sealCookie(cookie: SessionCookie, secrets: string): Promise<string> {
  return seal(JSON.stringify(cookie), PLACE, secrets);
}

/** What a cookie's value says; null for one that was not made here, or that was used too long ago. */
export async function openCookie(value: string, secrets: string, now: number): Promise<SessionCookie | null> {
  const opened = await open(value, PLACE, secrets);
  if (opened.tag !== "opened") return null;
  // Sealed by `sealCookie` alone.
  const cookie: SessionCookie = JSON.parse(opened.text);
  const idleMs = now - cookie.usedAt;
  // A clock that went back says nothing of how long it was.
  return cookie.signedIn !== null && (idleMs < 0 || idleMs >= SESSION_IDLE_MS) ? null : cookie;
}
