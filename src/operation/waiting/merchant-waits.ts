import { DurableObject } from "cloudflare:workers";
import { WaitingList, type WaitingPlace } from "./waiting-list";

/** How many requests of a merchant may wait at once. */
const MAX_WAITING_PER_MERCHANT = 100;

/**
 * Counts the requests of one merchant that wait, wherever they have come in. In memory: a place is held by the open call of
 * its request, so that it costs D1 nothing and is free when the request is gone. An object that starts again forgets
 * those who wait at that time; they go on.
 */
export class MerchantWaitsObject extends DurableObject<Env> {
  readonly #places = new WaitingList(MAX_WAITING_PER_MERCHANT);

  /** Takes a place for so many milliseconds at most; null when all are taken. */
  enter(holdsMs: number): WaitingPlace | null {
    return this.#places.enter(holdsMs);
  }
}
