/** Watching a payment: a request that waits is told by the payment's object when to look again, and looks by itself as well. */
import type { Context } from "hono";
import type { App } from "../../context";
import { problem } from "../../http/problem";
import { logError } from "../../storage/log";
import { objectName } from "../../storage/object-name";

/** A place among those who wait, as a request holds it. */
interface Place extends Disposable {
  changed(after: number, milliseconds: number): Promise<void>;
}

/** An object that has places. */
interface Waited {
  enter(holdsMs: number): Promise<Place | null>;
}

/**
 * After so many D1 round trips, a request waits no longer. With those of the last look, and retries, that is what an
 * invocation may make on Cloudflare's free plan: 50.
 */
export const MAX_TRIPS_WHILE_WAITING = 40;

/** A place is free so long after the end of its wait at the latest, in milliseconds. */
const GRACE_MS = 10_000;
/** Proposed to whom all places are taken, in seconds. */
const RETRY_AFTER = "5";

/** What a request that waits for a payment holds: one of its merchant's places, and one of the payment's. */
export class Watch {
  readonly #object: () => Waited;
  readonly #holdsMs: number;
  #merchantPlace: Place | null = null;
  #place: Place | null = null;
  #hasBroken = false;
  #isClosed = false;

  private constructor(object: () => Waited, holdsMs: number) {
    this.#object = object;
    this.#holdsMs = holdsMs;
  }

  /**
   * Begins to watch a payment, or refuses it with a 429: five wait for a payment at once, and a hundred of a merchant. Two object
   * calls, for as long as it lasts. An object that is out of reach refuses nobody.
   *
   * @param milliseconds how long it is meant to last
   */
  static async begin(c: Context<App>, paymentId: number, milliseconds: number): Promise<Watch | Response> {
    const { merchantId } = c.get("principal");
    const { MERCHANT_WAITS, PAYMENT } = c.env;
    const payment = (): Waited => PAYMENT.getByName(objectName({ merchantId, id: paymentId }));
    const watch = new Watch(payment, milliseconds + GRACE_MS);
    try {
      watch.#merchantPlace = await MERCHANT_WAITS.getByName(String(merchantId)).enter(watch.#holdsMs);
      if (watch.#merchantPlace === null) return refuse(c, "A hundred requests of the merchant are waiting already");
      watch.#place = await watch.#object().enter(watch.#holdsMs);
      if (watch.#place !== null) return watch;
    } catch (error) {
      logError({ message: "wait not counted", request_id: c.get("requestId"), cause: String(error) });
      return watch;
    }
    watch.close();
    return refuse(c, "Five requests are waiting for this payment already");
  }

  /**
   * Returns when the payment may be later than version `after`, or after so many milliseconds. It never throws: when the
   * object breaks it returns as well, so that its caller looks again, and from the second time in a row on after the time.
   */
  async changed(after: number, milliseconds: number): Promise<void> {
    try {
      // A place that was lost may have been taken by somebody else: whoever waits already goes on without.
      this.#place ??= await this.#object().enter(this.#holdsMs);
      if (this.#place !== null) {
        await this.#place.changed(after, milliseconds);
        this.#hasBroken = false;
        return;
      }
    } catch {
      this.#place?.[Symbol.dispose]();
      this.#place = null;
      if (this.#isClosed) return;
      const isFirst = !this.#hasBroken;
      this.#hasBroken = true;
      if (isFirst) return;
    }
    await scheduler.wait(milliseconds);
  }

  /** Gives the places back. Safe to call again. */
  close(): void {
    this.#isClosed = true;
    this.#place?.[Symbol.dispose]();
    this.#merchantPlace?.[Symbol.dispose]();
    this.#place = null;
    this.#merchantPlace = null;
  }
}

function refuse(c: Context<App>, detail: string): Response {
  return problem(c, "too_many_waiting", { detail, headers: { "Retry-After": RETRY_AFTER } });
}
