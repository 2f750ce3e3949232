import { createExecutionContext } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from "vitest";
import { app } from "../../../src/app";
import { publicId } from "../../../src/auth/api-key";
import { SCOPE_NAMES } from "../../../src/scopes";
import { administrator, client, newKey, newMerchant, ORDER, paymentIn, unknownKey, wrongSecret } from "../client";
import { apiDocument, resolve } from "../contract";
import { instrumentD1 } from "../d1";
import { envWithD1 } from "../objects";
import { exported } from "../payment-file";

const PAYMENTS = "/api/v1/payments";

/** The fields of the line that each request leaves, in order. */
interface Line {
  message: "request";
  request_id: string;
  method: string;
  /** Undefined, and so not there, where no endpoint answers. */
  route?: string;
  status: number;
  duration_ms: number;
  /** Undefined where nobody was let in; so is the key, which in open mode is null. */
  merchant_id?: number;
  key_id?: string | null;
  d1_trips: number;
  d1_rows_read: number;
  d1_rows_written: number;
}

const LEVELS = ["log", "info", "warn", "error", "debug"] as const;
let logged: Record<(typeof LEVELS)[number], MockInstance<typeof console.log>>;

beforeEach(() => {
  const spy = (level: (typeof LEVELS)[number]) => vi.spyOn(console, level).mockImplementation(() => {});
  logged = { log: spy("log"), info: spy("info"), warn: spy("warn"), error: spy("error"), debug: spy("debug") };
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** Everything that was logged, whatever for. */
const everything = () => JSON.stringify(LEVELS.map((level) => logged[level].mock.calls));

/** The lines that were logged since the last call. */
function lines(): Line[] {
  const texts = logged.log.mock.calls.map(([text]) => String(text));
  logged.log.mockClear();
  return texts.map((text) => JSON.parse(text));
}

/** The one line that an operation leaves. */
async function lineOf(operation: () => Promise<unknown>): Promise<Line | undefined> {
  lines();
  await operation();
  const left = lines();
  expect(left).toHaveLength(1);
  return left[0];
}

describe("each request leaves one line", () => {
  it("that says who asked what, and what that took", async () => {
    const merchant = await newMerchant();
    const key = await newKey(SCOPE_NAMES, merchant);
    const api = client(undefined, { key });
    const { id } = await paymentIn("pending", api);
    const line = await lineOf(() =>
      api.request("POST", `${PAYMENTS}/${id}/confirm`, { headers: { "X-Request-Id": "the-confirmation" } }),
    );
    expect(line).toEqual({
      message: "request",
      request_id: "the-confirmation",
      method: "POST",
      route: "/api/v1/payments/{payment_id}/confirm",
      status: 200,
      duration_ms: line?.duration_ms,
      merchant_id: merchant,
      key_id: publicId(key),
      d1_trips: 1,
      d1_rows_read: line?.d1_rows_read,
      d1_rows_written: 2,
    });
    expect(line?.duration_ms).toBeGreaterThanOrEqual(0);
    expect(line?.d1_rows_read).toBeGreaterThan(0);
  });

  it.each<[what: string, expected: Partial<Line>, run: () => Promise<unknown>]>([
    [
      "a key that lacks the scope",
      { status: 403, route: PAYMENTS, merchant_id: 0, key_id: publicId(env.ADMIN_KEY ?? "") ?? "", d1_trips: 0 },
      () => administrator().create(ORDER),
    ],
    [
      "no key",
      { status: 401, method: "GET", route: PAYMENTS, d1_trips: 0 },
      () => client(undefined, { key: null }).request("GET", PAYMENTS),
    ],
    [
      "an unknown key",
      { status: 401, route: PAYMENTS, d1_trips: 1, d1_rows_written: 0 },
      async () => client(undefined, { key: await unknownKey() }).request("GET", PAYMENTS),
    ],
    [
      "a path that there is not",
      { status: 404, method: "GET", d1_trips: 0 },
      () => client(undefined, { key: null }).request("GET", "/nothing"),
    ],
    [
      "a method that there is not",
      { status: 405, method: "PUT" },
      () => client(undefined, { key: null }).request("PUT", PAYMENTS),
    ],
    ["health", { status: 200, route: "/health" }, () => client(undefined, { key: null }).request("GET", "/health")],
    ["the page", { status: 200 }, () => exports.default.fetch("http://localhost/docs")],
    [
      "a body that is too large",
      { status: 413, method: "POST" },
      () => client(env, { key: null }).request("POST", PAYMENTS, { headers: { "Content-Length": "65537" } }),
    ],
    [
      "open mode",
      { status: 404, route: `${PAYMENTS}/{payment_id}`, merchant_id: 1, key_id: null },
      () => client(env).get("9007199254740991"),
    ],
  ])("for %s", async (_, expected, run) => {
    const { duration_ms, d1_rows_read, d1_rows_written, d1_trips, request_id, message, ...line } =
      (await lineOf(run)) ?? ({} as Partial<Line>);
    expect(message).toBe("request");
    expect(request_id).toMatch(/^[0-9a-f-]{36}$/);
    for (const number of [duration_ms, d1_rows_read, d1_rows_written, d1_trips]) expect(number).toBeTypeOf("number");
    expect({ ...line, d1_trips, d1_rows_written }).toMatchObject(expected);
    // Nothing beyond what is expected, but the method.
    expect(Object.keys(line).filter((field) => !(field in expected))).toEqual("method" in expected ? [] : ["method"]);
  });
});

it("says how long a request took, and how long a file that goes on after it", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const TRIP_MS = 40;
  const DB = instrumentD1(env.DB, (trip) => {
    vi.setSystemTime(Date.now() + TRIP_MS);
    return trip();
  });
  const api = client({ ...env, DB });
  const { id } = await paymentIn("pending", api);
  const asked = await lineOf(() => api.get(id));
  expect([asked?.d1_trips, asked?.duration_ms]).toEqual([1, TRIP_MS]);
  lines();
  await exported(api);
  const file = lines().find(({ message }) => String(message) === "export");
  // Of the two, the first has found that there is something to write.
  expect([file?.d1_trips, file?.duration_ms]).toEqual([2, TRIP_MS]);
});

describe("no line holds a secret:", () => {
  const MARK = "marked";
  const secret = (what: string) => `${MARK}-${what}-${crypto.randomUUID()}`;

  /** Requests with a secret in every place that may hold one. */
  async function ask(api: ReturnType<typeof client>, id: number): Promise<number[]> {
    const headers = () => ({
      "Idempotency-Key": secret("idempotency"),
      "If-Match": `"${secret("tag")}"`,
      "If-None-Match": `"${secret("tag")}"`,
      Cookie: secret("cookie"),
      "X-Forwarded-For": secret("address"),
    });
    const json = { "Content-Type": "application/json" };
    const body = { ...ORDER, metadata: { [secret("name").slice(0, 40)]: secret("value") } };
    const answers = [
      await api.request("POST", PAYMENTS, { body, headers: headers() }),
      await api.request("POST", PAYMENTS, {
        body: { ...body, [secret("field")]: secret("value") },
        headers: headers(),
      }),
      await api.request("POST", PAYMENTS, { body: `{"${secret("broken")}`, headers: { ...headers(), ...json } }),
      await api.request("POST", PAYMENTS, { body, headers: { "Idempotency-Key": `${secret("two")} words` } }),
      await api.request("GET", `${PAYMENTS}?metadata=cart=${secret("query")}`, { headers: headers() }),
      await api.request("GET", `${PAYMENTS}?${secret("query")}=1&cursor=${secret("cursor")}`, { headers: headers() }),
      await api.get(id),
      await api.request("POST", `${PAYMENTS}/${id}/refund`, { headers: headers() }),
      await api.request("POST", `${PAYMENTS}/${id}/confirm`, { headers: { "Idempotency-Key": secret("action") } }),
      await api.request("GET", `/${secret("path")}?q=${secret("query")}`),
      await api.request("POST", "/api/v1/api-keys", {
        body: { name: secret("name"), scopes: ["payments:read"] },
        headers: { "Idempotency-Key": secret("idempotency") },
      }),
    ];
    return answers.map(({ status }) => status);
  }

  it("answered, refused or not let in", async () => {
    const merchant = await newMerchant();
    const key = await newKey(SCOPE_NAMES, merchant);
    const { id } = await paymentIn("pending", client(undefined, { key }));
    const wrong = await wrongSecret(publicId(key) ?? "");
    const statuses = [
      ...(await ask(client(undefined, { key }), id)),
      ...(await ask(client(undefined, { key: wrong }), id)),
      ...(await ask(client(undefined, { key: `pay_${secret("key")}` }), id)),
      ...(await ask(client(undefined, { key: env.ADMIN_KEY }), id)),
    ];
    expect(new Set(statuses)).toEqual(new Set([200, 201, 400, 401, 403, 404, 412, 422]));
    const seen = everything();
    expect(seen).toContain(publicId(key));
    for (const hidden of [MARK, key, wrong, env.ADMIN_KEY ?? "", key.slice(-38), wrong.slice(-38)]) {
      expect(seen).not.toContain(hidden);
    }
  });

  it.each([
    ["an outage", "D1_ERROR: Network connection lost.", 503],
    ["a bug", "D1_ERROR: no such column: x: SQLITE_ERROR", 500],
  ])("in %s", async (_, message, status) => {
    const merchant = await newMerchant();
    const key = await newKey(SCOPE_NAMES, merchant);
    const { id } = await paymentIn("pending", client(undefined, { key }));
    // The look-up of the key succeeds, and is remembered; what comes after it does not.
    let broken = false;
    const d1 = instrumentD1(env.DB, (roundTrip) => (broken ? Promise.reject(new Error(message)) : roundTrip()));
    const api = client(envWithD1(d1), { key, outages: true });
    expect((await api.get(id)).status).toBe(200);
    broken = true;
    expect(await ask(api, id)).toContain(status);
    const seen = everything();
    expect(seen).toContain(message);
    for (const hidden of [MARK, key, key.slice(-38)]) expect(seen).not.toContain(hidden);
  });

  it("not when the key itself cannot be looked up", async () => {
    const key = await newKey();
    const d1 = instrumentD1(env.DB, () => Promise.reject(new Error("D1_ERROR: no such table: x: SQLITE_ERROR")));
    expect((await client(envWithD1(d1), { key, outages: true }).get(1)).status).toBe(500);
    expect(logged.error).toHaveBeenCalledOnce();
    expect(everything()).not.toContain(key.slice(-38));
  });
});

describe("X-Request-Id", () => {
  // With the URI reference that each is in a problem: a URI takes not every character as it is.
  it.each([
    ["a", "a"],
    ["order-7/attempt;2", "order-7%2Fattempt%3B2"],
    ["!~", "!~"],
    ["100%", "100%25"],
    ["a%2Fb", "a%252Fb"],
    ["%", "%25"],
    ["?q=1#top", "%3Fq%3D1%23top"],
    [`"<\\>"`, "%22%3C%5C%3E%22"],
    ["x".repeat(128), "x".repeat(128)],
    ["0b96e0f7-5f0f-4ae2-a9d0-3c2f5f6f9f5e", "0b96e0f7-5f0f-4ae2-a9d0-3c2f5f6f9f5e"],
    // Words that a key or a secret begins with, and a key's public id, are neither.
    ["pay_42", "pay_42"],
    ["whsec_roll", "whsec_roll"],
    ["pay_a1a1a1a1a1a1_", "pay_a1a1a1a1a1a1_"],
  ])("%s is taken: in the answer, the problem, the event and the log", async (given, instance) => {
    const api = client();
    const { id } = await paymentIn("pending");
    const as = { headers: { "X-Request-Id": given } };
    lines();
    const confirmed = await api.request("POST", `${PAYMENTS}/${id}/confirm`, as);
    const refused = await api.request("POST", `${PAYMENTS}/${id}/fail`, as);
    expect([confirmed.status, refused.status]).toEqual([200, 409]);
    expect(confirmed.headers.get("X-Request-Id")).toBe(given);
    expect(refused.headers.get("X-Request-Id")).toBe(given);
    expect(refused.body.instance).toBe(instance);
    expect(lines().map(({ request_id }) => request_id)).toEqual([given, given]);
    const events = await api.request<{ data: { request_id: string }[] }>("GET", `${PAYMENTS}/${id}/events`);
    expect(events.body.data.map(({ request_id }) => request_id)).toEqual([expect.any(String), given]);
  });

  it.each([
    ...["", "x".repeat(129), "two words", "tab\there", "clé", "日本"],
    // Of the form of a key or of a webhook's secret, whole, within more, or all but its end.
    ...[`pay_${"a1".repeat(6)}_${"b2".repeat(19)}`, `Bearer:pay_${"a1".repeat(6)}_${"b2".repeat(19)};1`],
    ...[`pay_${"a1".repeat(6)}_${"b2".repeat(16)}`, `PAY_${"a1".repeat(6)}_${"b2".repeat(19)}`],
    ...["whsec_bm90IGEgc2VjcmV0LCBhbiBleGFtcGxlIG9mIG9uZSE=", "retry-whsec_bm90IGEgc2VjcmV0LCBhbiBleGFtcGxl"],
  ])("%j is replaced by one made for the request", async (given) => {
    const ids = new Set<string | null>();
    for (const path of ["/health", "/nothing", PAYMENTS]) {
      const line = await lineOf(async () => {
        const { headers, body } = await client().request("GET", path, { headers: { "X-Request-Id": given } });
        expect(headers.get("X-Request-Id")).toMatch(/^[0-9a-f-]{36}$/);
        if (path === "/nothing") expect(body.instance).toBe(headers.get("X-Request-Id"));
        ids.add(headers.get("X-Request-Id"));
      });
      expect(ids).toContain(line?.request_id);
    }
    expect(ids.size).toBe(3);
  });

  it("proves nothing: a second request with it is not taken for the first", async () => {
    const api = client();
    const { id } = await paymentIn("confirmed");
    const as = { headers: { "X-Request-Id": "one-and-the-same" } };
    expect((await api.request("POST", `${PAYMENTS}/${id}/refund`, as)).status).toBe(200);
    const second = await api.request("POST", `${PAYMENTS}/${id}/refund`, as);
    expect([second.status, second.body.detail]).toEqual([409, "Cannot refund payment in refunded status"]);
  });

  it("proves nothing: a creation with it is not taken for a retry", async () => {
    const api = client();
    const headers = { "X-Request-Id": "one-creation", "Idempotency-Key": crypto.randomUUID() };
    const first = await api.request("POST", PAYMENTS, { body: ORDER, headers });
    const second = await api.request("POST", PAYMENTS, { body: ORDER, headers });
    expect([first.status, second.status, second.replayed]).toEqual([201, 200, true]);
    const merchant = { body: { name: "Twin" }, headers: { "X-Request-Id": "one-creation" } };
    const made = [
      await administrator().request("POST", "/api/v1/merchants", merchant),
      await administrator().request("POST", "/api/v1/merchants", merchant),
    ];
    expect(made[0]?.body.id).not.toBe(made[1]?.body.id);
  });

  it("proves nothing: nor does one that the service has made for another request", async () => {
    const api = client();
    const { id } = await paymentIn("confirmed");
    const refunded = await api.run(id, "refund");
    const made = refunded.headers.get("X-Request-Id") ?? "";
    const again = await api.request("POST", `${PAYMENTS}/${id}/refund`, { headers: { "X-Request-Id": made } });
    expect(again.status).toBe(409);
  });
});

describe("every answer has the security headers", () => {
  const REQUIRED = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": expect.stringMatching(/^max-age=\d{8}/),
    "Content-Security-Policy": expect.stringMatching(/default-src 'none'.*frame-ancestors 'none'/),
    "X-Request-Id": expect.stringMatching(/^[!-~]{1,128}$/),
  };
  const broken = instrumentD1(env.DB, () => Promise.reject(new Error("D1_ERROR: no such table: x: SQLITE_ERROR")));
  const open: Env = { ...env, AUTH_MODE: "open" };

  it.each<[what: string, status: number, bindings: Env, method: string, path: string, headers: Record<string, string>]>(
    [
      ["a success", 200, open, "GET", PAYMENTS, {}],
      ["HEAD", 200, open, "HEAD", PAYMENTS, {}],
      ["a file of payments", 200, open, "GET", PAYMENTS, { Accept: "text/csv" }],
      ["OPTIONS", 204, open, "OPTIONS", PAYMENTS, {}],
      ["what this is", 200, open, "GET", "/", {}],
      ["the page that says what this is", 200, open, "GET", "/", { Accept: "text/html" }],
      ["the icon", 200, open, "GET", "/favicon.ico", {}],
      ["the page", 200, open, "GET", "/docs", {}],
      ["a file of the page", 200, open, "GET", "/docs/page.js", {}],
      ["a file that there is not", 404, open, "GET", "/docs/nothing.js", {}],
      ["the document", 200, open, "GET", "/openapi.json", {}],
      ["health", 200, open, "GET", "/health", {}],
      ["no key", 401, env, "GET", PAYMENTS, {}],
      ["a wrong key", 401, env, "GET", PAYMENTS, { Authorization: "Bearer x" }],
      ["a missing scope", 403, env, "GET", PAYMENTS, { Authorization: `Bearer ${env.ADMIN_KEY}` }],
      ["no such path", 404, open, "GET", "/nothing", {}],
      ["no such method", 405, open, "PUT", PAYMENTS, {}],
      ["a body that is too large", 413, open, "POST", PAYMENTS, { "Content-Length": "65537" }],
      ["a header that is too large", 431, open, "GET", PAYMENTS, { Accept: "x".repeat(8193) }],
      ["an invalid request", 422, open, "GET", `${PAYMENTS}?limit=0`, {}],
      ["a bug", 500, { ...open, DB: broken }, "GET", PAYMENTS, {}],
      ["no configuration", 503, { ...env, AUTH_MODE: "" }, "GET", PAYMENTS, {}],
    ],
  )("%s", async (_, status, bindings, method, path, headers) => {
    const request = new Request(`http://localhost${path}`, { method, headers, redirect: "manual" });
    const response = await app.fetch(request, bindings, createExecutionContext());
    await response.arrayBuffer();
    expect(response.status).toBe(status);
    expect(Object.fromEntries(Object.keys(REQUIRED).map((name) => [name, response.headers.get(name)]))).toEqual(
      REQUIRED,
    );
    if (!/^\/(docs|favicon\.ico)/.test(path)) expect(response.headers.get("Cache-Control")).toBe("no-store");
    expect(response.headers.get("Server")).toBeNull();
    expect(response.headers.get("X-Powered-By")).toBeNull();
    // No other site's script reads an answer.
    expect([...response.headers.keys()].filter((name) => name.startsWith("access-control-"))).toEqual([]);
  });

  it("and the document names X-Request-Id for each of them", async () => {
    const { paths, components } = await apiDocument();
    for (const { operationId, responses } of Object.values(paths).flatMap((path) => Object.values(path))) {
      for (const [status, response] of Object.entries(responses)) {
        expect(resolve(components.responses, response)?.headers, `${operationId} ${status}`).toHaveProperty(
          "X-Request-Id",
        );
      }
    }
  });
});
