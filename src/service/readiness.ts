/** Whether the service can work: D1 and the objects are probed at most once a second, however many requests ask. */
import type { Context } from "hono";
import type { App } from "../context";
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

interface Measurement {
  readonly at: number;
  /** What is out of reach, or null. */
  readonly missing: Promise<string | null>;
}

/** One for each D1 binding, of which an isolate has one. */
const measurements = new WeakMap<D1Database, Measurement>();

/** What the service needs and does not reach, or null. Requests of one second share one measurement. */
export function readiness(c: Context<App>): Promise<string | null> {
  const latest = measurements.get(c.env.DB);
  const now = Date.now();
  if (latest && now >= latest.at && now - latest.at < MAX_AGE_MS) {
    // The request that measures may have gone, and its measurement with it.
    return inTime(latest.missing, UNKNOWN);
  }
  const missing = measure(c.env, c.get("requestId"));
  measurements.set(c.env.DB, { at: now, missing });
  c.executionCtx.waitUntil(missing);
  return missing;
}

async function measure(env: Env, requestId: string): Promise<string | null> {
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
    return null;
  }
  logError({ message: "not ready", request_id: requestId, cause: failures.join("; "), ...latencies });
  return failures.some((failure) => failure.startsWith("d1:")) ? D1_MISSING : OBJECTS_MISSING;
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
