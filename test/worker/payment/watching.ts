/** What tests of requests that wait share. */
import { env } from "cloudflare:workers";
import { vi } from "vitest";
import { publicId } from "../../../src/auth/api-key";
import { SCOPE_NAMES, type Scope } from "../../../src/scopes";
import { newKey } from "../client";

/** A key whose use was noted within the hour, and is not noted again. */
export async function usedKey(merchant = 1, scopes: readonly Scope[] = SCOPE_NAMES): Promise<string> {
  const key = await newKey(scopes, merchant);
  await env.DB.prepare("UPDATE api_keys SET last_used_at = ? WHERE id = ?").bind(Date.now(), publicId(key)).run();
  return key;
}

/** The object of a payment. */
export const objectOf = (id: number, merchant = 1) => env.PAYMENT.getByName(`${merchant}:${id}`);

/**
 * Tells how many requests have begun to wait in objects since then: each wait has a timer, at the next look of a request (5 s)
 * or of a stream (10 s) at the latest. Restore mocks afterwards.
 */
export function countWaits(): { readonly count: number } {
  const timers = vi.spyOn(scheduler, "wait");
  return {
    get count() {
      return timers.mock.calls.filter(([milliseconds]) => milliseconds > 1_000).length;
    },
  };
}

/** How many places of an object are free. It takes all of them for a moment: nobody should want to enter meanwhile. */
export async function placesLeft(object: { enter(holdsMs: number): Promise<Disposable | null> }): Promise<number> {
  const places: Disposable[] = [];
  // No object has more than a hundred.
  while (places.length <= 100) {
    const place = await object.enter(1_000);
    if (place === null) break;
    places.push(place);
  }
  for (const place of places) place[Symbol.dispose]();
  return places.length;
}
