/** What sets deliveries going: the queue, right after a commit, and a sweep for what the queue was not told. */
import type { DeliveryMessage } from "../outbox/outbox";
import { Database } from "../storage/database";
import { logError } from "../storage/log";
import { cancelOpen, findOverdue } from "./deliveries";
import type { WebhookEndpointObject } from "./object";

/** How long a delivery may be due before the sweep takes it for forgotten, in milliseconds. */
const OVERDUE_AFTER_MS = 30_000;
/** Endpoints that one sweep wakes, within what a Worker may ask for in one run; the next one wakes the rest. */
const MAX_ENDPOINTS_PER_SWEEP = 500;

/** Wakes an endpoint; whether that has worked. */
async function wake(objects: DurableObjectNamespace<WebhookEndpointObject>, endpointId: number): Promise<boolean> {
  try {
    await objects.getByName(String(endpointId)).wake();
    return true;
  } catch (error) {
    logError({ message: "endpoint not woken", endpoint_id: endpointId, cause: String(error) });
    return false;
  }
}

/** Wakes the endpoints that a batch of messages is about, each once; who cannot be woken is asked again later. */
export async function wakeWebhookEndpoints(
  { messages }: MessageBatch<DeliveryMessage>,
  objects: DurableObjectNamespace<WebhookEndpointObject>,
): Promise<void> {
  const endpointIds = new Set(messages.flatMap(({ body }) => body.deliveries.map(({ endpoint_id }) => endpoint_id)));
  const failed = new Set<number>();
  await Promise.all(
    [...endpointIds].map(async (endpointId) => {
      if (!(await wake(objects, endpointId))) failed.add(endpointId);
    }),
  );
  for (const message of messages) {
    if (message.body.deliveries.some(({ endpoint_id }) => failed.has(endpoint_id))) message.retry();
    else message.ack();
  }
}

export interface SweepResult {
  woken: number;
  /** Deliveries of endpoints that are disabled or deleted. */
  cancelled: number;
}

/** Wakes every endpoint with a delivery that should have been sent by now, and cancels what is left of those that are no more. */
export async function sweepDeliveries(
  d1: D1Database,
  objects: DurableObjectNamespace<WebhookEndpointObject>,
  now: number,
): Promise<SweepResult> {
  const db = new Database(d1);
  const swept: SweepResult = { woken: 0, cancelled: 0 };
  const overdue = await findOverdue(db, now - OVERDUE_AFTER_MS, MAX_ENDPOINTS_PER_SWEEP);
  for (const { endpoint_id, told } of overdue) if (told && (await wake(objects, endpoint_id))) swept.woken++;
  for (const { endpoint_id, told } of overdue) if (!told) swept.cancelled += await cancelOpen(db, endpoint_id);
  return swept;
}
