/** Who waits for something to change: so many at once, each in a place that is free again when its caller goes. */
import { RpcTarget } from "cloudflare:workers";

interface Waiter {
  /** From then on the place is free, also when its caller was lost; in milliseconds. */
  readonly endsAt: number;
  /** The version that its caller has seen. */
  after: number;
  /** Whether something may have changed since then. */
  isTold: boolean;
  wake(): void;
}

/**
 * The places of an object for those who wait. It says "look again" and no more: whoever is told reads what there is. It
 * holds nobody up who acts.
 */
export class WaitingList {
  readonly #size: number;
  readonly #waiters = new Map<WaitingPlace, Waiter>();
  /** The newest version that is known of. */
  #newest = 0;

  constructor(size: number) {
    this.#size = size;
  }

  /**
   * Takes a place; null when all are taken.
   *
   * @param holdsMs how long it holds at most, in milliseconds
   */
  enter(holdsMs: number): WaitingPlace | null {
    const now = Date.now();
    for (const [place, { endsAt }] of this.#waiters) if (endsAt <= now) this.leave(place);
    if (this.#waiters.size >= this.#size) return null;
    const place = new WaitingPlace(this);
    this.#waiters.set(place, { endsAt: now + holdsMs, after: 0, isTold: false, wake() {} });
    return place;
  }

  /** Frees a place. Safe to call again. */
  leave(place: WaitingPlace): void {
    this.#waiters.get(place)?.wake();
    this.#waiters.delete(place);
  }

  /** Has all look again who have not seen this version, however often it is told; null is for what may have changed or not. */
  notify(version: number | null): void {
    if (version !== null) this.#newest = Math.max(this.#newest, version);
    for (const waiter of this.#waiters.values()) {
      if (version === null) waiter.isTold = true;
      if (version === null || version > waiter.after) waiter.wake();
    }
  }

  /** Waits until there may be something later than a version, for so many milliseconds at most. */
  async wait(place: WaitingPlace, after: number, milliseconds: number): Promise<void> {
    const waiter = this.#waiters.get(place);
    if (waiter && !waiter.isTold && this.#newest <= after) {
      waiter.after = after;
      const end = new AbortController();
      const told = new Promise<void>((resolve) => {
        waiter.wake = resolve;
      });
      // A timer that went on would keep the object in memory.
      await Promise.race([told, scheduler.wait(milliseconds, { signal: end.signal }).catch(() => {})]);
      end.abort();
    }
    if (waiter) waiter.isTold = false;
  }
}

/** A place as its caller holds it: the runtime disposes of it when the caller's request is over, however that ends. */
export class WaitingPlace extends RpcTarget {
  readonly #list: WaitingList;

  constructor(list: WaitingList) {
    super();
    this.#list = list;
  }

  /** Returns when there may be something later than version `after`, or after so many milliseconds. */
  changed(after: number, milliseconds: number): Promise<void> {
    return this.#list.wait(this, after, milliseconds);
  }

  [Symbol.dispose](): void {
    this.#list.leave(this);
  }
}
