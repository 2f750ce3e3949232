/** What a principal may do to API keys: of which merchant, and with which scopes and end. */
import type { Context } from "hono";
import { type IssuedApiKey, makeApiKey } from "../../auth/api-key";
import { scopeMissing } from "../../auth/authorize";
import { checksumKeys, secretsKeys } from "../../auth/secret-keys";
import { ADMINISTRATOR_MERCHANT, type App } from "../../context";
import { problem } from "../../http/problem";
import type { Scope } from "../../scopes";
import type { MerchantFilter } from "../api-keys";

/** Which merchants' keys the request may read and change. */
export function merchantFilter(c: Context<App>): MerchantFilter {
  const { scopes, merchantId } = c.get("principal");
  return scopes.has("admin") ? "any merchant" : merchantId;
}

export async function issueKey(c: Context<App>): Promise<IssuedApiKey> {
  return makeApiKey(await checksumKeys(secretsKeys(c.env)));
}

/**
 * The merchant that is named, or else the caller's own; only an administrator may name another, and the administrator's
 * secret, which is no merchant's, has to.
 */
export function requestedMerchant(
  c: Context<App>,
  named: number | undefined,
  place: { pointer: string } | { parameter: string },
): number | Response {
  const { scopes, merchantId } = c.get("principal");
  if (named === undefined && merchantId === ADMINISTRATOR_MERCHANT) {
    const detail = "Required with the administrator's key: it is no merchant's";
    return problem(c, "validation_failed", { errors: [{ detail, ...place }] });
  }
  return named === undefined || named === merchantId || scopes.has("admin")
    ? (named ?? merchantId)
    : scopeMissing(c, ["admin"]);
}

/** The scopes that the caller may not grant: no key has more than the key that created it. */
export function ungranted(c: Context<App>, scopes: readonly Scope[]): Scope[] {
  const own = c.get("principal").scopes;
  return own.has("admin") ? [] : scopes.filter((scope) => !own.has(scope));
}

/**
 * Refuses a key that would outlive the one that creates it, whatever its scopes: the end of that one would be no end. The
 * administrator's secret has none.
 */
export function refuseOutliving(c: Context<App>, expiresAt: number | null): Response | null {
  const { expiresAt: own } = c.get("principal");
  if (own === null || (expiresAt !== null && expiresAt <= own)) return null;
  const detail = `Must be no later than ${new Date(own).toISOString()}, when the key that asks ends`;
  return problem(c, "validation_failed", { errors: [{ detail, pointer: "#/expires_at" }] });
}
