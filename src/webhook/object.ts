import { DurableObject } from "cloudflare:workers";
import { findEventsAt } from "../payment/history";
import { toEventResponse } from "../payment/response";
import { Database } from "../storage/database";
import { logError, logInfo } from "../storage/log";
import { cancelOpen, type DueDelivery, findDue, nextDue, recordAttempt } from "./deliveries";
import { secretsOf } from "./endpoints";
import { send } from "./send";

/**
 * Deliveries of one endpoint on their way at once. Of one invocation, the runtime lets six connections wait for an
 * answer; a seventh would spend its time, and be taken for a failure, before it has begun. One is left for D1.
 */
export const MAX_CONCURRENT_DELIVERIES = 5;
/** How long one run goes on, in milliseconds; another takes over from it, before the runtime would end it. */
const MAX_RUN_MS = 10 * 60_000;
/**
 * Deliveries that one run begins; another takes over from it. An invocation may ask D1 for 1,000 statements, and each
 * delivery takes up to eight.
 */
export const MAX_DELIVERIES_PER_RUN = 100;
/** While something is on its way, how long not to look for what has become due, in milliseconds. */
const POLL_INTERVAL_MS = 1_000;
/** How long to leave D1 alone when it is out of reach, in milliseconds. */
const OUTAGE_PAUSE_MS = 30_000;

/**
 * One endpoint's line: the object named by the endpoint's id sends what is due to it, and nobody else's deliveries
 * wait for that. What is due is in D1 alone; the object keeps an alarm, so that a run that breaks off begins again.
 */
export class WebhookEndpointObject extends DurableObject<Env> {
  #isRunning = false;
  /** Whether something has become due that the run has not looked for yet. */
  #isWoken = false;
  /** Has the run look again for what is due. */
  #look: () => void = () => {};

  /** Something is due, or will be. Safe to call at any time, any number of times. */
  async wake(): Promise<void> {
    // A run that is told looks again, and should it break off, the runtime repeats its alarm.
    this.#isWoken = true;
    this.#look();
    if (!this.#isRunning) await this.ctx.storage.setAlarm(Date.now());
  }

  override async alarm(): Promise<void> {
    this.#isRunning = true;
    let next: number | null;
    try {
      next = await this.#run(Number(this.ctx.id.name));
    } catch (error) {
      logError({ message: "deliveries broke off", endpoint_id: this.ctx.id.name, cause: String(error) });
      next = Date.now() + OUTAGE_PAUSE_MS;
    } finally {
      this.#isRunning = false;
    }
    if (this.#isWoken) next = Date.now();
    if (next !== null) await this.ctx.storage.setAlarm(next);
  }

  /** Sends all that is due; when something will be again, or null. */
  async #run(endpointId: number): Promise<number | null> {
    const db = new Database(this.env.DB);
    const end = Date.now() + MAX_RUN_MS;
    const onTheirWay = new Map<number, Promise<void>>();
    let begun = 0;
    // What was sent and could not be recorded is due still: to go on would be to send it again and again.
    const unrecorded: unknown[] = [];
    try {
      while (Date.now() < end && begun < MAX_DELIVERIES_PER_RUN && unrecorded.length === 0) {
        this.#isWoken = false;
        const told = new Promise<void>((resolve) => {
          this.#look = resolve;
        });
        // What comes back while D1 is asked may be found as it was before: it is not sent again for that.
        const away = new Set(onTheirWay.keys());
        const due = await findDue(db, endpointId, Date.now(), MAX_CONCURRENT_DELIVERIES);
        const fresh = due
          .filter(({ position }) => !away.has(position))
          .slice(0, MAX_CONCURRENT_DELIVERIES - onTheirWay.size);
        for (const delivery of await withBodies(db, fresh)) {
          const { position } = delivery.due;
          const done = this.#deliver(db, endpointId, delivery)
            .catch((error: unknown) => void unrecorded.push(error))
            .finally(() => {
              onTheirWay.delete(position);
              this.#look();
            });
          onTheirWay.set(position, done);
          begun++;
        }
        if (onTheirWay.size === 0) return await nextDue(db, endpointId);
        await atMost(POLL_INTERVAL_MS, told);
      }
    } finally {
      // Also when D1 is out of reach: another run would send again what is still on its way.
      await Promise.all(onTheirWay.values());
    }
    if (unrecorded.length > 0) throw unrecorded[0];
    return Date.now();
  }

  async #deliver(db: Database, endpointId: number, { due, id, body }: Outgoing): Promise<void> {
    const target = {
      url: due.url,
      secrets: secretsOf(due, Date.now()),
      allowLoopback: this.env.AUTH_MODE === "open",
    };
    const sent = await send(target, { id, body });
    const commit = { now: Date.now(), random: Math.random(), commitId: crypto.randomUUID() };
    const { state, disabled } = await recordAttempt(db, endpointId, due, sent, commit);
    const { status, duration_ms } = sent.attempt;
    logInfo({
      message: "delivery",
      endpoint_id: endpointId,
      merchant_id: due.merchant_id,
      event_id: id,
      attempt: due.attempted + 1,
      status,
      duration_ms,
      state,
      ...(disabled && { disabled }),
    });
    if (disabled) await cancelOpen(db, endpointId);
  }
}

/** Waits for a promise, for so many milliseconds at most; a timer that went on would keep the object in memory. */
async function atMost(milliseconds: number, told: Promise<void>): Promise<void> {
  const end = new AbortController();
  await Promise.race([told, scheduler.wait(milliseconds, { signal: end.signal }).catch(() => {})]);
  end.abort();
}

interface Outgoing {
  readonly due: DueDelivery;
  readonly id: string;
  readonly body: string;
}

/** The messages of deliveries: each tells its event, in the same words on every attempt. */
async function withBodies(db: Database, due: readonly DueDelivery[]): Promise<Outgoing[]> {
  const [first] = due;
  if (!first) return [];
  const byPosition = new Map(due.map((delivery) => [delivery.position, delivery]));
  const events = await findEventsAt(db, first.merchant_id, [...byPosition.keys()]);
  return events.flatMap((event) => {
    const delivery = byPosition.get(event.position);
    const shown = toEventResponse(event);
    return delivery ? [{ due: delivery, id: shown.id, body: JSON.stringify(shown) }] : [];
  });
}
