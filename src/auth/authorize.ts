/**
 * Who asks, and whether they may. A key is looked up once and then remembered in the isolate for
 * 30 s, so a warm request pays no round trip, and a revocation takes effect within that time. Who manages keys
 * and merchants is looked up each time, once the whole request is there. What is refused costs no round trip that a
 * caller could repeat.
 */
import type { Context } from "hono";
import { ADMINISTRATOR_MERCHANT, type App } from "../context";
import { misnamedHeader, problem } from "../http/problem";
import { type Principal, SCOPE_NAMES, type Scope } from "../scopes";
import { sha256 } from "../storage/digest";
import { logError } from "../storage/log";
import { administratorId, isIssued, publicId } from "./api-key";
import { type ApiKeyRecord, findActingApiKey, recordApiKeyUse } from "./api-key-lookup";
import { innerRequestOf } from "./inner-request";
import { isFresh, memoryOf, remember } from "./key-cache";
import { address, refuseBeyond } from "./rate-limits";
import { checksumKeys, secretsKeys } from "./secret-keys";

/** `last_used_at` is written at most so often, in milliseconds. */
const USE_RECORDED_EVERY_MS = 3_600_000;

/** The principal of a request without a key in open mode: the default merchant, with every scope. */
export const ANONYMOUS_PRINCIPAL: Principal = {
  merchantId: 1,
  keyId: null,
  scopes: new Set(SCOPE_NAMES),
  expiresAt: null,
};

/**
 * To hand out keys, and see to merchants. What is made with these outlives the key that made it, so that a
 * revocation takes effect on them at once.
 */
const MANAGEMENT_SCOPES: ReadonlySet<Scope> = new Set(["keys:manage", "admin"]);

/**
 * The administrator's key manages, and reads the trail of that. It moves no money and reads no payment, so that every such
 * request names the API key of a merchant.
 */
const ADMINISTRATOR_SCOPES: ReadonlySet<Scope> = new Set([...MANAGEMENT_SCOPES, "account:read"]);

/** Letters of a name that was meant as `Authorization`, as in X-API-Key, X-Auth-Token and Authorisation. */
const MEANT_AS_AUTHORIZATION = /^x?(api|access|auth|secret)?(key|token)$|^x?auth$|authori[sz]ation$|^x?authentication$/;

const CHALLENGE = 'Bearer realm="payments"';

/**
 * Lets the request in before its body is read, as the principal that it sets in the context, or says why not: 401, 403
 * or 429. Counts the request.
 *
 * @param scopes what the route requires, all of them
 */
export async function authorize(c: Context<App>, scopes: readonly Scope[]): Promise<Response | null> {
  const inner = innerRequestOf(c.req.raw);
  if (inner) return admit(c, inner.principal, scopes);
  const header = c.req.header("Authorization");
  if (header === undefined) {
    if (c.env.AUTH_MODE !== "open") {
      const meant = misnamedHeader(c.req.raw.headers, MEANT_AS_AUTHORIZATION);
      return problem(c, "credentials_missing", {
        headers: { "WWW-Authenticate": CHALLENGE },
        ...(meant !== null && { detail: `${meant} is not read: send Authorization: Bearer and the key` }),
      });
    }
    c.set("principal", ANONYMOUS_PRINCIPAL);
    return null;
  }
  const presented = presentedIn(header);
  if (presented === null) return invalidToken(c, "Send Authorization: Bearer and the key");
  const principal = await authenticate(c, presented);
  if (principal instanceof Response) return principal;
  return admit(c, principal, scopes);
}

/** Sets the principal; the refusal when it lacks one of the scopes. */
function admit(c: Context<App>, principal: Principal, scopes: readonly Scope[]): Response | null {
  c.set("principal", principal);
  const missing = scopes.filter((scope) => !principal.scopes.has(scope));
  return missing.length === 0 ? null : scopeMissing(c, missing);
}

/** The principal of what is presented as a key, counted against its quotas; or the refusal: 401, 403 or 429. */
export async function authenticate(c: Context<App>, presented: string): Promise<Principal | Response> {
  const id = await recognize(c, presented);
  if (id === null) return invalidToken(c);
  return withinQuotas(c, id, async () =>
    isAdministrator(c.env, presented) ? administrator(id) : identify(c, presented, id),
  );
}

/** Identifies the principal of a key, and counts the request against the key's quota and its merchant's. */
async function withinQuotas(
  c: Context<App>,
  id: string,
  identified: () => Promise<Principal | Response>,
): Promise<Principal | Response> {
  const beyondKey = await refuseBeyond(c, "KEY_RATE", id);
  if (beyondKey) return beyondKey;
  const principal = await identified();
  if (principal instanceof Response) return principal;
  c.set("principal", principal);
  const { merchantId } = principal;
  const beyondMerchant =
    merchantId !== ADMINISTRATOR_MERCHANT && (await refuseBeyond(c, "MERCHANT_RATE", String(merchantId)));
  return beyondMerchant || principal;
}

/** The key that a session was begun with, by its public id, and whether the session goes on. */
export interface SessionKey {
  readonly id: string;
  readonly isOngoing: () => Promise<boolean>;
}

/**
 * The principal of a key that was presented when a session began, looked up anew: a key that has ended since ends the
 * session. Counted against the key's quotas. One round trip on a way to D1 that gathers.
 */
export async function authenticateSession(c: Context<App>, session: SessionKey): Promise<Principal | Response> {
  return withinQuotas(c, session.id, () => identifySession(c, session));
}

/** The same for a request that was counted and takes its time. */
export async function identifySession(c: Context<App>, { id, isOngoing }: SessionKey): Promise<Principal | Response> {
  const [ongoing, principal] = await Promise.all([
    isOngoing(),
    // The administrator's row is the configuration.
    isAdministratorId(c.env, id) ? administrator(id) : findPrincipal(c, id),
  ]);
  return ongoing ? principal : invalidToken(c);
}

async function findPrincipal(c: Context<App>, id: string): Promise<Principal | Response> {
  const now = Date.now();
  const record = await findActingApiKey(c.get("db"), id);
  if (!record || isEnded(record, now)) return invalidToken(c);
  if (record.merchant_disabled_at !== null) return problem(c, "merchant_disabled");
  recordApiKeyUseLater(c, record, now);
  return principalOf(record);
}

/**
 * Lets the request in again, once its body is there, or what it waits for has come: that takes its time, and its key may
 * have ended meanwhile. What is remembered of the key will do, but for those who manage keys and merchants.
 *
 * @param hasWaited whether something was waited for
 */
export async function authorizeAgain(
  c: Context<App>,
  scopes: readonly Scope[],
  hasWaited: boolean,
): Promise<Response | null> {
  const inner = innerRequestOf(c.req.raw);
  if (inner) {
    const principal = hasWaited ? await inner.authorizeAgain() : inner.principal;
    return principal instanceof Response ? principal : admit(c, principal, scopes);
  }
  const { keyId, merchantId } = c.get("principal");
  // Whom no row stands for: their end comes with another configuration.
  if (keyId === null || merchantId === ADMINISTRATOR_MERCHANT) return null;
  const isManagement = scopes.some((scope) => MANAGEMENT_SCOPES.has(scope));
  if (!hasWaited && (!isManagement || c.get("keyLookedUp"))) return null;
  const presented = presentedIn(c.req.header("Authorization") ?? "") ?? "";
  const principal = isManagement ? await lookUp(c, presented, keyId) : await identify(c, presented, keyId);
  if (principal instanceof Response) return principal;
  c.set("principal", principal);
  // No key's scopes ever change.
  return null;
}

/** The refusal of a principal that lacks scopes. */
export function scopeMissing(c: Context<App>, scopes: readonly Scope[]): Response {
  const names = scopes.join(" ");
  return problem(c, "insufficient_scope", {
    detail: `The API key lacks the scope ${names}`,
    headers: { "WWW-Authenticate": `${CHALLENGE}, error="insufficient_scope", scope="${names}"` },
  });
}

/**
 * The refusal of credentials, the same whatever is wrong with the key.
 *
 * @param detail what to send instead of what is no key in the Bearer scheme
 */
export function invalidToken(c: Context<App>, detail?: string): Response {
  const headers = { "WWW-Authenticate": `${CHALLENGE}, error="invalid_token"` };
  return problem(c, "invalid_token", detail === undefined ? { headers } : { detail, headers });
}

/** The scheme and a token of RFC 6750, which has no quotes. */
const BEARER = /^Bearer +([\w.~+/-]+=*)$/i;

/** What is presented as a key; null where the header has another form. */
function presentedIn(header: string): string | null {
  return BEARER.exec(header)?.[1] ?? null;
}

const UTF8 = new TextEncoder();

function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.byteLength === other.byteLength && crypto.subtle.timingSafeEqual(one, other);
}

/** The public id of what is presented, if it was issued or is the administrator's: known without D1. */
async function recognize(c: Context<App>, presented: string): Promise<string | null> {
  const id = publicId(presented);
  if (id === null || isAdministrator(c.env, presented)) return id;
  const { valid, refused } = memoryOf(c.env);
  const known = valid.get(id) ?? refused.get(id);
  if (known && equal(UTF8.encode(presented), known.key)) return id;
  return (await isIssued(presented, await checksumKeys(secretsKeys(c.env)))) ? id : null;
}

function isAdministrator({ ADMIN_KEY }: Env, presented: string): boolean {
  if (!ADMIN_KEY || administratorId(ADMIN_KEY) === null) return false;
  return equal(UTF8.encode(presented), UTF8.encode(ADMIN_KEY));
}

/** Whether this is the public id of the administrator's key, as it is configured now. */
function isAdministratorId({ ADMIN_KEY }: Env, id: string): boolean {
  return ADMIN_KEY !== undefined && administratorId(ADMIN_KEY) === id;
}

function administrator(keyId: string): Principal {
  return { merchantId: ADMINISTRATOR_MERCHANT, keyId, scopes: ADMINISTRATOR_SCOPES, expiresAt: null };
}

/** The principal of a key that was issued, from memory where that will do; or its refusal. */
async function identify(c: Context<App>, presented: string, id: string): Promise<Principal | Response> {
  const { valid, refused } = memoryOf(c.env);
  const now = Date.now();
  const key = UTF8.encode(presented);
  const remembered = valid.get(id);
  if (remembered && isFresh(remembered, now) && equal(key, remembered.key)) {
    const { principal } = remembered;
    return hasExpired(principal.expiresAt, now) ? refuse(c, id) : principal;
  }
  const ended = refused.get(id);
  if (ended && isFresh(ended, now) && equal(key, ended.key)) {
    return ended.isDisabled ? problem(c, "merchant_disabled") : refuse(c, id);
  }
  return lookUp(c, presented, id);
}

/** Looks a key up. One round trip. */
async function lookUp(c: Context<App>, presented: string, id: string): Promise<Principal | Response> {
  c.set("keyLookedUp", true);
  const { valid, refused } = memoryOf(c.env);
  const now = Date.now();
  const [record, digest] = await Promise.all([findActingApiKey(c.get("db"), id), sha256(presented)]);
  const isIt = equal(UTF8.encode(digest), UTF8.encode(record?.digest ?? NO_DIGEST));
  const found = { key: UTF8.encode(presented), at: now };
  const hasEnded = !record || !isIt || isEnded(record, now);
  if (hasEnded || record.merchant_disabled_at !== null) {
    if (isIt) valid.delete(id);
    remember(refused, id, { ...found, isDisabled: !hasEnded });
    return hasEnded ? refuse(c, id) : problem(c, "merchant_disabled");
  }
  const principal = principalOf(record);
  remember(valid, id, { ...found, principal });
  recordApiKeyUseLater(c, record, now);
  return principal;
}

const NO_DIGEST = "0".repeat(64);

function principalOf({ id, merchant_id, scopes, expires_at }: ApiKeyRecord): Principal {
  return { merchantId: merchant_id, keyId: id, scopes: new Set(scopes), expiresAt: expires_at };
}

function isEnded(record: ApiKeyRecord, now: number): boolean {
  return record.revoked_at !== null || hasExpired(record.expires_at, now);
}

function hasExpired(expiresAt: number | null, now: number): boolean {
  return expiresAt !== null && expiresAt <= now;
}

/** Refuses a key that was issued and has ended. It alone is counted, and where it comes from: nobody else is held up. */
async function refuse(c: Context<App>, id: string): Promise<Response> {
  return (await refuseBeyond(c, "FAILURE_RATE", `${address(c)} ${id}`)) ?? invalidToken(c);
}

/** Coarsely, and after the answer: nobody waits for it, and it is lost without harm. */
function recordApiKeyUseLater(c: Context<App>, { id, last_used_at }: ApiKeyRecord, now: number): void {
  if (last_used_at !== null && now - last_used_at < USE_RECORDED_EVERY_MS) return;
  c.executionCtx.waitUntil(
    recordApiKeyUse(c.env.DB, id, now).catch((error: unknown) => {
      logError({ message: "use of a key not noted", key_id: id, cause: String(error) });
    }),
  );
}
