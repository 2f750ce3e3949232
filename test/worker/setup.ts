import { applyD1Migrations, type D1Migration, reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, inject, vi } from "vitest";
import { assertInvariants } from "./invariants";

declare module "vitest" {
  interface ProvidedContext {
    migrations: D1Migration[];
  }
}

// Files share a runtime. Each begins as if it had one of its own: with empty storage, and modules that remember nothing.
vi.resetModules();
await reset();
await applyD1Migrations(env.DB, inject("migrations"));

// Whatever a test file did, or did not mean to do, the database it leaves must be consistent.
afterAll(() => assertInvariants(env.DB));
