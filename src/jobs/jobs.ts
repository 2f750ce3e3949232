/** What the crons of wrangler.toml start, one job each; `test/unit/configuration.test.ts` holds the two together. */

import { secretsKeys } from "../auth/secret-keys";
import { sweepOperations } from "../operation/sweep";
import { logError, logInfo } from "../storage/log";
import { sweepDeliveries } from "../webhook/wake";
import { expirePayments } from "./expiry";
import { reconcileAccounts } from "./reconciliation";
import { resealAll } from "./resealing";
import { retentionDays, sweepIdempotencyKeys } from "./retention";
import { countForAll } from "./totals";

type Job = (env: Env, now: number) => Promise<void>;

const JOBS: ReadonlyMap<string, Job> = new Map([
  // What a lost message or alarm has left behind, and payments whose time is over: each whatever becomes of the others.
  [
    "* * * * *",
    async ({ DB, DELIVERIES, WEBHOOK_ENDPOINT, PAYMENT }, now) => {
      const [swept, woken, expired] = await Promise.allSettled([
        sweepDeliveries(DB, WEBHOOK_ENDPOINT, now),
        sweepOperations(DB, PAYMENT, now),
        expirePayments(DB, DELIVERIES, now),
      ]);
      if (swept.status === "fulfilled") logInfo({ message: "deliveries swept", ...swept.value });
      if (woken.status === "fulfilled" && woken.value.woken > 0)
        logInfo({ message: "operations swept", ...woken.value });
      if (expired.status === "fulfilled" && expired.value.steps > 0) {
        const { steps: _, ...ended } = expired.value;
        logInfo({ message: "payments expired", ...ended });
      }
      for (const job of [swept, woken, expired]) if (job.status === "rejected") throw job.reason;
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
  // Events that nobody has asked to be counted.
  [
    "*/5 * * * *",
    async ({ DB }, now) => {
      const counted = await countForAll(DB, now);
      if (counted.steps > 0) logInfo({ message: "events counted", ...counted });
    },
  ],
  // What an older key of SECRETS_KEYS has sealed.
  [
    "*/10 * * * *",
    async (env, now) => {
      const { steps, ...walk } = await resealAll(env.DB, secretsKeys(env), now);
      if (steps > 0) logInfo({ message: "sealed texts", ...walk });
    },
  ],
  // Comparisons with what providers have: each minute, as the first, with statements of their own.
  [
    "*/1 * * * *",
    async (env, now) => {
      const { started, steps, done, failed } = await reconcileAccounts(env, now);
      if (started + steps > 0) logInfo({ message: "reconciliation carried on", started, steps, done, failed });
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
