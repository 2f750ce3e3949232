/**
 * The service as it is measured: all of it, but for what the development runtime does in another way than
 * production. Rate limiters count in the isolate's memory, as they do on the machine itself; those of the
 * development runtime ask an object, and its SQL, for every request. The log's lines are made and go nowhere;
 * the development runtime would push each through a pipe into the process that measures.
 */
import { env } from "cloudflare:workers";
import { app } from "../../src/app";

export { PaymentObject } from "../../src/operation/object";
export { MerchantWaitsObject } from "../../src/operation/waiting/merchant-waits";
export { SandboxObject } from "../../src/sandbox/object";
export { WebhookEndpointObject } from "../../src/webhook/object";

/** So many requests that no load is refused. */
const QUOTA = 1_000_000_000;
/** In milliseconds. */
const PERIOD = 10_000;

function counter(): RateLimit {
  const counts = new Map<string, number>();
  let end = 0;
  return {
    async limit({ key }) {
      const now = Date.now();
      if (now >= end) {
        counts.clear();
        end = now + PERIOD;
      }
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      return { success: count <= QUOTA };
    },
  };
}

console.log = () => {};

// Once: the app remembers keys by the D1 binding of its environment.
const measured: Env = {
  ...env,
  KEY_RATE: counter(),
  MERCHANT_RATE: counter(),
  COSTLY_RATE: counter(),
  HEAVY_RATE: counter(),
  FAILURE_RATE: counter(),
};

export default {
  fetch: (request, _, context) => app.fetch(request, measured, context),
} satisfies ExportedHandler<Env>;
