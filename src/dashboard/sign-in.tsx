/** Signing in with an API key, and out. */
import type { Context } from "hono";
import { authenticate } from "../auth/authorize";
import { anonymousCookie, beginSession, endSession, type SessionCookie } from "../auth/sessions";
import type { App } from "../context";
import { answer } from "../http/answer";
import { type Problem, readProblem } from "./api";
import { noticeOf } from "./notices";
import { askAgainFromHere, bareAnswer, HOME, newDashboardApp, Refusal, readForm, refusalPage } from "./view";
import { hasSession, readCookie, readVisit, setCookie } from "./visit";

export const signIn = newDashboardApp();

const PATH = "/dashboard/sign-in";

/** A page of the dashboard to go on to; where it begins for everything else. */
function nextPath(next: string | null): string {
  if (next === null || !next.startsWith(HOME) || !URL.canParse(next, "http://localhost")) return HOME;
  const { host, pathname, search } = new URL(next, "http://localhost");
  return host === "localhost" && /^\/dashboard(\/|$)/.test(pathname) ? pathname + search : HOME;
}

signIn.get(PATH, async (c) => {
  const { outer, fetchApi } = c.env;
  outer.set("route", PATH);
  const query = new URL(c.req.url).searchParams;
  const next = nextPath(query.get("next"));
  const opened = await readCookie(outer);
  // The cookie that a first answer would set would take the place of a session's.
  const again = hasSession(opened) || opened.hasEnded ? null : await askAgainFromHere(outer);
  if (again) return again;
  const visit = hasSession(opened) ? await readVisit(outer, fetchApi, opened) : null;
  const isRefused = visit instanceof Response;
  if (visit !== null && !isRefused) return answer(outer, 303, null, { Location: next });
  // Such a session goes on later.
  if (isRefused && visit.status !== 401 && visit.status !== 403) return refusalPage(outer, visit);
  const notice = query.has("ended")
    ? "Your session has ended, or the key it was opened with has. Sign in again."
    : noticeOf(query.get("notice"));
  return show(outer, 200, isRefused ? anonymousCookie(Date.now()) : opened.cookie, next, { notice });
});

signIn.post(PATH, async (c) => {
  const { outer } = c.env;
  outer.set("route", PATH);
  const { cookie, session } = await readCookie(outer);
  const form = await readForm(outer, cookie.csrfToken);
  if (form instanceof Response) return refuse(outer, form, cookie, HOME);
  const next = nextPath(form.get("next"));
  // Nobody signs in there, nor out.
  if (session === "open mode") return answer(outer, 303, null, { Location: next });
  const principal = await authenticate(outer, (form.get("key") ?? "").trim());
  if (principal instanceof Response) return refuse(outer, principal, cookie, next);
  if (principal.keyId === null) throw new Error("A principal that was authenticated has a key");
  const begun = await beginSession(outer.get("db"), principal.keyId, session?.id ?? null, Date.now());
  return answer(outer, 303, null, { Location: next, "Set-Cookie": await setCookie(outer, begun) });
});

signIn.post("/dashboard/sign-out", async (c) => {
  const { outer } = c.env;
  outer.set("route", "/dashboard/sign-out");
  const { cookie, session } = await readCookie(outer);
  const Location = `${PATH}?notice=signed_out`;
  // A form of another site comes without the cookie: it takes none away.
  if (session === null || session === "open mode") return answer(outer, 303, null, { Location });
  const form = await readForm(outer, cookie.csrfToken);
  if (form instanceof Response) return refusalPage(outer, form);
  await endSession(outer.get("db"), session.id);
  return answer(outer, 303, null, { Location, "Set-Cookie": await setCookie(outer, null) });
});

async function refuse(c: Context<App>, refusal: Response, cookie: SessionCookie, next: string): Promise<Response> {
  const refused = await readProblem(refusal);
  return show(c, refused.status, cookie, next, { refused });
}

async function show(
  c: Context<App>,
  status: number,
  cookie: SessionCookie,
  next: string,
  { notice = null, refused = null }: { notice?: string | null; refused?: Problem | null },
): Promise<Response> {
  const content = (
    <>
      <h1>
        <img src="/docs/icon.svg" alt="" width="40" height="40" />
        Payment Service
      </h1>
      {notice !== null && (
        <p class="notice" role="status">
          {notice}
        </p>
      )}
      <form class="card stacked" method="post" action="/dashboard/sign-in">
        <input type="hidden" name="csrf_token" value={cookie.csrfToken} />
        <input type="hidden" name="next" value={next} />
        <Refusal problem={refused} />
        <label>
          API key
          <input
            name="key"
            type="password"
            required
            autofocus
            autocomplete="current-password"
            spellcheck={false}
            placeholder="pay_…"
          />
        </label>
        <p class="hint">
          The key decides what you see and may do. It is checked with every page, and not kept in the browser.
        </p>
        <button type="submit">Sign in</button>
      </form>
    </>
  );
  return bareAnswer(c, status, "Sign in", content, { "Set-Cookie": await setCookie(c, cookie) });
}
