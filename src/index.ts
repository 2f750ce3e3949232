/** What the Worker exports: the HTTP app, the queue's consumer, the jobs, and the objects. */
import { app } from "./app";
import { runJob } from "./jobs/jobs";
import type { DeliveryMessage } from "./outbox/outbox";
import { logDeadMessages, wakeWebhookEndpoints } from "./webhook/wake";

export { PaymentObject } from "./operation/object";
export { MerchantWaitsObject } from "./operation/waiting/merchant-waits";
export { SandboxObject } from "./sandbox/object";
export { WebhookEndpointObject } from "./webhook/object";

/** The queue of wrangler.toml for what another one has given up. */
const DEAD_LETTERS = "payment-deliveries-dead";

export default {
  fetch: app.fetch,

  async queue(batch, env) {
    if (batch.queue === DEAD_LETTERS) logDeadMessages(batch);
    else await wakeWebhookEndpoints(batch, env.WEBHOOK_ENDPOINT);
  },

  scheduled: ({ scheduledTime, cron }, env) => runJob(cron, env, scheduledTime),
} satisfies ExportedHandler<Env, DeliveryMessage>;
