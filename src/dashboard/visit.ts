/** Who looks at the dashboard: their session, what their key may, and how they read numbers and times. */
import type { Context } from "hono";
import { ANONYMOUS_PRINCIPAL, authenticateById, invalidToken } from "../auth/authorize";
import { secretsKeys } from "../auth/secret-keys";
import { anonymousCookie, hasSession, openCookie, type SessionCookie, sealCookie } from "../auth/sessions";
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
  /** The locale of numbers and dates. */
  readonly locale: string;
}

/** Whether the visitor's key has all of the scopes: what it may not do is not shown. */
export function may({ principal }: Visit, ...scopes: readonly Scope[]): boolean {
  return scopes.every((scope) => principal.scopes.has(scope));
}

/** The dashboard's own way to the API's routes. */
export type FetchApi = (request: Request) => Promise<Response>;

/**
 * Finds out who makes a request.
 *
 * @returns the visit; or the cookie of a browser that has not signed in, with the refusal where its session has ended
 */
export async function readVisit(
  c: Context<App>,
  fetchApi: FetchApi,
): Promise<{ readonly visit: Visit } | { readonly cookie: SessionCookie; readonly ended: Response | null }> {
  const now = Date.now();
  const isOpenMode = c.env.AUTH_MODE === "open";
  const value = cookieIn(c);
  const cookie = value === null ? null : await openCookie(value, secretsKeys(c.env), now);
  const signedIn = cookie?.signedIn ?? null;
  const identify = async (): Promise<Principal | Response> => {
    if (isOpenMode) return ANONYMOUS_PRINCIPAL;
    if (signedIn === null) return invalidToken(c);
    const [isOngoing, principal] = await Promise.all([
      hasSession(c.get("db"), signedIn, Date.now()),
      authenticateById(c, signedIn.keyId),
    ]);
    return isOngoing ? principal : invalidToken(c);
  };
  if (!isOpenMode && signedIn === null) return { cookie: cookie ?? anonymousCookie(now), ended: null };
  const principal = await identify();
  if (principal instanceof Response) return { cookie: anonymousCookie(now), ended: principal };
  c.set("principal", principal);
  const inner = { principal, db: c.get("db"), requestId: c.get("requestId"), authorizeAgain: identify };
  const visit: Visit = {
    c,
    api: new Api(c, fetchApi, inner),
    principal,
    cookie: { ...(cookie ?? anonymousCookie(now)), usedAt: now },
    isOpenMode,
    locale: localeOf(c.req.header("Accept-Language")),
  };
  return { visit };
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
