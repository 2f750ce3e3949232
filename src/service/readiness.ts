/** Whether the service can work: D1 and the objects are probed at most once a second, however many requests ask. */
import type { Context } from "hono";
import type { App } from "../context";
import { capacityOf } from "../storage/capacity";
import { Database } from "../storage/database";
import { logError, logInfo } from "../storage/log";
import { sql } from "../storage/sql";

/** How long what was found is good for. */
const MAX_AGE_MS = 1_000;
/** How long D1 and the objects may take before they count as out of reach. */
const TIMEOUT_MS = 2_000;
/** The object of each class that is asked. No payment and no endpoint has this name. */
const PROBE = "readiness";

const D1_MISSING = "D1 does not answer, or its migrations are not applied";
const UNKNOWN = "The service did not find out in time whether it is ready";
const OBJECTS_MISSING = "The objects that run actions and send webhooks do not answer";

/** What was found: what is out of reach, or null, and what an operator should look into while all still works. */
export interface Readiness {
  readonly missing: string | null;
  readonly warnings: readonly ReadinessWarning[];
}

export const READINESS_WARNINGS = ["database_nearly_full"] as const;
export type ReadinessWarning = (typeof READINESS_WARNINGS)[number];

interface Measurement {
  readonly at: number;
  readonly found: Promise<Readiness>;
}

/** One for each D1 binding, of which an isolate has one. */
const measurements = new WeakMap<D1Database, Measurement>();

/** Whether the service reaches what it needs. Requests of one second share one measurement. */
export function readiness(c: Context<App>): Promise<Readiness> {
  const latest = measurements.get(c.env.DB);
  const now = Date.now();
  if (latest && now >= latest.at && now - latest.at < MAX_AGE_MS) {
    // The request that measures may have gone, and its measurement with it.
    return inTime(latest.found, { missing: UNKNOWN, warnings: [] });
  }
  const found = measure(c.env, c.get("requestId"));
  measurements.set(c.env.DB, { at: now, found });
  c.executionCtx.waitUntil(found);
  return found;
}

async function measure(env: Env, requestId: string): Promise<Readiness> {
  const started = performance.now();
  const took = () => Math.round(performance.now() - started);
  const latencies: Record<string, number> = {};
  const failures: string[] = [];
  const ask = async (name: string, call: () => Promise<unknown>) => {
    try {
      await inTime(call(), new Error("No answer in time"));
    } catch (error) {
      failures.push(`${name}: ${String(error)}`);
    }
    latencies[`${name}_latency_ms`] = took();
  };
  const db = new Database(env.DB);
  await Promise.all([
    ask("d1", async () => {
      const found = await db.all(sql`SELECT 1 FROM merchants WHERE id = 1`);
      if (found.length === 0) throw new Error("D1 holds no default merchant");
    }),
    ask("payment_object", async () => env.PAYMENT.getByName(PROBE).ping()),
    ask("webhook_object", async () => env.WEBHOOK_ENDPOINT.getByName(PROBE).ping()),
  ]);
  if (failures.length === 0) {
    logInfo({ message: "ready", request_id: requestId, ...latencies });
    return { missing: null, warnings: warningsOf(db, env, requestId) };
  }
  logError({ message: "not ready", request_id: requestId, cause: failures.join("; "), ...latencies });
  const missing = failures.some((failure) => failure.startsWith("d1:")) ? D1_MISSING : OBJECTS_MISSING;
  return { missing, warnings: [] };
}

/** What an operator should look into, from the size that D1 has said with its answer. */
function warningsOf(db: Database, env: Env, requestId: string): ReadinessWarning[] {
  if (capacityOf(db.sizeBytes, env.DATABASE_MAX_BYTES) === "enough") return [];
  const sizes = { size_bytes: db.sizeBytes, max_bytes: env.DATABASE_MAX_BYTES };
  logError({ message: "database nearly full", request_id: requestId, ...sizes });
  return ["database_nearly_full"];
}

/** What a promise gives in time; else what stands in for it, which is thrown when it is an error. No timer is left. */
async function inTime<T>(promise: Promise<T>, late: T | Error): Promise<T> {
  const timer = new AbortController();
  const timeout = scheduler.wait(TIMEOUT_MS, { signal: timer.signal }).then(
    () => late,
    () => late,
  );
  try {
    const first = await Promise.race([promise, timeout]);
    if (first instanceof Error) throw first;
    return first;
  } finally {
    timer.abort();
  }
}
