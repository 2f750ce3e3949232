/** Signing in with an API key, and out. */
import type { Context } from "hono";
import { authenticate } from "../auth/authorize";
import { beginSession, endSession, type SessionCookie } from "../auth/sessions";
import type { App } from "../context";
import { answer } from "../http/answer";
import { type Problem, readProblem } from "./api";
import { noticeOf } from "./notices";
import { bareAnswer, newDashboardApp, Refusal, readForm } from "./view";
import { readVisit, setCookie } from "./visit";

export const signIn = newDashboardApp();

/** A page of the dashboard to go on to; the overview for everything else. */
function nextPath(next: string | null): string {
  if (next === null || !/^\/dashboard(?![\w-])/.test(next) || !URL.canParse(next, "http://localhost"))
    return "/dashboard";
  const { host, pathname, search } = new URL(next, "http://localhost");
  return host === "localhost" && pathname.startsWith("/dashboard") ? pathname + search : "/dashboard";
}

signIn.get("/dashboard/sign-in", async (c) => {
  const { outer, fetchApi } = c.env;
  outer.set("route", "/dashboard/sign-in");
  const query = new URL(c.req.url).searchParams;
  const next = nextPath(query.get("next"));
  const read = await readVisit(outer, fetchApi);
  if ("visit" in read) return answer(outer, 303, null, { Location: next });
  const notice = query.has("ended")
    ? "Your session has ended, or the key it was opened with has. Sign in again."
    : noticeOf(query.get("notice"));
  return show(outer, 200, read.cookie, next, { notice });
});

signIn.post("/dashboard/sign-in", async (c) => {
  const { outer, fetchApi } = c.env;
  outer.set("route", "/dashboard/sign-in");
  const read = await readVisit(outer, fetchApi);
  const cookie = "visit" in read ? read.visit.cookie : read.cookie;
  const form = await readForm(outer, cookie.csrfToken);
  if (form instanceof Response) return refuse(outer, form, cookie, "/dashboard");
  const next = nextPath(form.get("next"));
  const key = (form.get("key") ?? "").trim();
  const principal = await authenticate(outer, key);
  if (principal instanceof Response) return refuse(outer, principal, cookie, next);
  if (principal.keyId === null) throw new Error("A principal that was authenticated has a key");
  const session = await beginSession(outer.get("db"), principal.keyId, Date.now());
  return answer(outer, 303, null, { Location: next, "Set-Cookie": await setCookie(outer, session) });
});

signIn.post("/dashboard/sign-out", async (c) => {
  const { outer, fetchApi } = c.env;
  outer.set("route", "/dashboard/sign-out");
  const read = await readVisit(outer, fetchApi);
  if ("visit" in read) {
    const { cookie } = read.visit;
    const form = await readForm(outer, cookie.csrfToken);
    if (form instanceof Response) return form;
    if (cookie.signedIn) await endSession(outer.get("db"), cookie.signedIn.id);
  }
  const headers = { Location: "/dashboard/sign-in?notice=signed_out", "Set-Cookie": await setCookie(outer, null) };
  return answer(outer, 303, null, headers);
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
