/** What the crons of wrangler.toml start, one job each; `test/unit/configuration.test.ts` holds the two together. */
import { logError, logInfo } from "../storage/log";
import { sweepDeliveries } from "../webhook/wake";
import { expirePayments } from "./expiry";
import { retentionDays, sweepIdempotencyKeys } from "./retention";

type Job = (env: Env, now: number) => Promise<void>;

const JOBS: ReadonlyMap<string, Job> = new Map([
  // Deliveries of which the queue has lost the message, and payments whose time is over: each whatever becomes of the other.
  [
    "* * * * *",
    async ({ DB, DELIVERIES, WEBHOOK_ENDPOINT }, now) => {
      try {
        logInfo({ message: "deliveries swept", ...(await sweepDeliveries(DB, WEBHOOK_ENDPOINT, now)) });
      } finally {
        const { steps, ...ended } = await expirePayments(DB, DELIVERIES, now);
        if (steps > 0) logInfo({ message: "payments expired", ...ended });
      }
    },
  ],
  // Idempotency keys that are too old.
  [
    "*/2 * * * *",
    async ({ DB, IDEMPOTENCY_RETENTION_DAYS }, now) => {
      const days = retentionDays(IDEMPOTENCY_RETENTION_DAYS);
      if (days === null) throw new Error("IDEMPOTENCY_RETENTION_DAYS must be a number of days from 1 to 9999");
      const { behind, ...swept } = await sweepIdempotencyKeys(DB, days, now);
      if (swept.steps > 0) logInfo({ message: "idempotency keys swept", days, ...swept });
      for (const walk of behind) logError({ message: "idempotency keys behind", days, ...walk });
    },
  ],
]);

/**
 * Runs the job of a cron.
 *
 * @param now when it was to start, in milliseconds
 * @throws Error for a cron that has no job, and what the job throws
 */
export async function runJob(cron: string, env: Env, now: number): Promise<void> {
  const job = JOBS.get(cron);
  if (job === undefined) throw new Error(`No job in src/jobs/jobs.ts for the cron "${cron}"`);
  await job(env, now);
}
