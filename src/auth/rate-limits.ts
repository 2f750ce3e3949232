/** The quotas of keys and addresses. */
import type { Context } from "hono";
import type { App } from "../context";
import { problem } from "../http/problem";
import { logError } from "../storage/log";

/**
 * Who fails: an IPv4 address, or the /64 of an IPv6 address, for whoever has one of these has all of it.
 * Cloudflare sets the header, and nobody can set it from outside.
 */
export function address(c: Context<App>): string {
  const from = c.req.header("CF-Connecting-IP") ?? "unknown";
  if (!from.includes(":") || from.includes(".")) return from;
  const [head, tail] = from.split("::").map((part) => part.split(":").filter((group) => group !== ""));
  const zeros = tail ? Array.from({ length: 8 - (head?.length ?? 0) - tail.length }, () => "0") : [];
  return [...(head ?? []), ...zeros, ...(tail ?? [])].slice(0, 4).join(":");
}

/** Whether there is room in a quota. Who cannot be counted is let on: a quota protects, it does not let in. */
export async function isWithin(limit: RateLimit, key: string): Promise<boolean> {
  try {
    return (await limit.limit({ key })).success;
  } catch (error) {
    logError({ message: "quota not counted", cause: String(error) });
    return true;
  }
}

/** The binding tells no more than that the quota is used up; it is renewed within a period. */
export function rateLimited(c: Context<App>, policy: string, limit: string): Response {
  const { quota, seconds } = readLimit(limit);
  return problem(c, "rate_limited", {
    headers: {
      "Retry-After": String(seconds),
      "RateLimit-Policy": `"${policy}";q=${quota};w=${seconds}`,
      RateLimit: `"${policy}";r=0;t=${seconds}`,
    },
  });
}

/** Reads `1000/10`: a quota of requests, and the seconds it is for. */
export function readLimit(limit: string): { quota: number; seconds: number } {
  const [quota = Number.NaN, seconds = Number.NaN] = limit.split("/").map(Number);
  return { quota, seconds };
}
