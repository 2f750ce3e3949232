/**
 * Who asks, and whether they may. A key is looked up once and then remembered in the isolate for
 * KEY_CACHE_TTL_MS, so a warm request pays no round trip, and a revocation takes effect within that time. Only
 * who manages keys and merchants is looked up each time.
 */
import type { Context } from "hono";
import type { App } from "../context";
import { problem } from "../http/problem";
import { type Principal, SCOPE_NAMES, type Scope } from "../scopes";
import { sha256 } from "../storage/digest";
import { logError } from "../storage/log";
import { publicId } from "./api-key";
import { type ApiKeyRecord, findApiKeyById, recordApiKeyUse } from "./api-key-lookup";
import { address, isWithin, rateLimited, readLimit } from "./rate-limits";

/** In milliseconds. */
export const KEY_CACHE_TTL_MS = 30_000;
/** `last_used_at` is written at most so often, in milliseconds. */
const USE_RECORDED_EVERY_MS = 3_600_000;
/** What an isolate remembers of keys and of addresses, at most; the oldest go first. */
const KEY_CACHE_SIZE = 1_000;

const DEFAULT_MERCHANT = 1;

/** Whoever asks without a key where no key is asked for. */
const ANONYMOUS_PRINCIPAL: Principal = {
  merchantId: DEFAULT_MERCHANT,
  keyId: null,
  scopes: new Set(SCOPE_NAMES),
  expiresAt: null,
};

/**
 * To hand out keys, and see to merchants. What is made with these outlives the key that made it, so that a
 * revocation takes effect on them at once. The administrator's key has these alone: it moves no money and
 * reads no payment, so that whoever does leaves a key's id behind.
 */
const MANAGEMENT_SCOPES: ReadonlySet<Scope> = new Set(["keys:manage", "admin"]);

const CHALLENGE = 'Bearer realm="payments"';

/** Why the service may not answer as it is configured, or null. */
export function misconfiguration({ AUTH_MODE, ADMIN_KEY }: Env): string | null {
  if (AUTH_MODE === "open") return null;
  if (AUTH_MODE !== "required") return "Set AUTH_MODE to required (or, on your own machine only, to open)";
  if (!ADMIN_KEY) return "Set the secret ADMIN_KEY to a key that `npm run key` makes";
  return administratorId(ADMIN_KEY) === null
    ? "The secret ADMIN_KEY is not a key; set one that `npm run key` makes"
    : null;
}

/** The administrator's key that was read last, of which a deployment has one, and its public id. */
let administrator: { readonly key: string; readonly id: string | null } = { key: "", id: null };

function administratorId(key: string): string | null {
  if (administrator.key !== key) administrator = { key, id: publicId(key) };
  return administrator.id;
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/**
 * Whether a request comes from this machine to this machine, and so may be answered without access control:
 * a page of another site may be shown on this machine too, and its browser says whose it is.
 */
export function isLocal(request: Request): boolean {
  const { headers, url } = request;
  const pages = [headers.get("Origin"), headers.get("Referer")].filter((page) => page !== null);
  return headers.get("Sec-Fetch-Site") !== "cross-site" && [url, ...pages].every(isLoopback);
}

function isLoopback(url: string): boolean {
  return URL.canParse(url) && LOOPBACK.test(new URL(url).hostname);
}

/**
 * Lets the request in, as the principal that it sets in the context, or says why not: 401, 403 or 429.
 *
 * @param scope what the endpoint demands
 */
export async function authorize(c: Context<App>, scope: Scope): Promise<Response | null> {
  const header = c.req.header("Authorization");
  const principal = header === undefined ? anonymous(c.env) : await identify(c, header, !MANAGEMENT_SCOPES.has(scope));
  if (principal instanceof Response) return principal;
  if (principal === null) {
    return problem(c, "credentials_missing", { headers: { "WWW-Authenticate": CHALLENGE } });
  }
  c.set("principal", principal);
  if (principal.keyId !== null && !(await isWithin(c.env.KEY_RATE, principal.keyId))) {
    return rateLimited(c, "key", c.env.KEY_RATE_LIMIT);
  }
  return principal.scopes.has(scope) ? null : scopeMissing(c, [scope]);
}

/** The refusal of a principal that lacks scopes. */
export function scopeMissing(c: Context<App>, scopes: readonly Scope[]): Response {
  const names = scopes.join(" ");
  return problem(c, "insufficient_scope", {
    detail: `The API key lacks the scope ${names}`,
    headers: { "WWW-Authenticate": `${CHALLENGE}, error="insufficient_scope", scope="${names}"` },
  });
}

/** Forgets a key in this isolate, so that its revocation takes effect here at once. */
export function forget(env: Env, keyId: string): void {
  memoryOf(env).keys.delete(keyId);
}

function anonymous({ AUTH_MODE }: Env): Principal | null {
  return AUTH_MODE === "open" ? ANONYMOUS_PRINCIPAL : null;
}

interface Remembered {
  /** The whole key, in memory only: comparing it spares a warm request the digest. */
  readonly key: Uint8Array;
  readonly principal: Principal;
  readonly until: number;
}

interface Memory {
  readonly keys: Map<string, Remembered>;
  /** Addresses with too many failures, and until when they are refused a look-up. */
  readonly refused: Map<string, number>;
}

/** One per D1 binding, of which an isolate has one. */
const memories = new WeakMap<D1Database, Memory>();

function memoryOf({ DB }: Env): Memory {
  const memory = memories.get(DB) ?? { keys: new Map(), refused: new Map() };
  memories.set(DB, memory);
  return memory;
}

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > KEY_CACHE_SIZE && oldest !== undefined) map.delete(oldest);
}

const UTF8 = new TextEncoder();
const BEARER = /^Bearer +(\S+)$/i;

/** The principal of the credentials; else a 401, the same whatever is wrong with them, or a 429. */
async function identify(c: Context<App>, header: string, mayRemember: boolean): Promise<Principal | Response> {
  const presented = BEARER.exec(header)?.[1] ?? "";
  const memory = memoryOf(c.env);
  const now = Date.now();
  // A remembered key is found by its public id, and a wrong secret for that is known to be wrong.
  const remembered = memory.keys.get(presented.slice(4, 16));
  if (mayRemember && remembered && now < remembered.until) {
    const isIt = equal(UTF8.encode(presented), remembered.key) && !hasExpired(remembered.principal.expiresAt, now);
    return isIt ? remembered.principal : refuse(c, memory);
  }
  const id = publicId(presented);
  if (id === null) return refuse(c, memory);

  if (c.env.ADMIN_KEY && id === administratorId(c.env.ADMIN_KEY)) {
    if (!equal(UTF8.encode(presented), UTF8.encode(c.env.ADMIN_KEY))) return refuse(c, memory);
    return { merchantId: DEFAULT_MERCHANT, keyId: id, scopes: MANAGEMENT_SCOPES, expiresAt: null };
  }
  // Unjudged: a 401 might be said of a valid key. One that has been valid is looked up, whoever else fails there.
  if (!remembered && (memory.refused.get(address(c)) ?? 0) > now)
    return rateLimited(c, "address", c.env.FAILURE_RATE_LIMIT);
  const [record, digest] = await Promise.all([findApiKeyById(c.get("db"), id), sha256(presented)]);
  const isIt = equal(UTF8.encode(digest), UTF8.encode(record?.digest ?? NO_DIGEST));
  if (!record || !isIt || record.revoked_at !== null || hasExpired(record.expires_at, now)) return refuse(c, memory);

  const { merchant_id: merchantId, expires_at: expiresAt } = record;
  const principal = { merchantId, keyId: id, scopes: new Set(record.scopes), expiresAt };
  remember(memory.keys, id, { key: UTF8.encode(presented), principal, until: now + KEY_CACHE_TTL_MS });
  recordApiKeyUseLater(c, record, now);
  return principal;
}

const NO_DIGEST = "0".repeat(64);

function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.byteLength === other.byteLength && crypto.subtle.timingSafeEqual(one, other);
}

function hasExpired(expiresAt: number | null, now: number): boolean {
  return expiresAt !== null && expiresAt <= now;
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

async function refuse(c: Context<App>, { refused }: Memory): Promise<Response> {
  const from = address(c);
  if (await isWithin(c.env.FAILURE_RATE, from)) {
    return problem(c, "invalid_token", { headers: { "WWW-Authenticate": `${CHALLENGE}, error="invalid_token"` } });
  }
  const { seconds } = readLimit(c.env.FAILURE_RATE_LIMIT);
  remember(refused, from, Date.now() + seconds * 1000);
  return rateLimited(c, "address", c.env.FAILURE_RATE_LIMIT);
}
