/**
 * Leases of heavy work: a merchant runs at most two replays or exports at once. A lease is a row, so it holds across isolates, and
 * it ends by itself, so one that was lost does not block its merchant for good.
 */
import type { Context } from "hono";
import type { App } from "../context";
import { problem } from "../http/problem";
import { commitTime } from "../storage/clock";
import { logError } from "../storage/log";
import { join, raw, sql } from "../storage/sql";
import { refuseBeyond } from "./rate-limits";

/** Replays and exports of a merchant at once. */
const SLOTS = [1, 2];
/** How long a lease that is not given back holds, in milliseconds. */
const LEASE_MS = 60_000;

/** What a request holds while it does heavy work. */
export interface Lease {
  /** Makes it hold on, in a round trip every half a minute; false when it has ended and all slots are taken. */
  renew(): Promise<boolean>;
  /** Gives it back. One round trip. */
  release(): Promise<void>;
}

/**
 * A lease of the principal's merchant for work that is counted as heavy, or the refusal: a 429. One round trip, and none
 * beyond the quota.
 *
 * @param holdsMs how long it holds before it is renewed for the first time, in milliseconds
 */
export async function takeLease(c: Context<App>, holdsMs = LEASE_MS): Promise<Lease | Response> {
  const { keyId, merchantId } = c.get("principal");
  const beyond = keyId !== null && (await refuseBeyond(c, "HEAVY_RATE", String(merchantId)));
  if (beyond) return beyond;
  if (!(await take(c, holdsMs))) return problem(c, "too_many_at_once", { headers: { "Retry-After": "5" } });
  // One that holds for less is due for renewal sooner by as much.
  let heldAt = Date.now() - (LEASE_MS - holdsMs);
  return {
    async renew() {
      if (Date.now() - heldAt < LEASE_MS / 2) return true;
      heldAt = Date.now();
      return (await extend(c, heldAt)) || take(c, LEASE_MS);
    },
    release: () => release(c),
  };
}

/** Does heavy work under a lease, and gives it back; or the refusal. Two round trips. */
export async function withLease(c: Context<App>, work: () => Promise<Response>): Promise<Response> {
  const lease = await takeLease(c);
  if (lease instanceof Response) return lease;
  try {
    return await work();
  } finally {
    await lease.release();
  }
}

/** Takes a slot; whether this request has one. Running it again, after a lost answer, takes no second one. */
async function take(c: Context<App>, holdsMs: number): Promise<boolean> {
  const { merchantId } = c.get("principal");
  const [holder, now] = [c.get("commitId"), Date.now()];
  const slots = join(
    SLOTS.map((slot) => raw(`SELECT ${slot} AS slot`)),
    " UNION ALL ",
  );
  const { rows } = await c.get("db").batch<object>([
    sql`
  INSERT INTO leases (merchant_id, slot, holder, ends_at)
  SELECT ${merchantId}, slot, ${holder}, ${commitTime(now)} + ${holdsMs} FROM (${slots}) AS free
  WHERE NOT EXISTS (SELECT 1 FROM leases WHERE merchant_id = ${merchantId} AND holder = ${holder})
  AND NOT EXISTS (SELECT 1 FROM leases WHERE merchant_id = ${merchantId} AND slot = free.slot AND ends_at > ${now})
  LIMIT 1
  ON CONFLICT (merchant_id, slot) DO UPDATE SET holder = excluded.holder, ends_at = excluded.ends_at`,
    sql`SELECT slot FROM leases WHERE merchant_id = ${merchantId} AND holder = ${holder}`,
  ]);
  return (rows[1] ?? []).length > 0;
}

/** Moves the end of the slot on; whether this request still has one. */
async function extend(c: Context<App>, now: number): Promise<boolean> {
  const { merchantId } = c.get("principal");
  const rows = await c.get("db").all(sql`
  UPDATE leases SET ends_at = ${commitTime(now)} + ${LEASE_MS} WHERE merchant_id = ${merchantId} AND holder = ${c.get("commitId")}
  RETURNING slot`);
  return rows.length > 0;
}

/** Gives the slot back. One that cannot be given back ends by itself. */
async function release(c: Context<App>): Promise<void> {
  const { merchantId } = c.get("principal");
  try {
    const holder = c.get("commitId");
    await c.get("db").all(sql`DELETE FROM leases WHERE merchant_id = ${merchantId} AND holder = ${holder}`);
  } catch (error) {
    logError({ message: "lease not given back", request_id: c.get("requestId"), cause: String(error) });
  }
}
