import { applyD1Migrations, type D1Migration, listDurableObjectIds, reset, runInDurableObject } from "cloudflare:test";
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

// The runtime outlives the file: an alarm that is left would act in the next one, on what is there.
afterAll(async () => {
  for (const ledger of await listDurableObjectIds(env.SANDBOX_LEDGER)) {
    await runInDurableObject(env.SANDBOX_LEDGER.get(ledger), (_, { storage }) => storage.deleteAlarm());
  }
  const { results } = await env.DB.prepare("SELECT DISTINCT merchant_id, payment_id FROM operations").all<{
    merchant_id: number;
    payment_id: number;
  }>();
  for (const { merchant_id, payment_id } of results) {
    const payment = env.PAYMENT.getByName(`${merchant_id}:${payment_id}`);
    await runInDurableObject(payment, (_, { storage }) => storage.deleteAlarm());
  }
});

// Whatever a test file did, or did not mean to do, the database it leaves must be consistent.
afterAll(() => assertInvariants(env.DB));
