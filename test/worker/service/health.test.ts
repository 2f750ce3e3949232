import { env } from "cloudflare:workers";
import { afterEach, expect, it, vi } from "vitest";
import { version } from "../../../package.json";
import { client } from "../client";
import { instrumentD1, type Meter, meterD1 } from "../d1";

const PATH = "/health/ready";
const OBJECTS = "The objects that run actions and send webhooks do not answer";

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** The bindings with a D1 of their own, and so a measurement of their own. */
function metered(changes: Partial<Env> = {}): Meter & { env: Env } {
  const meter = meterD1(env.DB);
  return Object.assign(meter, { env: { ...env, ...changes, DB: meter.db } });
}

/** The objects of a class, whose `ping` does this. */
function pinging<Namespace extends object>(real: Namespace, ping: () => Promise<void>): Namespace {
  return Object.assign(Object.create(real), { getByName: () => ({ ping }) });
}

it("says that the service is ready, and which version it is, and nothing else to strangers", async () => {
  const logged = vi.spyOn(console, "log").mockImplementation(() => {});
  const { status, body } = await client(undefined, { key: null }).request("GET", PATH);
  expect([status, body]).toEqual([200, { status: "ready", version }]);
  const lines = logged.mock.calls.map(([line]) => JSON.parse(String(line)));
  expect(lines).toContainEqual({
    message: "ready",
    request_id: expect.any(String),
    d1_latency_ms: expect.any(Number),
    payment_object_latency_ms: expect.any(Number),
    webhook_object_latency_ms: expect.any(Number),
  });
});

it("says in its line how long D1 and each object took", async () => {
  const logged = vi.spyOn(console, "log").mockImplementation(() => {});
  let now = 5_000;
  vi.spyOn(performance, "now").mockImplementation(() => now);
  const ping = async () => {
    now += 7;
  };
  const DB = instrumentD1(env.DB, (trip) => trip());
  const objects = { PAYMENT: pinging(env.PAYMENT, ping), WEBHOOK_ENDPOINT: pinging(env.WEBHOOK_ENDPOINT, ping) };
  const { status } = await client({ ...env, DB, ...objects }).request("GET", PATH);
  expect(status).toBe(200);
  const lines = logged.mock.calls.map(([line]) => JSON.parse(String(line)));
  const { d1_latency_ms, payment_object_latency_ms, webhook_object_latency_ms } =
    lines.find(({ message }) => message === "ready") ?? {};
  // One after another they were asked, and all at once waited for.
  expect([d1_latency_ms, payment_object_latency_ms, webhook_object_latency_ms]).toEqual([14, 14, 14]);
});

// Once a second: nobody who asks without a key makes D1 or the objects work more than that.
it("is measured once a second, however many ask", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  let pings = 0;
  const meter = metered();
  const ping = async () => {
    pings++;
  };
  const api = client({
    ...meter.env,
    PAYMENT: pinging(env.PAYMENT, ping),
    WEBHOOK_ENDPOINT: pinging(env.WEBHOOK_ENDPOINT, ping),
  });
  const ask = async () => (await api.request("GET", PATH)).status;
  expect(new Set(await Promise.all(Array.from({ length: 50 }, ask)))).toEqual(new Set([200]));
  vi.setSystemTime(Date.now() + 999);
  expect(await ask()).toBe(200);
  expect([meter.trips, pings]).toEqual([1, 2]);
  vi.setSystemTime(Date.now() + 1);
  expect(await ask()).toBe(200);
  expect([meter.trips, pings]).toEqual([2, 4]);
});

it.each([
  ["payments fail", "PAYMENT", () => Promise.reject(new Error("overloaded"))],
  ["endpoints fail", "WEBHOOK_ENDPOINT", () => Promise.reject(new Error("overloaded"))],
  ["payments do not answer", "PAYMENT", () => new Promise<void>(() => {})],
] as const)("is a 503 when the objects of %s, and finds out again after a second", async (_, binding, ping) => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const logged = vi.spyOn(console, "error").mockImplementation(() => {});
  const bindings = metered({ [binding]: pinging(env[binding], ping) }).env;
  const broken = client(bindings, { outages: true });
  const refused = await broken.request("GET", PATH);
  expect([refused.status, refused.body.type, refused.body.detail]).toEqual([503, "/problems/unavailable", OBJECTS]);
  expect(refused.headers.get("Retry-After")).toBe("1");
  expect(JSON.parse(String(logged.mock.calls[0]?.[0]))).toMatchObject({ message: "not ready" });
  // What was found stays found for its second, also when it was a failure.
  const mended = client({ ...bindings, [binding]: env[binding] }, { outages: true });
  expect((await mended.request("GET", PATH)).status).toBe(503);
  vi.setSystemTime(Date.now() + 1_000);
  expect((await mended.request("GET", PATH)).status).toBe(200);
});

it.each([
  [0.79, undefined],
  [0.81, ["database_nearly_full"]],
])("warns of a database that is nearly full, from 80 %% on: at %d", async (used, warnings) => {
  const logged = vi.spyOn(console, "error").mockImplementation(() => {});
  const { size_after } = (await env.DB.prepare("SELECT 1").run()).meta;
  const service = metered({ DATABASE_MAX_BYTES: String(Math.round(size_after / used)) });
  const { status, body } = await client(service.env).request<{ warnings?: string[] }>("GET", PATH);
  expect([status, body.warnings]).toEqual([200, warnings]);
  const lines = logged.mock.calls.map(([line]) => JSON.parse(String(line)).message);
  expect(lines).toEqual(warnings ? ["database nearly full"] : []);
});
