import { applyD1Migrations, type D1Migration } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, inject } from "vitest";
import { assertInvariants } from "./invariants";

declare module "vitest" {
  interface ProvidedContext {
    migrations: D1Migration[];
  }
}

await applyD1Migrations(env.DB, inject("migrations"));

// Whatever a test file did, or did not mean to do, the database it leaves must be consistent.
afterAll(() => assertInvariants(env.DB));
