/** What sets deliveries going: the queue, right after a commit, and a sweep for what the queue has lost. */
import type { DeliveryMessage } from "../outbox/outbox";
import { Database } from "../storage/database";
import { logError } from "../storage/log";
import { objectName } from "../storage/object-name";
import { findOverdue } from "./deliveries";
import { wipeEndedSecrets } from "./endpoints";
import type { WebhookEndpointObject } from "./object";

/** How long a delivery may be due before the sweep takes it for forgotten, in milliseconds. */
const OVERDUE_AFTER_MS = 30_000;
/** Endpoints that one sweep wakes, within what a Worker may ask for in one run; the next one wakes the rest. */
const MAX_ENDPOINTS_PER_SWEEP = 500;

type Objects = DurableObjectNamespace<WebhookEndpointObject>;

/** Wakes an endpoint's object; whether that has worked. */
async function wake(objects: Objects, name: string): Promise<boolean> {
  try {
    await objects.getByName(name).wake();
    return true;
  } catch (error) {
    logError({ message: "endpoint not woken", endpoint: name, cause: String(error) });
    return false;
  }
}

function namesOf({ merchant_id, endpoint_ids }: DeliveryMessage): string[] {
  return endpoint_ids.map((endpointId) => objectName({ merchantId: merchant_id, id: endpointId }));
}

/** Wakes the endpoints that a batch of messages names, each once; who cannot be woken is asked again later. */
export async function wakeWebhookEndpoints(
  { messages }: MessageBatch<DeliveryMessage>,
  objects: Objects,
): Promise<void> {
  const names = new Set(messages.flatMap(({ body }) => namesOf(body)));
  const failed = new Set<string>();
  await Promise.all(
    [...names].map(async (name) => {
      if (!(await wake(objects, name))) failed.add(name);
    }),
  );
  for (const message of messages) {
    if (namesOf(message.body).some((name) => failed.has(name))) message.retry();
    else message.ack();
  }
}

/** Logs the endpoints that could not be woken however often the queue has tried; the sweep goes on trying. */
export function logDeadMessages({ messages }: MessageBatch<DeliveryMessage>): void {
  for (const message of messages) {
    logError({
      message: "deliveries given up by the queue",
      ...message.body,
      queued_at: message.timestamp.toISOString(),
    });
    message.ack();
  }
}

export interface SweepResult {
  /** Endpoints that had something left to send or to cancel. */
  woken: number;
  /** Secrets whose time after a roll has ended. */
  secrets_wiped: number;
}

/** Wakes every endpoint with a delivery that should have been sent or cancelled by now, and wipes ended secrets. */
export async function sweepDeliveries(d1: D1Database, objects: Objects, now: number): Promise<SweepResult> {
  const db = new Database(d1);
  const overdue = await findOverdue(db, now - OVERDUE_AFTER_MS, MAX_ENDPOINTS_PER_SWEEP);
  let woken = 0;
  for (const { merchant_id: merchantId, endpoint_id: id } of overdue) {
    if (await wake(objects, objectName({ merchantId, id }))) woken++;
  }
  return { woken, secrets_wiped: await wipeEndedSecrets(db, now) };
}
