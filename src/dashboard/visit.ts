/** Who looks at the dashboard: their session, what their key may, and how they read numbers and times. */
import type { Context } from "hono";
import { ANONYMOUS_PRINCIPAL, authenticateSession, identifySession } from "../auth/authorize";
import { secretsKeys } from "../auth/secret-keys";
import { anonymousCookie, hasSession as isOngoing, openCookie, type SessionCookie, sealCookie } from "../auth/sessions";
import type { App } from "../context";
import type { Principal, Scope } from "../scopes";
import { Api } from "./api";

/** A request to the dashboard, once it is known who makes it. */
export interface Visit {
  /** The request as the service has it. */
  readonly c: Context<App>;
  readonly api: Api;
  readonly principal: Principal;
  readonly cookie: SessionCookie;
  readonly isOpenMode: boolean;
  /** Whether the page has asked by itself, to be up to date: such requests keep no session alive. */
  readonly isRefresh: boolean;
  /** The locale of numbers and dates. */
  readonly locale: string;
}

/** Whether the visitor's key has all of the scopes: what it may not do is not shown. */
export function may({ principal }: Pick<Visit, "principal">, ...scopes: readonly Scope[]): boolean {
  return scopes.every((scope) => principal.scopes.has(scope));
}

/** The dashboard's own way to the API's routes. */
export type FetchApi = (request: Request) => Promise<Response>;

/** What the cookie of a request says; that its session goes on is not known by that. */
export interface OpenedCookie {
  readonly cookie: SessionCookie;
  /** What was signed in, of open mode everybody; null for who has to sign in. */
  readonly session: "open mode" | { readonly id: string; readonly keyId: string } | null;
  /** Whether a cookie was sent that says nothing any more: it is idle for too long, or not of this service. */
  readonly hasEnded: boolean;
}

/** What a request has that need not sign in. */
export type Signed = OpenedCookie & { readonly session: NonNullable<OpenedCookie["session"]> };

export const hasSession = (opened: OpenedCookie): opened is Signed => opened.session !== null;

/** Reads the cookie of a request. No round trip. */
export async function readCookie(c: Context<App>): Promise<OpenedCookie> {
  const now = Date.now();
  const value = cookieIn(c);
  const opened = value === null ? null : await openCookie(value, secretsKeys(c.env), now);
  const cookie = opened ?? anonymousCookie(now);
  const session = c.env.AUTH_MODE === "open" ? "open mode" : cookie.signedIn;
  return { cookie, session, hasEnded: value !== null && opened === null };
}

/** What dashboard.js says of the requests that it makes by itself. */
const REFRESH_HEADER = "Dashboard-Refresh";

/**
 * Finds out who makes a request that has a session, or is of open mode: looks their key up. One round trip.
 *
 * @returns the visit, or the refusal: 401 for a session that has ended, or whose key has
 */
export async function readVisit(
  c: Context<App>,
  fetchApi: FetchApi,
  { cookie, session }: Signed,
): Promise<Visit | Response> {
  const db = c.get("db");
  const isOpenMode = session === "open mode";
  const key = isOpenMode ? null : { id: session.keyId, isOngoing: () => isOngoing(db, session, Date.now()) };
  const principal = key === null ? ANONYMOUS_PRINCIPAL : await authenticateSession(c, key);
  if (principal instanceof Response) return principal;
  c.set("principal", principal);
  const authorizeAgain = async () => (key === null ? principal : identifySession(c, key));
  const inner = { principal, db, requestId: c.get("requestId"), authorizeAgain };
  const isRefresh = c.req.header(REFRESH_HEADER) !== undefined && cookieIn(c) !== null;
  return {
    c,
    api: new Api(c, fetchApi, inner),
    principal,
    cookie: { ...cookie, usedAt: Date.now() },
    isOpenMode,
    isRefresh,
    locale: localeOf(c.req.header("Accept-Language")),
  };
}

/** A browser keeps a cookie of this prefix only from HTTPS or its own machine, and sends it to this host alone. */
const SECURE_COOKIE = "__Host-dashboard";
/** Open mode is for one's own machine, which some browsers do not take for secure; nothing is signed in there. */
const OPEN_COOKIE = "dashboard";

const cookieName = (c: Context<App>): string => (c.env.AUTH_MODE === "open" ? OPEN_COOKIE : SECURE_COOKIE);

function cookieIn(c: Context<App>): string | null {
  const name = cookieName(c);
  const pairs = (c.req.header("Cookie") ?? "").split(/;\s*/);
  return pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1) ?? null;
}

/** The value of the Set-Cookie header for a cookie; null takes it away. */
export async function setCookie(c: Context<App>, cookie: SessionCookie | null): Promise<string> {
  const name = cookieName(c);
  const secure = name === SECURE_COOKIE ? "; Secure" : "";
  const value = cookie === null ? "" : await sealCookie(cookie, secretsKeys(c.env));
  return `${name}=${value}; Path=/; HttpOnly; SameSite=Strict${secure}${cookie === null ? "; Max-Age=0" : ""}`;
}

/** The first language of an Accept-Language header that there are formats for. */
function localeOf(header: string | undefined): string {
  const tags = (header ?? "").slice(0, 200).split(",");
  for (const tag of tags) {
    const [language = ""] = tag.trim().split(";");
    try {
      const [locale] = Intl.NumberFormat.supportedLocalesOf(language);
      if (locale !== undefined) return locale;
    } catch {
      // No language tag at all.
    }
  }
  return "en";
}
