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

  it("holds no secret", () => {
    expect(config.vars).not.toHaveProperty("ADMIN_KEY");
  });

  it.each([
    ["KEY_RATE", "KEY_RATE_LIMIT"],
    ["FAILURE_RATE", "FAILURE_RATE_LIMIT"],
  ])("says the quota of %s in %s as the binding has it", (binding, variable) => {
    const { simple } = config.ratelimits.find(({ name }) => name === binding) ?? {};
    expect(simple).toBeDefined();
    expect(config.vars[variable]).toBe(`${simple?.limit}/${simple?.period}`);
  });

  it("has no two limits count together", () => {
    const ids = config.ratelimits.map(({ namespace_id }) => namespace_id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("keeps idempotency keys for 30 days, ends them daily, and is observed", () => {
    expect(config.vars.IDEMPOTENCY_RETENTION_DAYS).toBe("30");
    expect(config.triggers.crons).toHaveLength(1);
    expect(config.triggers.crons?.[0]).toMatch(/^\d+ \d+ \* \* \*$/);
    expect(config.observability?.enabled).toBe(true);
  });
});

it("asks nothing of any address: the only fetch of the source is that of the service's own files", () => {
  const files = readdirSync(path.join(PROJECT, "src"), { recursive: true, encoding: "utf8" });
  const calls = files
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) => readFileSync(path.join(PROJECT, "src", file), "utf8").match(/[\w.]*\bfetch\(/g) ?? []);
  expect(calls).toEqual(["c.env.ASSETS.fetch("]);
});
