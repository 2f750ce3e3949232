/**
 * Leases of heavy work: a merchant replays in two places at once, at most. A lease is a row, so that it holds
 * across isolates, and it ends by itself, so that one that was lost does not block its merchant for good.
 */
import type { Context } from "hono";
import type { App } from "../context";
import { problem } from "../http/problem";
import { logError } from "../storage/log";
import { join, raw, sql } from "../storage/sql";

/** Replays of a merchant at once. */
const SLOTS = [1, 2];
/** How long a lease holds without being renewed, in milliseconds. */
const LEASE_MS = 60_000;

export interface Lease {
  /** Keeps the lease, when half of its time is over; throws when another has taken it meanwhile. */
  renew(): Promise<void>;
  /** Gives the lease back. One that cannot be given back ends by itself. */
  release(): Promise<void>;
}

/** A lease for the merchant that asks, or the refusal: a 429. One round trip. */
export async function takeLease(c: Context<App>): Promise<Lease | Response> {
  const { merchantId } = c.get("principal");
  const [db, holder] = [c.get("db"), c.get("commitId")];
  let renewAt = 0;
  /** Takes a slot, or keeps the one that this request has: it may run twice. */
  const take = async (): Promise<boolean> => {
    const now = Date.now();
    const slots = join(
      SLOTS.map((slot) => raw(`SELECT ${slot} AS slot`)),
      " UNION ALL ",
    );
    const { rows } = await db.batch<object>([
      sql`UPDATE leases SET ends_at = ${now + LEASE_MS} WHERE merchant_id = ${merchantId} AND holder = ${holder}`,
      sql`
  INSERT INTO leases (merchant_id, slot, holder, ends_at)
  SELECT ${merchantId}, slot, ${holder}, ${now + LEASE_MS} FROM (${slots}) AS free
  WHERE NOT EXISTS (SELECT 1 FROM leases WHERE merchant_id = ${merchantId} AND holder = ${holder})
  AND NOT EXISTS (SELECT 1 FROM leases WHERE merchant_id = ${merchantId} AND slot = free.slot AND ends_at > ${now})
  LIMIT 1
  ON CONFLICT (merchant_id, slot) DO UPDATE SET holder = excluded.holder, ends_at = excluded.ends_at`,
      sql`SELECT slot FROM leases WHERE merchant_id = ${merchantId} AND holder = ${holder}`,
    ]);
    renewAt = now + LEASE_MS / 2;
    return (rows[2] ?? []).length > 0;
  };
  if (!(await take())) return problem(c, "too_many_at_once", { headers: { "Retry-After": "5" } });
  return {
    async renew() {
      if (Date.now() >= renewAt && !(await take())) throw new Error("The lease of this work was taken by another");
    },
    async release() {
      try {
        await db.all(sql`DELETE FROM leases WHERE merchant_id = ${merchantId} AND holder = ${holder}`);
      } catch (error) {
        logError({ message: "lease not given back", request_id: c.get("requestId"), cause: String(error) });
      }
    },
  };
}

/** Does heavy work under a lease, which it gives back; or the refusal. Two round trips more. */
export async function withLease(c: Context<App>, work: () => Promise<Response>): Promise<Response> {
  const lease = await takeLease(c);
  if (lease instanceof Response) return lease;
  try {
    return await work();
  } finally {
    await lease.release();
  }
}
