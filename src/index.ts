/** What the Worker exports: the HTTP app, the daily job, and the object that puts one payment's actions in line. */
import { app } from "./app";
import { retentionDays, sweepIdempotencyKeys } from "./retention";

export { PaymentObject } from "./payment/object";

export default {
  fetch: app.fetch,

  async scheduled({ scheduledTime }, env) {
    const days = retentionDays(env.IDEMPOTENCY_RETENTION_DAYS);
    if (days === null) throw new Error("IDEMPOTENCY_RETENTION_DAYS must be a number of days from 1 to 9999");
    const swept = await sweepIdempotencyKeys(env.DB, days, scheduledTime);
    console.log(JSON.stringify({ message: "idempotency keys swept", days, ...swept }));
  },
} satisfies ExportedHandler<Env>;
