import { DurableObject } from "cloudflare:workers";
import { secretsKeys } from "../auth/secret-keys";
import { queueEndpoints } from "../outbox/outbox";
import { findEventsAt } from "../payment/history";
import { toEventResponse } from "../payment/response";
import { setAlarmBy } from "../storage/alarm";
import { Database } from "../storage/database";
import { logError, logInfo } from "../storage/log";
import { readObjectName } from "../storage/object-name";
import { type CancelResult, cancelAll, cancelUnwanted, type Walk, walkOf } from "./cancelling";
import { type DueDelivery, type EndpointId, findDue, findOutlook, recordAttempt } from "./deliveries";
import { secretsOf } from "./endpoints";
import { RETRY_UNSIGNED_AFTER_MS } from "./schedule";
import { type AttemptResult, send } from "./send";
import { Signal } from "./signal";
import { secretOpener } from "./signature";
import { urlRules } from "./url";

/**
 * Deliveries of one endpoint on their way at once. Of one invocation, the runtime lets six connections wait for an
 * answer; a seventh would spend its time, and be taken for a failure, before it has begun. One is left for D1.
 */
export const MAX_CONCURRENT_DELIVERIES = 5;
/** How long one run goes on, in milliseconds; another takes over from it, before the runtime would end it. */
const MAX_RUN_MS = 10 * 60_000;
/**
 * What one run does at most; another takes over from it. An invocation may ask D1 for 1,000 statements. A delivery
 * takes four of them, and eight where it may disable the endpoint; a look for what is due takes one,
 * and a step of cancelling four.
 */
export const MAX_DELIVERIES_PER_RUN = 100;
const MAX_LOOKS_PER_RUN = 250;
const MAX_CANCEL_STEPS_PER_RUN = 25;
/** While something is on its way, how long not to look for what has become due, in milliseconds. */
const POLL_INTERVAL_MS = 1_000;
/** How long nothing is sent, and D1 is left alone, when it was out of reach, in milliseconds. */
const OUTAGE_PAUSE_MS = 30_000;
/** No pause is longer: after an outage, or while the endpoint's secret cannot be opened. */
const MAX_PAUSE_MS = Math.max(OUTAGE_PAUSE_MS, RETRY_UNSIGNED_AFTER_MS);
/** Where the object keeps until when it pauses: it may be evicted meanwhile. */
const PAUSED_UNTIL = "paused_until";

/**
 * One endpoint's line: the object sends what is due to its endpoint, and nobody else's deliveries wait for that. What
 * is due is in D1 alone; the object keeps an alarm, so that a run that breaks off begins again. It is
 * named by `objectName`.
 */
export class WebhookEndpointObject extends DurableObject<Env> {
  readonly #due = new Signal((milliseconds, signal) => scheduler.wait(milliseconds, { signal }));
  #isRunning = false;
  #walk: Walk | null = null;

  /**
   * Something is due, or will be. Safe to call at any time, any number of times: a call sets the alarm at most once,
   * and shortens no pause.
   */
  async wake(): Promise<void> {
    // A run looks again by itself, and should it break off, the runtime repeats its alarm.
    this.#due.notify();
    if (this.#isRunning) return;
    await setAlarmBy(this.ctx.storage, (await this.#pausedUntil()) ?? Date.now());
  }

  /** Answers, and does nothing: readiness asks whether objects of this class can be called. */
  ping(): void {}

  override async alarm(): Promise<void> {
    const paused = await this.#pausedUntil();
    if (paused !== null) return this.ctx.storage.setAlarm(paused);
    this.#isRunning = true;
    const { merchantId, id } = readObjectName(this.ctx.id.name);
    const endpoint = { merchantId, endpointId: id };
    let next: number | null;
    try {
      next = await this.#run(endpoint);
      if (this.#due.isNotified) next = (await this.#pausedUntil()) ?? Date.now();
    } catch (error) {
      logError({ message: "deliveries broke off", ...fieldsOf(endpoint), cause: String(error) });
      next = await this.#pause(OUTAGE_PAUSE_MS);
    } finally {
      this.#isRunning = false;
    }
    if (next !== null) await this.ctx.storage.setAlarm(next);
  }

  /** Has nothing sent for so many milliseconds; until when. */
  async #pause(milliseconds: number): Promise<number> {
    const until = Date.now() + milliseconds;
    await this.ctx.storage.put(PAUSED_UNTIL, until);
    return until;
  }

  /** Until when nothing is to be sent; null when something may be. */
  async #pausedUntil(): Promise<number | null> {
    const until = await this.ctx.storage.get<number>(PAUSED_UNTIL);
    const left = until === undefined ? 0 : until - Date.now();
    // A pause is no longer than it was meant to be, whatever the clock said when it began.
    return until !== undefined && left > 0 && left <= MAX_PAUSE_MS ? until : null;
  }

  /** Sends all that is due; when something will be again, or null. */
  async #run(endpoint: EndpointId): Promise<number | null> {
    const db = new Database(this.env.DB);
    const end = Date.now() + MAX_RUN_MS;
    const onTheirWay = new Map<number, Promise<void>>();
    let begun = 0;
    // What was sent and could not be recorded is due still: to go on would be to send it again and again.
    const unrecorded: unknown[] = [];
    const openSecrets = secretOpener(endpoint, secretsKeys(this.env));
    // What cannot be signed is not tried one after the other, however much is due: all wait for an operator.
    let isUnsigned = false;
    try {
      for (let looks = 0; looks < MAX_LOOKS_PER_RUN && begun < MAX_DELIVERIES_PER_RUN; looks++) {
        if (Date.now() >= end || unrecorded.length > 0 || isUnsigned) break;
        this.#due.clear();
        // What comes back while D1 is asked may be found as it was before: it is not sent again for that.
        const away = new Set(onTheirWay.keys());
        const due = await findDue(db, endpoint, Date.now(), MAX_CONCURRENT_DELIVERIES);
        const changedAt = due[0]?.types_changed_at ?? null;
        // What is due may be of a type that the endpoint no longer receives.
        if (changedAt !== null && !(await this.#cancelUnwanted(db, endpoint, changedAt))) break;
        if (changedAt !== null) continue;
        const fresh = due
          .filter(({ position }) => !away.has(position))
          .slice(0, MAX_CONCURRENT_DELIVERIES - onTheirWay.size);
        for (const delivery of await withBodies(db, endpoint, fresh)) {
          const { position } = delivery.due;
          const done = this.#deliver(db, endpoint, delivery, openSecrets)
            .then((sent) => {
              if (sent.isUnsigned) isUnsigned = true;
            })
            .catch((error: unknown) => void unrecorded.push(error))
            .finally(() => {
              onTheirWay.delete(position);
              this.#due.notify();
            });
          onTheirWay.set(position, done);
          begun++;
        }
        if (onTheirWay.size === 0 && !this.#due.isNotified) return await this.#rest(db, endpoint);
        await this.#due.wait(POLL_INTERVAL_MS);
      }
    } finally {
      // Also when D1 is out of reach: another run would send again what is still on its way.
      await Promise.all(onTheirWay.values());
    }
    if (unrecorded.length > 0) throw unrecorded[0];
    return isUnsigned ? this.#pause(RETRY_UNSIGNED_AFTER_MS) : Date.now();
  }

  /** When nothing is due: cancels what is to be cancelled; when to go on, or null. */
  async #rest(db: Database, endpoint: EndpointId): Promise<number | null> {
    const outlook = await findOutlook(db, endpoint);
    if (outlook === null) return null;
    if (outlook.is_closed) {
      const result = await cancelAll(db, endpoint, MAX_CANCEL_STEPS_PER_RUN);
      logCancelled(endpoint, result);
      return result.finished ? null : Date.now();
    }
    if (outlook.types_changed_at === null) return outlook.next;
    await this.#cancelUnwanted(db, endpoint, outlook.types_changed_at);
    return Date.now();
  }

  /** Goes on with cancelling what is of types that the endpoint no longer receives; whether nothing is left of it. */
  async #cancelUnwanted(db: Database, endpoint: EndpointId, changedAt: number): Promise<boolean> {
    const begin = this.#walk?.types_changed_at === changedAt ? this.#walk : walkOf(changedAt);
    const result = await cancelUnwanted(db, endpoint, begin, MAX_CANCEL_STEPS_PER_RUN, Date.now());
    logCancelled(endpoint, result);
    this.#walk = result.finished ? null : result.walk;
    return result.finished;
  }

  async #deliver(
    db: Database,
    endpoint: EndpointId,
    { due, id, body }: Outgoing,
    openSecrets: ReturnType<typeof secretOpener>,
  ): Promise<AttemptResult> {
    const secrets = await openSecrets(secretsOf(due, Date.now()));
    const target = { url: due.url, secrets, rules: urlRules(this.env) };
    const sent = await send(target, { id, body });
    const commit = { now: Date.now(), random: Math.random(), commitId: crypto.randomUUID() };
    const { state, disabled, deliveries } = await recordAttempt(db, endpoint, due, sent, commit);
    if (deliveries.length > 0) {
      const endpoint_ids = deliveries.map(({ endpoint_id }) => endpoint_id);
      await queueEndpoints(this.env.DELIVERIES, { merchant_id: endpoint.merchantId, endpoint_ids }, fieldsOf(endpoint));
    }
    const { status, duration_ms } = sent.attempt;
    logInfo({
      message: "delivery",
      ...fieldsOf(endpoint),
      event_id: id,
      attempt: due.attempted + 1,
      status,
      duration_ms,
      state,
      ...(disabled && { disabled }),
    });
    return sent;
  }
}

/** An endpoint in the log. */
function fieldsOf({ merchantId, endpointId }: EndpointId) {
  return { endpoint_id: endpointId, merchant_id: merchantId };
}

function logCancelled(endpoint: EndpointId, { cancelled, finished }: CancelResult): void {
  if (cancelled === 0) return;
  logInfo({ message: "deliveries cancelled", ...fieldsOf(endpoint), cancelled, finished });
}

interface Outgoing {
  readonly due: DueDelivery;
  readonly id: string;
  readonly body: string;
}

/** The messages of deliveries: each has its event, in the same words on every attempt. */
async function withBodies(db: Database, { merchantId }: EndpointId, due: readonly DueDelivery[]): Promise<Outgoing[]> {
  if (due.length === 0) return [];
  const byPosition = new Map(due.map((delivery) => [delivery.position, delivery]));
  const events = await findEventsAt(db, merchantId, [...byPosition.keys()]);
  return events.flatMap((event) => {
    const delivery = byPosition.get(event.position);
    const shown = toEventResponse(event);
    return delivery ? [{ due: delivery, id: shown.id, body: JSON.stringify(shown) }] : [];
  });
}
