/** What holds for every view and every form of the dashboard, those too that come later. */
import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, it, type MockInstance, vi } from "vitest";
import { publicId } from "../../../src/auth/api-key";
import { SCOPE_NAMES } from "../../../src/scopes";
import { client, newKey, newMerchant, ORDER } from "../client";
import { instrumentD1, meterD1 } from "../d1";
import { seedPayments } from "../payment-seed";
import { StripeStandIn } from "../provider/stripe-stand-in";
import { Browser, signedIn } from "./browser";
import { FORMS, NO_PAGES, pathOf, VIEWS } from "./routes";

const MAX_TRIPS = 3;
/** What a view may read, however much the merchant has: a page of a list, and what stands beside it. */
const MAX_ROWS_READ = 4_000;
/** On the wire, styles and scripts included. */
const MAX_FIRST_VIEW_BYTES = 60 * 1024;

/** By the names of parameters in paths. */
let parameters: Record<string, string>;
let key: string;
let browser: Browser;
/** Of this session, of another one of the same key, and of none. */
let tokens: { own: string; other: string; wrong: string };

beforeAll(async () => {
  // Nothing leaves this machine; every receiver answers 204.
  const stripe = new StripeStandIn();
  const merchant = await newMerchant();
  key = await newKey(SCOPE_NAMES, merchant);
  const api = client(undefined, { key });
  const post = (path: string, body: object) =>
    api.request<{ id: number | string }>("POST", path, { body, headers: { "Idempotency-Key": crypto.randomUUID() } });
  const start = Date.now() - 3_600_000;
  for (let first = 0; first < 3_000; first += 500) {
    await seedPayments(
      merchant,
      Array.from({ length: 500 }, (_, n) => ({
        ...{ order_id: first + n + 1, status: n % 3 === 0 ? ("refunded" as const) : ("confirmed" as const) },
        ...{ metadata: { cart: `c${n}` }, created_at: start + first + n },
      })),
    );
  }
  for (let n = 0; n < 40; n++) await newKey(["events:read"], merchant);
  const endpoint = await post("/api/v1/webhook-endpoints", { url: "https://shop.example.com/webhooks" });
  const made = await post("/api/v1/payments", { ...ORDER, provider: "sandbox" });
  await post(`/api/v1/payments/${made.body.id}/confirm`, { payment_method: "test_ok" });
  const refund = await post(`/api/v1/payments/${made.body.id}/refunds`, { amount: 1 });
  const account = { provider: "stripe", name: "Shop", api_key: stripe.newKey() };
  const { body: added } = await post("/api/v1/provider-accounts", account);
  const item = await env.DB.prepare(
    `INSERT INTO reconciliation_items (merchant_id, payment_id, account, kind, reference, detail, created_at)
     VALUES (?, ?, ?, 'late_success', 'pi_1', 'Found', 1) RETURNING id`,
  )
    .bind(merchant, made.body.id, added.id)
    .first("id");
  const event = `evt_${made.body.id}_1`;
  parameters = {
    ...{ payment: String(made.body.id), payment_id: String(made.body.id), id: String(made.body.id) },
    ...{ endpoint: String(endpoint.body.id), event, event_id: event, refund: String(refund.body.id) },
    account: String(added.id),
    item: String(item),
    ...{ key: publicId(key) ?? "", merchant: String(merchant), action: "refund" },
  };
  browser = await signedIn(key);
  // Statistics are caught up with in steps, each bounded by itself: test/worker/statistics/catching-up.test.ts.
  // Each look counts a thousand events.
  for (let events = 0; events <= 3 * 3_000; events += 1_000) await browser.open("/dashboard");
  tokens = {
    own: await browser.csrfToken("/dashboard/keys/new"),
    other: await (await signedIn(key)).csrfToken("/dashboard/keys/new"),
    wrong: "A".repeat(22),
  };
}, 120_000);

describe.each(VIEWS)("the view %s", (pattern) => {
  const path = () => pathOf(pattern, parameters);

  it("costs three round trips at most, and reads no more than a page", async () => {
    const meter = meterD1(env.DB);
    const metered = new Browser({ ...env, DB: meter.db });
    for (const [name, value] of browser.cookies) metered.cookies.set(name, value);
    const { status } = await metered.request(path());
    expect(status).toBeOneOf([200, 303, 409]);
    expect(meter.trips).toBeLessThanOrEqual(MAX_TRIPS);
    expect(meter.rowsRead).toBeLessThanOrEqual(MAX_ROWS_READ);
  });

  it("is a whole page without a script: one h1, nothing inline, nothing of another host, nothing kept", async () => {
    const { status, text, headers } = await browser.request(path());
    if (status === 303) return expect(pattern).toBe("/dashboard/sign-in");
    expect(headers.get("Content-Type")).toBe("text/html; charset=utf-8");
    expect(headers.get("Cache-Control")).toBe("no-store");
    const policy = headers.get("Content-Security-Policy") ?? "";
    expect(policy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self'; .*frame-ancestors 'none'$/);
    expect(policy).not.toMatch(/unsafe|https?:|\*|data:/);
    expect(text.match(/<h1[\s>]/g)).toHaveLength(1);
    expect(text).toMatch(/^<!doctype html><html lang="en">/);
    expect(text).not.toMatch(/<style|\sstyle=|\son\w+="|javascript:|<script(?![^>]* src="\/dashboard\/files\/)/);
    const sources = [...text.matchAll(/\s(?:src|action|href)="([^"#]*)"/g)].map(([, link = ""]) => link);
    // But for what a shop's own addresses are, which are shown and may be followed.
    expect(sources.filter((link) => !/^\/(dashboard|docs)(\/|$|\?|#)/.test(link))).toEqual([]);
    for (const form of text.match(/<form\b[^>]*method="post"[\s\S]*?<\/form>/g) ?? []) {
      expect(form).toContain('name="csrf_token"');
    }
  });

  it("answers HEAD and OPTIONS, with a slash at its end too, and refuses other methods with those that there are", async () => {
    const head = await browser.request(path(), { method: "HEAD" });
    expect([head.status, head.text]).toEqual([(await browser.request(path())).status, ""]);
    expect((await browser.request(`${path()}/`)).status).toBe(head.status);
    const options = await browser.request(path(), { method: "OPTIONS" });
    expect(options.status).toBe(204);
    const allowed = FORMS.includes(pattern) ? "GET, HEAD, OPTIONS, POST" : "GET, HEAD, OPTIONS";
    for (const method of ["PUT", "PATCH", "DELETE", "PROPFIND", ...(FORMS.includes(pattern) ? [] : ["POST"])]) {
      const page = await browser.request(path(), { method });
      // Another view's pattern may have the same path.
      expect([page.status, page.headers.get("Content-Type")], method).toEqual([405, "text/html; charset=utf-8"]);
      expect(page.headers.get("Allow"), method).toBe(options.headers.get("Allow"));
    }
    expect(options.headers.get("Allow")).toBe(allowed);
  });

  it("leads who has not signed in to where they can, and back", async () => {
    if (pattern === "/dashboard/sign-in") return;
    const page = await new Browser().request(`${path()}?x=1`);
    expect([page.status, page.location]).toEqual([
      303,
      `/dashboard/sign-in?${new URLSearchParams({ next: `${path()}?x=1` })}`,
    ]);
    expect(page.text).toBe("");
  });

  it("is a page in an outage too, which says nothing of the inside, and one line in the log says what it was", async () => {
    if (pattern === "/dashboard/sign-in") return;
    for (const [message, status] of [
      ["D1_ERROR: Network connection lost.", 503],
      ["D1_ERROR: no such column: secret_inside: SQLITE_ERROR", 500],
    ] as const) {
      const logged = vi.spyOn(console, "error").mockImplementation(() => {});
      const lines = vi.spyOn(console, "log").mockImplementation(() => {});
      const broken = new Browser({
        ...env,
        DB: instrumentD1(env.DB, () => Promise.reject(new Error(message))),
      });
      for (const [name, value] of browser.cookies) broken.cookies.set(name, value);
      const page = await broken.request(path());
      expect([page.status, page.headers.get("Content-Type")]).toEqual([status, "text/html; charset=utf-8"]);
      expect(page.text).toContain("<h1>");
      expect(page.text).not.toMatch(/D1|SQLITE|secret_inside|connection lost|at \w+ \(/i);
      expect(page.headers.get("Set-Cookie")).toBeNull();
      expect(logged.mock.calls).toHaveLength(1);
      expect(requestLines(lines)).toHaveLength(1);
      logged.mockRestore();
      lines.mockRestore();
    }
  });
});

/** The lines of a spied log that are of requests. */
const requestLines = (spy: MockInstance<typeof console.log>): { route?: string; d1_trips: number }[] =>
  spy.mock.calls.map(([text]) => JSON.parse(String(text))).filter(({ message }) => message === "request");

describe.each(FORMS)("the form that is sent to %s", (pattern) => {
  const path = () => pathOf(pattern, parameters);
  const FORM = "application/x-www-form-urlencoded";
  const own = "http://localhost";

  /** All that forms can change. */
  const state = async () =>
    env.DB.prepare(
      `SELECT (SELECT sum(version) FROM payments) AS payments, (SELECT count(*) FROM account_events) AS changes,
         (SELECT count(*) FROM webhook_deliveries) AS deliveries,
         (SELECT count(resolved_at) FROM reconciliation_items) AS resolved, (SELECT count(*) FROM dashboard_sessions) AS sessions`,
    ).first();

  it.each<[what: string, headers: Record<string, string>, token: "own" | "none" | "other" | "wrong", status: number]>([
    ["has no token", { "Content-Type": FORM, Origin: own }, "none", 403],
    ["has a wrong token", { "Content-Type": FORM, Origin: own }, "wrong", 403],
    ["has the token of another session", { "Content-Type": FORM, Origin: own }, "other", 403],
    ["comes from another origin", { "Content-Type": FORM, Origin: "https://evil.example" }, "own", 403],
    ["comes from another port", { "Content-Type": FORM, Origin: "http://localhost:3000" }, "own", 403],
    ["comes from an origin that is hidden", { "Content-Type": FORM, Origin: "null" }, "own", 403],
    ["comes from another site", { "Content-Type": FORM, "Sec-Fetch-Site": "cross-site" }, "own", 403],
    ["comes from another host of the site", { "Content-Type": FORM, "Sec-Fetch-Site": "same-site" }, "own", 403],
    ["is JSON", { "Content-Type": "application/json", Origin: own }, "own", 415],
    ["is text, as forms of other sites may be", { "Content-Type": "text/plain", Origin: own }, "own", 415],
    ["is of no type", { Origin: own }, "own", 415],
  ])("changes nothing when it %s", async (_, headers, whose, status) => {
    const before = await state();
    const body = String(new URLSearchParams(whose === "none" ? {} : { csrf_token: tokens[whose] }));
    const page = await browser.request(path(), { method: "POST", headers, body });
    expect([page.status, page.headers.get("Content-Type")]).toEqual([status, "text/html; charset=utf-8"]);
    expect(await state()).toEqual(before);
  });

  it("changes nothing when nobody has signed in", async () => {
    const before = await state();
    const headers = { "Content-Type": FORM, Origin: own };
    const page = await new Browser().request(path(), { method: "POST", headers, body: "csrf_token=" });
    expect(page.status).toBeOneOf([303, 403]);
    expect(await state()).toEqual(before);
  });
});

it.each(NO_PAGES)("%s is for who has signed in, as pages are", async (pattern) => {
  const page = await new Browser().request(pathOf(pattern, parameters));
  expect([page.status, page.text]).toEqual([303, ""]);
  const options = await browser.request(pathOf(pattern, parameters), { method: "OPTIONS" });
  expect([options.status, options.headers.get("Allow")]).toEqual([204, "GET, HEAD, OPTIONS"]);
});

it("the first view is light on the wire, with all that it loads", async () => {
  const page = await browser.request("/dashboard");
  const links = [...page.text.matchAll(/<(?:link|script|img)\b[^>]*\s(?:src|href)="([^"]*)"/g)].map(([, link]) => link);
  const files = await Promise.all([...new Set(links)].map((link) => browser.request(link ?? "")));
  expect(files.length).toBeGreaterThanOrEqual(3);
  expect(files.map(({ status }) => status)).toEqual(files.map(() => 200));
  const sizes = await Promise.all([page, ...files].map(({ text }) => gzippedBytes(text)));
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(MAX_FIRST_VIEW_BYTES);
});

async function gzippedBytes(text: string): Promise<number> {
  const zipped = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return (await new Response(zipped).arrayBuffer()).byteLength;
}

it("its files are served to anybody, and nothing else is", async () => {
  const stranger = new Browser();
  const style = await stranger.request("/dashboard/files/dashboard.css");
  expect([style.status, style.headers.get("Content-Type")]).toEqual([200, "text/css; charset=utf-8"]);
  const etag = style.headers.get("ETag") ?? "";
  expect(style.headers.get("Cache-Control")).toBe("no-cache");
  expect(
    (await stranger.request("/dashboard/files/dashboard.css", { headers: { "If-None-Match": etag } })).status,
  ).toBe(304);
  for (const file of ["", "none.css", "..%2f..%2fwrangler.toml", "%2e%2e/docs/home.css", "dashboard.html", ".css"]) {
    const { status } = await stranger.request(`/dashboard/files/${file}`);
    expect(status, file).toBe(404);
  }
});

it("a page that there is not says so, and paths beside it are not the dashboard's", async () => {
  const page = await browser.request("/dashboard/nothing-here");
  expect([page.status, page.headers.get("Content-Type")]).toEqual([404, "text/html; charset=utf-8"]);
  for (const path of ["/dashboards", "/dashboard@evil.example", "/dashboard.css"]) {
    const { status, headers } = await browser.request(path);
    expect([status, headers.get("Content-Type")], path).toEqual([404, "application/problem+json"]);
  }
});

it("a form that is too large is refused as a page", async () => {
  const page = await browser.request("/dashboard/keys/new", {
    method: "POST",
    headers: { "Content-Type": "application/x-www-form-urlencoded", Origin: "http://localhost" },
    body: `csrf_token=x&name=${"x".repeat(70_000)}`,
  });
  expect([page.status, page.headers.get("Content-Type")]).toEqual([413, "text/html; charset=utf-8"]);
});

describe("what is asked of the API", () => {
  it("is one line in the log, with what all of it has cost", async () => {
    const lines = vi.spyOn(console, "log").mockImplementation(() => {});
    const meter = meterD1(env.DB);
    const metered = new Browser({ ...env, DB: meter.db });
    for (const [name, value] of browser.cookies) metered.cookies.set(name, value);
    const page = await metered.request(`/dashboard/keys?merchant_id=${parameters.merchant}`, {
      headers: { "X-Request-Id": "one-page" },
    });
    const [line, ...more] = requestLines(lines);
    lines.mockRestore();
    expect(page.headers.get("X-Request-Id")).toBe("one-page");
    expect(more).toEqual([]);
    expect(line).toMatchObject({
      request_id: "one-page",
      route: "/dashboard/keys",
      status: 200,
      merchant_id: Number(parameters.merchant),
      key_id: publicId(key),
      d1_trips: 2,
      d1_rows_read: meter.rowsRead,
    });
    expect(meter.trips).toBe(2);
  });

  it.each(["Authorization", "Inner-Request", "Dashboard-Refresh", "X-Forwarded-User", "CF-Worker", "Cookie"])(
    "is nothing that a request from outside can claim by %s",
    async (name) => {
      const stranger = new Browser(undefined, { [name]: "Bearer inner" });
      expect((await stranger.request("/api/v1/payments")).status).toBe(401);
      expect((await stranger.request("/dashboard/keys")).status).toBe(303);
    },
  );

  it("is not asked by an API key in a header: a page is for who has signed in", async () => {
    const page = await new Browser(undefined, { Authorization: `Bearer ${key}` }).request("/dashboard/keys");
    expect(page.status).toBe(303);
  });
});
