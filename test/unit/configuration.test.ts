import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { unstable_readConfig as readConfig, type Unstable_Config } from "wrangler";

const PROJECT = path.join(import.meta.dirname, "../..");
const config: Unstable_Config = readConfig({ config: path.join(PROJECT, "wrangler.toml") });

describe("wrangler.toml", () => {
  it("deploys a service that asks for keys", () => {
    expect(config.vars.AUTH_MODE).toBe("required");
  });

  it("keeps paths, in which a caller may put a key, out of a deployment's log", () => {
    expect(config.vars.LOG_PATHS).toBe("no");
  });

  it("sends webhooks as from outside, and to no server on its own machine", () => {
    expect(config.compatibility_flags).toContain("global_fetch_strictly_public");
    expect(config.vars.ALLOW_LOOPBACK_WEBHOOKS).toBe("no");
  });

  it("lets no payment be made that moves no money", () => {
    expect(config.vars.SANDBOX).toBe("no");
  });

  it("holds no secret", () => {
    expect(config.vars).not.toHaveProperty("ADMIN_KEY");
    expect(config.vars).not.toHaveProperty("SECRETS_KEYS");
  });

  it.each([
    ["KEY_RATE", "KEY_RATE_LIMIT"],
    ["MERCHANT_RATE", "MERCHANT_RATE_LIMIT"],
    ["COSTLY_RATE", "COSTLY_RATE_LIMIT"],
    ["HEAVY_RATE", "HEAVY_RATE_LIMIT"],
    ["FAILURE_RATE", "FAILURE_RATE_LIMIT"],
    ["WEBHOOK_TEST_RATE", "WEBHOOK_TEST_RATE_LIMIT"],
    ["WEBHOOK_RETRY_RATE", "WEBHOOK_RETRY_RATE_LIMIT"],
  ])("says the quota of %s in %s as the binding has it", (binding, variable) => {
    const { simple } = config.ratelimits.find(({ name }) => name === binding) ?? {};
    expect(simple).toBeDefined();
    expect(config.vars[variable]).toBe(`${simple?.limit}/${simple?.period}`);
  });

  it("has no two limits count together", () => {
    const ids = config.ratelimits.map(({ namespace_id }) => namespace_id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("keeps idempotency keys for 30 days, and is observed", () => {
    expect(config.vars.IDEMPOTENCY_RETENTION_DAYS).toBe("30");
    expect(config.observability?.enabled).toBe(true);
  });

  it("has the crons that have a job, and no other", () => {
    const source = readFileSync(path.join(PROJECT, "src/jobs/jobs.ts"), "utf8");
    const jobs = [...source.matchAll(/^ {4}"(.+ .+)",$/gm)].map(([, cron]) => cron);
    expect(jobs).toContain("*/2 * * * *");
    expect(config.triggers.crons).toEqual(jobs);
  });

  it("looks for forgotten deliveries every minute", () => {
    expect(config.triggers.crons?.[0]).toBe("* * * * *");
    const [consumer] = config.queues.consumers ?? [];
    expect(consumer?.queue).toBe(config.queues.producers?.[0]?.queue);
  });

  it("logs what the queue has given up", () => {
    const [consumer, dead] = config.queues.consumers ?? [];
    expect(dead?.queue).toBe(consumer?.dead_letter_queue);
    const source = readFileSync(path.join(PROJECT, "src/index.ts"), "utf8");
    expect(source).toContain(`const DEAD_LETTERS = "${dead?.queue}";`);
    const { scripts } = JSON.parse(readFileSync(path.join(PROJECT, "package.json"), "utf8"));
    for (const made of [consumer, dead]) expect(`${scripts["queue:create"]} `).toContain(`create ${made?.queue} `);
  });
});

it("asks the service's own files, and the URLs of webhook endpoints in one place, where they are checked", () => {
  const files = readdirSync(path.join(PROJECT, "src"), { recursive: true, encoding: "utf8" });
  const calls = files
    .filter((file) => /\.tsx?$/.test(file))
    .flatMap((file) => {
      const text = readFileSync(path.join(PROJECT, "src", file), "utf8");
      return (text.match(/[\w.]*\bfetch\(.*/g) ?? []).map((call) => [file, call]);
    });
  expect(calls.sort()).toEqual([
    // The dashboard asks the API in this Worker, which is no request to anywhere.
    ["app.ts", "app.fetch(request, c.env, c.executionCtx);"],
    ["dashboard/api.ts", "fetch(markInner(request, this.#inner));"],
    ["dashboard/dashboard.tsx", expect.stringContaining("dashboard.fetch(c.req.raw, ")],
    ["dashboard/files.ts", expect.stringContaining("outer.env.ASSETS.fetch(")],
    // Providers are asked through a connection, and nothing else is: the sandbox's goes to the account's object.
    ["provider/accounts/connection.ts", 'fetch(request, { redirect: "manual" });'],
    ["provider/exchange.ts", "fetch(new Request(request, { signal: over.signal }));"],
    ["provider/providers.ts", "account.fetch(request);"],
    ["provider/providers.ts", "fetch(request: Request): Promise<Response> } };"],
    ["sandbox/object.ts", "fetch(request: Request): Promise<Response> {"],
    ["sandbox/object.ts", "sandbox.fetch(request);"],
    ["sandbox/object.ts", "this.ctx.exports.default.fetch(request);"],
    ["sandbox/sandbox.ts", "fetch(request: Request): Promise<Response> {"],
    ["service/docs.ts", expect.stringContaining("c.env.ASSETS.fetch(")],
    ["webhook/send.ts", "fetch(allowed.url, {"],
  ]);
});
