import { availableParallelism } from "node:os";
import path from "node:path";
import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { makeAdministratorKey } from "./src/auth/api-key.ts";
import { makeSecretsKeys } from "./src/auth/secret-keys.ts";

const migrations = await readD1Migrations(path.join(import.meta.dirname, "migrations"));

// Node's own SQLite reads databases.
const execArgv = ["--disable-warning=ExperimentalWarning"];

export default defineConfig({
  test: {
    // What a test logs is printed when it fails; of the log's lines for each request and delivery, nothing.
    silent: "passed-only",
    onConsoleLog: (log) => !/"message":"(request|delivery)"/.test(log),
    reporters: ["default", "./test/count-reporter.ts"],
    // Every core: vitest alone would leave one idle, of two.
    maxWorkers: availableParallelism(),
    projects: [
      // Pure modules, on Node.
      {
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          isolate: false,
          // What is only slow, on a busy machine, does not fail.
          testTimeout: 30_000,
          execArgv,
        },
      },
      // The Worker, its object and its D1, in workerd.
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              bindings: {
                ADMIN_KEY: makeAdministratorKey(),
                SECRETS_KEYS: makeSecretsKeys(new Date()),
                SANDBOX: "yes",
              },
              // One key of one merchant makes all the requests of a file.
              ratelimits: {
                KEY_RATE: { namespace_id: "1001", simple: { limit: 1_000_000, period: 10 } },
                MERCHANT_RATE: { namespace_id: "1003", simple: { limit: 1_000_000, period: 10 } },
                HEAVY_RATE: { namespace_id: "1007", simple: { limit: 1_000_000, period: 60 } },
                COSTLY_RATE: { namespace_id: "1004", simple: { limit: 1_000_000, period: 10 } },
              },
            },
          }),
        ],
        test: {
          name: "worker",
          include: ["test/worker/**/*.test.ts"],
          // What hangs is found on a busy machine too, and what is only slow there does not fail.
          testTimeout: 30_000,
          // A runtime of its own for each file would be a third of the time: setup.ts gives it a database instead.
          isolate: false,
          setupFiles: ["./test/worker/setup.ts"],
          globalSetup: ["./test/quiet.ts"],
          provide: { migrations },
        },
      },
      // The service on a simulated platform, on Node, under faults that a seed decides.
      {
        resolve: {
          alias: { "cloudflare:workers": path.join(import.meta.dirname, "test/proof/cloudflare-workers.ts") },
        },
        test: { name: "proof", include: ["test/proof/**/*.test.ts"], testTimeout: 120_000, execArgv },
      },
      // The project as a user runs it, on Node: its commands, its bundle, its document.
      { test: { name: "system", include: ["test/system/**/*.test.ts"], testTimeout: 120_000, execArgv } },
    ],
  },
});
