/** The quotas of keys, merchants and addresses. */
import type { Context } from "hono";
import type { App } from "../context";
import { problem } from "../http/problem";
import { logError } from "../storage/log";

/**
 * The bindings that count: requests of a key, of a merchant, costly and heavy ones of a merchant, failures of an address with a key
 * that has ended, and tests and retries of a merchant's webhooks. Each has its quota in the variable of its name with `_LIMIT`.
 */
export const RATE_LIMITS = [
  ...(["KEY_RATE", "MERCHANT_RATE", "COSTLY_RATE", "HEAVY_RATE", "FAILURE_RATE"] as const),
  ...(["WEBHOOK_TEST_RATE", "WEBHOOK_RETRY_RATE"] as const),
] as const;
type RateLimitName = (typeof RATE_LIMITS)[number];

/** What each counts by, as a refusal calls it. */
const POLICIES: Readonly<Record<RateLimitName, string>> = {
  KEY_RATE: "key",
  MERCHANT_RATE: "merchant",
  COSTLY_RATE: "costly",
  HEAVY_RATE: "heavy",
  FAILURE_RATE: "address",
  WEBHOOK_TEST_RATE: "webhook_test",
  WEBHOOK_RETRY_RATE: "webhook_retry",
};

/**
 * The address that failures are counted by: an IPv4 address, or the /64 of an IPv6 address, which is one customer's.
 * Cloudflare sets the header, and nobody can set it from outside.
 */
export function address(c: Context<App>): string {
  const from = c.req.header("CF-Connecting-IP") ?? "unknown";
  if (!from.includes(":") || from.includes(".")) return from;
  const [head, tail] = from.split("::").map((part) => part.split(":").filter((group) => group !== ""));
  const zeros = tail ? Array.from({ length: 8 - (head?.length ?? 0) - tail.length }, () => "0") : [];
  return [...(head ?? []), ...zeros, ...(tail ?? [])].slice(0, 4).join(":");
}

/**
 * Counts a request, and refuses it when the quota is used up. The binding says no more than that; it is renewed within a
 * period. Who cannot be counted is let on: a quota protects, it does not let in.
 */
export async function refuseBeyond(c: Context<App>, name: RateLimitName, key: string): Promise<Response | null> {
  try {
    if ((await c.env[name].limit({ key })).success) return null;
  } catch (error) {
    logError({ message: "quota not counted", limit: name, cause: String(error) });
    return null;
  }
  const { quota, seconds } = readLimit(c.env[`${name}_LIMIT`]) ?? { quota: 0, seconds: 60 };
  return problem(c, "rate_limited", {
    headers: {
      "Retry-After": String(seconds),
      "RateLimit-Policy": `"${POLICIES[name]}";q=${quota};w=${seconds}`,
      RateLimit: `"${POLICIES[name]}";r=0;t=${seconds}`,
    },
  });
}

/** Reads `1000/10`: a quota of requests, and the seconds it is for; null when it is none. */
export function readLimit(limit: string | undefined): { quota: number; seconds: number } | null {
  const [, quota, seconds] = /^([1-9]\d{0,8})\/([1-9]\d{0,4})$/.exec(limit ?? "") ?? [];
  return quota === undefined ? null : { quota: Number(quota), seconds: Number(seconds) };
}
