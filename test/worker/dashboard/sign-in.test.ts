/** Who comes in to the dashboard, for how long, and what puts them out. */
import { env } from "cloudflare:workers";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { publicId } from "../../../src/auth/api-key";
import { makeSecretsKeys } from "../../../src/auth/secret-keys";
import { SCOPE_NAMES } from "../../../src/scopes";
import { administrator, newKey, newMerchant, unknownKey, wrongSecret } from "../client";
import { meterD1 } from "../d1";
import { Browser, fieldsOf, openMode, signedIn } from "./browser";

/** A session ends after half an hour without a request, and after twelve hours. */
const [HALF_AN_HOUR_MS, TWELVE_HOURS_MS] = [1_800_000, 43_200_000];

const COOKIE = "__Host-dashboard";
const MERCHANTS = SCOPE_NAMES.filter((scope) => scope !== "admin");

let merchant: number;
let key: string;
beforeAll(async () => {
  merchant = await newMerchant();
  key = await newKey(MERCHANTS, merchant);
});

afterEach(() => {
  vi.useRealTimers();
});

const sessions = async (): Promise<number> =>
  (await env.DB.prepare("SELECT count(*) AS count FROM dashboard_sessions").first<{ count: number }>())?.count ?? 0;

describe("a key that is good", () => {
  it.each([
    ["as it is", (good: string) => good],
    ["with spaces and a line break around it, as it is copied", (good: string) => `  ${good} \r\n`],
  ])("signs in %s", async (_, write) => {
    const browser = new Browser();
    const page = await browser.signIn(write(key));
    expect(page.location).toBe("/dashboard");
    expect((await browser.open("/dashboard")).text).toContain(`Merchant ${merchant}`);
  });

  it("is not in the cookie, the page or the database", async () => {
    const browser = await signedIn(key);
    const { text } = await browser.open("/dashboard");
    const secret = key.slice(17);
    expect(text).not.toContain(secret);
    expect(decodeURIComponent([...browser.cookies.values()].join())).not.toContain(secret);
    const { results } = await env.DB.prepare("SELECT * FROM dashboard_sessions").all();
    expect(JSON.stringify(results)).not.toContain(secret);
  });

  it("gets a cookie that no script reads, no other host gets and no other site sends", async () => {
    const browser = await signedIn(key);
    expect(browser.lastSetCookie).toMatch(/^__Host-dashboard=v1\.[^;]+; Path=\/; HttpOnly; SameSite=Strict; Secure$/);
    await browser.open("/dashboard");
    expect(browser.lastSetCookie).toMatch(/^__Host-dashboard=v1\.[^;]+; Path=\/; HttpOnly; SameSite=Strict; Secure$/);
  });

  it("of the administrator comes to the merchants", async () => {
    const browser = new Browser();
    await browser.signIn(env.ADMIN_KEY ?? "");
    const page = await browser.request("/dashboard");
    expect([page.status, page.location]).toEqual([303, "/dashboard/merchants"]);
  });

  it("that may see nothing here is told which scope it lacks, and can sign out", async () => {
    const browser = await signedIn(await newKey(["refunds:write"], merchant));
    const page = await browser.open("/dashboard");
    expect(page.status).toBe(403);
    expect(page.text).toContain("sign in with a key that has <code>payments:read</code>");
    expect((await browser.send("/dashboard/sign-out", fieldsOf(page))).status).toBe(303);
  });
});

describe("a key that is not good", () => {
  const revoked = async () => {
    const ended = await newKey(MERCHANTS, merchant);
    expect((await administrator().request("POST", `/api/v1/api-keys/${publicId(ended)}/revoke`)).status).toBe(200);
    return ended;
  };
  const expired = async () => {
    const ended = await newKey(MERCHANTS, merchant);
    await env.DB.prepare("UPDATE api_keys SET expires_at = 1 WHERE id = ?").bind(publicId(ended)).run();
    return ended;
  };
  const disabled = async () => {
    const other = await newMerchant();
    const held = await newKey(MERCHANTS, other);
    await administrator().request("POST", `/api/v1/merchants/${other}/disable`);
    return held;
  };

  it.each<[what: string, make: () => string | Promise<string>, status: number, says: string]>([
    ["is empty", () => "", 401, "The API key is not valid"],
    ["is no key", () => "<script>alert(1)</script>", 401, "The API key is not valid"],
    ["was never issued", () => unknownKey(), 401, "The API key is not valid"],
    ["has a wrong secret", () => wrongSecret(publicId(key) ?? ""), 401, "The API key is not valid"],
    ["is revoked", revoked, 401, "The API key is not valid"],
    ["has expired", expired, 401, "The API key is not valid"],
    ["is of a disabled merchant", disabled, 403, "disabled"],
  ])("because it %s stays out", async (_, make, status, says) => {
    const before = await sessions();
    const browser = new Browser();
    const wrong = await make();
    const page = await browser.fill(
      "/dashboard/sign-in?next=/dashboard/payments",
      { key: wrong },
      "/dashboard/sign-in",
    );
    expect(page.status).toBe(status);
    expect(page.text).toContain(says);
    // The form is there again, without what was typed, and leads on to where it led.
    expect(fieldsOf(page)).toMatchObject({ key: "", next: "/dashboard/payments" });
    if (wrong !== "") expect(page.text).not.toContain(wrong);
    expect(await sessions()).toBe(before);
    expect((await browser.request("/dashboard")).location).toBe("/dashboard/sign-in?next=%2Fdashboard");
  });
});

describe("a session ends", () => {
  it("after 30 minutes without a request, and not while there are some", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const browser = await signedIn(key);
    for (let n = 0; n < 3; n++) {
      vi.setSystemTime(Date.now() + HALF_AN_HOUR_MS - 1000);
      expect((await browser.request("/dashboard")).status).toBe(200);
    }
    vi.setSystemTime(Date.now() + HALF_AN_HOUR_MS);
    expect((await browser.request("/dashboard?days=7")).location).toBe(
      "/dashboard/sign-in?next=%2Fdashboard%3Fdays%3D7&ended=yes",
    );
    expect((await browser.open("/dashboard")).text).toContain("Your session has ended");
  });

  it("after 30 minutes in which only the page itself has asked", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const browser = await signedIn(key);
    const refresh = { headers: { "Dashboard-Refresh": "yes" } };
    vi.setSystemTime(Date.now() + HALF_AN_HOUR_MS - 1000);
    const page = await browser.request("/dashboard", refresh);
    expect([page.status, page.headers.get("Set-Cookie")]).toEqual([200, null]);
    vi.setSystemTime(Date.now() + 1000);
    expect((await browser.request("/dashboard", refresh)).status).toBe(303);
  });

  it("after 12 hours, however it is used", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const browser = await signedIn(key);
    const begun = Date.now();
    for (let at = begun; at < begun + TWELVE_HOURS_MS; at += HALF_AN_HOUR_MS - 1000) {
      vi.setSystemTime(at);
      expect((await browser.request("/dashboard")).status).toBe(200);
    }
    vi.setSystemTime(begun + TWELVE_HOURS_MS);
    expect((await browser.request("/dashboard")).location).toBe("/dashboard/sign-in?next=%2Fdashboard&ended=yes");
  });

  it("when its user signs out, wherever its cookie was copied to", async () => {
    const browser = await signedIn(key);
    const page = await browser.open("/dashboard");
    const copy = new Browser();
    copy.cookies.set(COOKIE, browser.cookies.get(COOKIE) ?? "");
    expect((await copy.request("/dashboard")).status).toBe(200);
    const out = await browser.send("/dashboard/sign-out", fieldsOf(page));
    expect([out.status, out.location]).toEqual([303, "/dashboard/sign-in?notice=signed_out"]);
    expect(out.headers.get("Set-Cookie")).toMatch(/^__Host-dashboard=; .*; Max-Age=0$/);
    expect(browser.cookies.size).toBe(0);
    expect((await copy.request("/dashboard")).status).toBe(303);
    expect((await browser.open("/dashboard/sign-in?notice=signed_out")).text).toContain("You have signed out.");
  });

  it("when its browser signs in anew", async () => {
    const browser = await signedIn(key);
    const copy = new Browser();
    copy.cookies.set(COOKIE, browser.cookies.get(COOKIE) ?? "");
    const token = await browser.csrfToken("/dashboard");
    await browser.send("/dashboard/sign-in", { csrf_token: token, key: await newKey(MERCHANTS, merchant) });
    expect((await browser.request("/dashboard")).status).toBe(200);
    expect((await copy.request("/dashboard")).status).toBe(303);
  });

  it.each(["key", "merchant"])("when its %s ends, at the next request", async (what) => {
    const other = await newMerchant();
    const own = await newKey(MERCHANTS, other);
    const browser = await signedIn(own);
    expect((await browser.request("/dashboard")).status).toBe(200);
    const path = what === "key" ? `/api/v1/api-keys/${publicId(own)}/revoke` : `/api/v1/merchants/${other}/disable`;
    await administrator().request("POST", path);
    const page = await browser.request("/dashboard");
    if (what === "key") {
      expect(page.location).toBe("/dashboard/sign-in?next=%2Fdashboard&ended=yes");
    } else {
      expect(page.status).toBe(403);
      expect(page.text).toContain("Sign in with another key");
    }
    expect((await browser.open("/dashboard/sign-in")).status).toBe(200);
  });

  it("when the key that it names was issued by another service", async () => {
    const browser = await signedIn(key);
    await env.DB.prepare("UPDATE dashboard_sessions SET key_id = '000000000000'").run();
    expect((await browser.request("/dashboard")).status).toBe(303);
  });

  it("and what has ended is taken away", async () => {
    await env.DB.prepare("UPDATE dashboard_sessions SET ends_at = 1").run();
    await signedIn(key);
    expect(await sessions()).toBe(1);
  });
});

describe("the secret keys", () => {
  const withKeys = (SECRETS_KEYS: string): Env => ({ ...env, SECRETS_KEYS });

  it("may be rolled: the older one still opens, until it is taken from the list", async () => {
    const browser = await signedIn(key);
    const [cookie] = browser.cookies.values();
    const newer = makeSecretsKeys(new Date());
    const rolled = new Browser(withKeys(`${newer},${env.SECRETS_KEYS}`));
    rolled.cookies.set(COOKIE, cookie ?? "");
    expect((await rolled.request("/dashboard")).status).toBe(200);
    // The next cookie is sealed with the newest.
    expect(rolled.cookies.get(COOKIE)?.split(".")[1]).toBe(newer.split(":")[0]);
    const without = new Browser(withKeys(newer));
    without.cookies.set(COOKIE, cookie ?? "");
    expect((await without.request("/dashboard")).location).toContain("ended=yes");
  });

  it("of another service, and of open mode, open nothing here", async () => {
    for (const bindings of [withKeys(makeSecretsKeys(new Date())), { ...env, AUTH_MODE: "open" }]) {
      const other = new Browser(bindings);
      await other.open("/dashboard/sign-in");
      const browser = new Browser();
      for (const value of other.cookies.values()) browser.cookies.set(COOKIE, value);
      expect(browser.cookies.size).toBe(1);
      expect((await browser.request("/dashboard")).status).toBe(303);
    }
  });

  it("that are missing make the dashboard a page that says so", async () => {
    const page = await new Browser(withKeys("")).request("/dashboard");
    expect(page.status).toBe(503);
    expect(page.headers.get("Content-Type")).toBe("text/html; charset=utf-8");
    expect(page.text).toContain("Set the secret SECRETS_KEYS to what `npm run secrets-key` makes");
  });
});

it("a cookie that was altered, in whatever place, opens nothing", async () => {
  const browser = await signedIn(key);
  const value = browser.cookies.get(COOKIE) ?? "";
  const forged = [
    ...["", "x", "v1", "v1...", value.slice(0, -1), `${value}A`, value.replace("v1", "v2"), value.replace(/\./g, "")],
    ...[...value].flatMap((letter, n) =>
      n % 7 === 0 ? [value.slice(0, n) + (letter === "A" ? "B" : "A") + value.slice(n + 1)] : [],
    ),
    JSON.stringify({ signedIn: { id: "x", keyId: publicId(key) }, csrfToken: "x", usedAt: Date.now() }),
  ];
  for (const cookie of forged.filter((one) => one !== value)) {
    const thief = new Browser();
    thief.cookies.set(COOKIE, cookie);
    expect((await thief.request("/dashboard")).status, cookie).toBe(303);
  }
});

describe("the page to go on to", () => {
  it.each([
    ...["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)"],
    ...[
      "/dashboard@evil.example",
      "/dashboardx",
      "/dashboard/../docs",
      "/dashboard/%2e%2e/docs",
      "/dashboard/..//evil",
    ],
    ...["/dashboard\\..\\..\\docs", "/docs", "dashboard", " /dashboard/payments", "", "/dashboard\t/../docs"],
  ])("is never %j", async (next) => {
    const browser = new Browser();
    expect((await browser.signIn(key, next)).location).toBe("/dashboard");
    const page = await browser.request(`/dashboard/sign-in?${new URLSearchParams({ next })}`);
    expect([page.status, page.location]).toEqual([303, "/dashboard"]);
  });

  it.each(["/dashboard/payments?q=caf%C3%A9&status=confirmed", "/dashboard/payments/12", "/dashboard/"])(
    "is %s",
    async (next) => {
      expect((await new Browser().signIn(key, next)).location).toBe(next);
    },
  );
});

describe("a link from elsewhere", () => {
  const CROSS_SITE = { headers: { "Sec-Fetch-Site": "cross-site" } };

  it.each(["/dashboard", "/dashboard/sign-in", "/dashboard?q=%22%3E"])(
    "to %s is followed once more from here, for the cookie to come along, and changes none",
    async (path) => {
      const page = await new Browser().request(path, CROSS_SITE);
      expect([page.status, page.headers.get("Refresh")]).toEqual([200, `0; url=${path}`]);
      expect(page.headers.get("Set-Cookie")).toBeNull();
    },
  );

  it("does not sign out, whatever form it comes from", async () => {
    const headers = { "Content-Type": "application/x-www-form-urlencoded", Origin: "https://evil.example" };
    const without = await new Browser().request("/dashboard/sign-out", { method: "POST", headers, body: "" });
    expect([without.status, without.headers.get("Set-Cookie")]).toEqual([303, null]);
    const browser = await signedIn(key);
    const token = await browser.csrfToken("/dashboard");
    const body = String(new URLSearchParams({ csrf_token: token }));
    const forged = await browser.request("/dashboard/sign-out", { method: "POST", headers, body });
    expect(forged.status).toBe(403);
    expect((await browser.request("/dashboard")).status).toBe(200);
  });
});

it("open mode signs nobody in or out, and lets everybody of this machine in", async () => {
  const browser = openMode();
  const page = await browser.open("/dashboard");
  expect(page.status).toBe(200);
  expect(page.text).toContain("Open mode");
  expect(browser.lastSetCookie).toMatch(/^dashboard=[^;]+; Path=\/; HttpOnly; SameSite=Strict$/);
  expect((await browser.request("/dashboard/sign-in")).location).toBe("/dashboard");
  const before = await sessions();
  const token = await browser.csrfToken("/dashboard/keys/new");
  const sent = await browser.send("/dashboard/sign-in", { csrf_token: token, key });
  expect([sent.status, sent.location]).toEqual([303, "/dashboard"]);
  expect(await sessions()).toBe(before);
  expect((await browser.send("/dashboard/sign-out", { csrf_token: token })).status).toBe(303);
  const elsewhere = await new Browser({ ...env, AUTH_MODE: "open" }, { "Sec-Fetch-Site": "cross-site" }).request(
    "/dashboard",
  );
  expect(elsewhere.status).toBe(403);
  expect(elsewhere.headers.get("Content-Type")).toBe("text/html; charset=utf-8");
});

it("a page asks D1 once for the session and the key, and counts the request once", async () => {
  const meter = meterD1(env.DB);
  const counted: string[] = [];
  const counting = (name: string) => ({
    limit: async ({ key: whose }: { key: string }) => {
      counted.push(`${name} ${whose}`);
      return { success: true };
    },
  });
  const bindings: Env = {
    ...env,
    DB: meter.db,
    KEY_RATE: counting("key"),
    MERCHANT_RATE: counting("merchant"),
  };
  const browser = await signedIn(key, bindings);
  const [trips, requests] = [meter.trips, counted.length];
  expect((await browser.request("/dashboard/sign-in")).status).toBe(303);
  expect(meter.trips - trips).toBe(1);
  expect(counted.slice(requests)).toEqual([`key ${publicId(key)}`, `merchant ${merchant}`]);
});

it("a quota that is used up is a page that says so, and no session ends by it", async () => {
  const none = { limit: async () => ({ success: false }) };
  const browser = await signedIn(key);
  const refused = new Browser({ ...env, KEY_RATE: none });
  for (const [name, value] of browser.cookies) refused.cookies.set(name, value);
  for (const path of ["/dashboard", "/dashboard/sign-in"]) {
    const page = await refused.request(path);
    expect([page.status, page.headers.get("Retry-After"), page.headers.get("Set-Cookie")]).toEqual([429, "10", null]);
    expect(page.text).toContain("<h1>");
  }
  expect((await browser.request("/dashboard")).status).toBe(200);
});
