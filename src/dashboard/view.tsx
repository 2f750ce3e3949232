/** How a view or a form of the dashboard is registered, authorised, read and answered. */
import { type Context, Hono } from "hono";
import type { Child } from "hono/jsx";
import { scopeMissing } from "../auth/authorize";
import type { App } from "../context";
import { answer } from "../http/answer";
import { problem } from "../http/problem";
import { readText } from "../http/read-json";
import type { Scope } from "../scopes";
import { type Problem, readProblem } from "./api";
import { BarePage, Heading, Page, type SectionName, sectionsOf } from "./layout";
import { type NoticeName, noticeOf } from "./notices";
import { type FetchApi, hasSession, readCookie, readVisit, setCookie, type Visit } from "./visit";

/** The dashboard is an app of its own: this is what it is handed. */
export interface DashboardApp {
  Bindings: {
    /** The request as the service has it. */
    readonly outer: Context<App>;
    readonly fetchApi: FetchApi;
    /** The problem that an error is, which it logs. */
    readonly answerError: (error: Error) => Response;
  };
}

export const newDashboardApp = () => new Hono<DashboardApp>({ strict: false });

/** What a view shows, or where it leads. */
export type Shown =
  | {
      readonly title: string;
      readonly section: SectionName | null;
      readonly content: Child;
      /** 200 unless said otherwise. */
      readonly status?: number;
    }
  | { readonly redirect: string }
  | Response;

/** What a view or a form is asked. */
export interface Asked {
  /** A parameter of the path; empty where the path has none of the name. */
  readonly param: (name: string) => string;
  readonly query: URLSearchParams;
  /** What a form has sent; empty for a view. */
  readonly form: URLSearchParams;
}

interface Options {
  /** What the visitor's key needs: any of these. The API decides on what is asked of it, besides. */
  readonly scopes: readonly [Scope, ...Scope[]];
}

type Show = (visit: Visit, asked: Asked) => Promise<Shown> | Shown;

/** Adds a page. */
export function view(app: Hono<DashboardApp>, path: string, options: Options, show: Show): void {
  app.get(path, (c) => respond(c, path, options, show));
}

/** Adds what a form is sent to. It must bring the session's token back. */
export function form(app: Hono<DashboardApp>, path: string, options: Options, run: Show): void {
  app.post(path, (c) => respond(c, path, options, run));
}

type DashboardContext = Context<DashboardApp>;

/** Where the dashboard begins. */
export const HOME = "/dashboard";

async function respond(c: DashboardContext, path: string, { scopes }: Options, show: Show): Promise<Response> {
  const { outer, fetchApi } = c.env;
  outer.set("route", path.replaceAll(/:(\w+)/g, "{$1}"));
  const opened = await readCookie(outer);
  if (!hasSession(opened)) return askToSignIn(outer, opened.hasEnded);
  // The key is looked up once the whole request is there: a body takes its time to arrive, and a key may end meanwhile.
  const sent = c.req.method === "POST" ? await readForm(outer, opened.cookie.csrfToken) : new URLSearchParams();
  const visit = await readVisit(outer, fetchApi, opened);
  if (visit instanceof Response) return answerEnded(outer, visit);
  if (sent instanceof Response) return renderRefusal(visit, sent);
  if (!scopes.some((scope) => visit.principal.scopes.has(scope))) {
    const [first] = sectionsOf(visit);
    // Who signs in comes to what their key may see.
    if (path === HOME) return render(visit, first === undefined ? nothingToSee(visit) : { redirect: first.path }, null);
    return renderRefusal(visit, scopeMissing(outer, scopes));
  }
  const query = new URL(c.req.url).searchParams;
  const asked: Asked = { param: (name) => c.req.param(name) ?? "", query, form: sent };
  return render(visit, await show(visit, asked), noticeOf(query.get("notice")));
}

/** What a key comes to that may see no section. */
function nothingToSee({ principal }: Visit): Shown {
  const title = "Nothing to see with this key";
  const content = (
    <>
      <Heading title={title} />
      <p>
        It has the {principal.scopes.size === 1 ? "scope" : "scopes"} <code>{[...principal.scopes].join(" ")}</code>,
        which programs need. To look at payments, sign out, and sign in with a key that has <code>payments:read</code>.
      </p>
    </>
  );
  return { title, section: null, content, status: 403 };
}

/** Where a form leads when it has done what it was asked: to a page that says so. */
export function done(path: string, notice: NoticeName): Shown {
  const url = new URL(path, "http://localhost");
  url.searchParams.set("notice", notice);
  return { redirect: url.pathname + url.search };
}

/** A page that shows a problem of the API in its own words. */
export function failed({ title, detail, status }: Problem, section: SectionName | null = null): Shown {
  const content = (
    <>
      <Heading title={title} />
      <p role="alert">{detail}</p>
      <p>
        <a href="/dashboard">Back to the dashboard</a>
      </p>
    </>
  );
  return { title, section, status, content };
}

/** What a refusal says, above the form that it refuses: the first violation of each field, or the detail. */
export function Refusal({ problem: refused }: { problem: Problem | null }) {
  if (refused === null) return null;
  const errors = refused.errors ?? [];
  return (
    <div class="refusal" role="alert">
      <strong>{refused.title}</strong>
      {errors.length > 1 ? (
        <ul>
          {errors.map((error) => (
            <li>
              {(error.parameter ?? error.header ?? error.pointer ?? "").replace(/^#\//, "")}: {error.detail}
            </li>
          ))}
        </ul>
      ) : (
        <p>{refused.detail}</p>
      )}
    </div>
  );
}

const HTML_HEADERS = {
  "Content-Type": "text/html; charset=utf-8",
  // Everything is of this host, and nothing is inline.
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
    "base-uri 'none'; frame-ancestors 'none'",
  "Referrer-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
};

async function render(visit: Visit, shown: Shown, notice: string | null): Promise<Response> {
  const { c } = visit;
  const headers: Record<string, string> = visit.isRefresh ? {} : { "Set-Cookie": await setCookie(c, visit.cookie) };
  if (shown instanceof Response) return shown;
  if ("redirect" in shown) return answer(c, 303, null, { ...headers, Location: shown.redirect });
  const { title, section, content, status = 200 } = shown;
  const page = (
    <Page visit={visit} title={title} section={section} notice={notice}>
      {content}
    </Page>
  );
  return answer(c, status, `<!doctype html>${page}`, { ...HTML_HEADERS, ...headers });
}

async function renderRefusal(visit: Visit, refusal: Response): Promise<Response> {
  return render(visit, failed(await readProblem(refusal)), null);
}

/** An answer in HTML to somebody who has not signed in. */
export async function bareAnswer(
  c: Context<App>,
  status: number,
  title: string,
  content: Child,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return answer(c, status, `<!doctype html>${<BarePage title={title}>{content}</BarePage>}`, {
    ...HTML_HEADERS,
    ...headers,
  });
}

/** The headers of a refusal that its page has, too. */
const REFUSAL_HEADERS = ["Allow", "Retry-After"];

/**
 * A refusal of the service, as a page for a browser of which nothing else is known.
 *
 * @param next where its link leads, and what it says
 */
export async function refusalPage(
  c: Context<App>,
  refusal: Response,
  next: { readonly path: string; readonly text: string } = { path: HOME, text: "Go to the dashboard" },
): Promise<Response> {
  const { title, detail, status } = await readProblem(refusal);
  const content = (
    <>
      <h1>{title}</h1>
      <p role="alert">{detail}</p>
      <p>
        <a href={next.path}>{next.text}</a>
      </p>
    </>
  );
  const kept = REFUSAL_HEADERS.flatMap((name) => {
    const value = refusal.headers.get(name);
    return value === null ? [] : [[name, value] as const];
  });
  return bareAnswer(c, status, title, content, Object.fromEntries(kept));
}

const isView = (c: Context<App>) => c.req.method === "GET" || c.req.method === "HEAD";

/**
 * Sends a browser that has followed a link from elsewhere to the same address once more: the cookie does not come with the
 * first request. Null for any other request.
 */
export async function askAgainFromHere(c: Context<App>): Promise<Response | null> {
  if (!isView(c) || c.req.header("Sec-Fetch-Site") !== "cross-site") return null;
  const { pathname, search } = new URL(c.req.url);
  const content = (
    <p>
      <a href={pathname + search}>Go on to the dashboard</a>
    </p>
  );
  return bareAnswer(c, 200, "Dashboard", content, { Refresh: `0; url=${pathname}${search}` });
}

/** Leads to the sign-in page, and back from there. */
async function askToSignIn(c: Context<App>, hasEnded: boolean): Promise<Response> {
  const again = hasEnded ? null : await askAgainFromHere(c);
  if (again) return again;
  const { pathname, search } = new URL(c.req.url);
  const query = new URLSearchParams({
    ...(isView(c) && { next: pathname + search }),
    ...(hasEnded && { ended: "yes" }),
  });
  return answer(c, 303, null, { Location: `/dashboard/sign-in${query.size > 0 ? `?${query}` : ""}` });
}

/** Answers a request whose session has ended, or that may not be answered now. */
async function answerEnded(c: Context<App>, refusal: Response): Promise<Response> {
  if (refusal.status === 401) return askToSignIn(c, true);
  return refusal.status === 403
    ? refusalPage(c, refusal, { path: "/dashboard/sign-in", text: "Sign in with another key" })
    : refusalPage(c, refusal);
}

/**
 * What a form of this dashboard has sent, or the refusal: 403 when it does not bring the session's token, 415 when it is
 * no form, and what reading a body may be refused with.
 */
export async function readForm(c: Context<App>, csrfToken: string): Promise<URLSearchParams | Response> {
  if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(c.req.header("Content-Type") ?? "")) {
    return problem(c, "unsupported_media_type", { detail: "Send the form of the page" });
  }
  const text = await readText(c);
  if (text instanceof Response) return text;
  const sent = new URLSearchParams(text);
  return isFromHere(c) && sent.get("csrf_token") === csrfToken ? sent : problem(c, "form_expired");
}

/** Whether a form comes from a page of this host, as far as its browser says. What ends TLS before the service hides the scheme. */
function isFromHere(c: Context<App>): boolean {
  const [site, origin] = [c.req.header("Sec-Fetch-Site"), c.req.header("Origin")];
  const isOwnSite = site === undefined || site === "same-origin" || site === "none";
  return isOwnSite && (origin === undefined || hostOf(origin) === new URL(c.req.url).host);
}

/** The host of an origin, with its port; null for `null`. */
const hostOf = (origin: string): string | null => (URL.canParse(origin) ? new URL(origin).host : null);
