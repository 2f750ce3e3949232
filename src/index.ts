/** What the Worker exports: the HTTP app, the queue's consumer, the jobs, and the objects. */
import { app } from "./app";
import { retentionDays, sweepIdempotencyKeys } from "./jobs/retention";
import type { DeliveryMessage } from "./outbox/outbox";
import { logInfo } from "./storage/log";
import { logDeadMessages, sweepDeliveries, wakeWebhookEndpoints } from "./webhook/wake";

export { PaymentObject } from "./payment/object";
export { WebhookEndpointObject } from "./webhook/object";

/** When the daily job runs; every other cron of wrangler.toml is the sweep of deliveries. */
const DAILY = "17 3 * * *";

/** The queue of wrangler.toml for what another one has given up. */
const DEAD_LETTERS = "payment-deliveries-dead";

export default {
  fetch: app.fetch,

  async queue(batch, env) {
    if (batch.queue === DEAD_LETTERS) logDeadMessages(batch);
    else await wakeWebhookEndpoints(batch, env.WEBHOOK_ENDPOINT);
  },

  async scheduled({ scheduledTime, cron }, env) {
    if (cron !== DAILY) {
      const swept = await sweepDeliveries(env.DB, env.WEBHOOK_ENDPOINT, scheduledTime);
      logInfo({ message: "deliveries swept", ...swept });
      return;
    }
    const days = retentionDays(env.IDEMPOTENCY_RETENTION_DAYS);
    if (days === null) throw new Error("IDEMPOTENCY_RETENTION_DAYS must be a number of days from 1 to 9999");
    const swept = await sweepIdempotencyKeys(env.DB, days, scheduledTime);
    logInfo({ message: "idempotency keys swept", days, ...swept });
  },
} satisfies ExportedHandler<Env, DeliveryMessage>;
