import { DurableObject } from "cloudflare:workers";
import type { Idempotency } from "../idempotency";
import { judgeObject, Outage, withRetries } from "../outage";
import type { Action } from "./lifecycle";
import { type Acted, applyAction, type Origin } from "./store";

/** What crosses RPC. Thrown errors lose their class on the way, so they too are tagged values. */
export type Reply = Acted | { tag: "outage"; cause: string } | { tag: "bug"; cause: string };

/**
 * One payment's line: the object named by the payment's id runs its actions one at a time, in order of
 * arrival. It keeps nothing; the truth is in D1, and the guard in SQL holds if it ever exists twice.
 */
export class PaymentObject extends DurableObject<Env> {
  // Awaits on D1 do not hold the runtime's input gate: without this queue, calls would interleave.
  #last: Promise<unknown> = Promise.resolve();

  /** Asks `action` of this payment, once all that was asked before is done. */
  act(origin: Origin, action: Action, idempotency: Idempotency | null): Promise<Reply> {
    const reply = this.#last.then(() => this.#act(origin, action, idempotency));
    this.#last = reply;
    return reply;
  }

  async #act(origin: Origin, action: Action, idempotency: Idempotency | null): Promise<Reply> {
    try {
      return await applyAction(this.env.DB, origin, Number(this.ctx.id.name), action, idempotency);
    } catch (error) {
      if (error instanceof Outage) return { tag: "outage", cause: String(error.cause) };
      return { tag: "bug", cause: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    }
  }
}

/**
 * Asks `action` of a payment through its object: one object call, one D1 round trip.
 *
 * @throws Outage when the object or D1 is out of reach after retries
 */
export async function askPayment(
  objects: DurableObjectNamespace<PaymentObject>,
  id: number,
  origin: Origin,
  action: Action,
  idempotency: Idempotency | null,
): Promise<Acted> {
  let attempts = 0;
  const reply = await withRetries(async (): Promise<Reply> => {
    attempts++;
    // A stub that failed may be broken for good, so every attempt takes a fresh one.
    return objects.getByName(String(id)).act(origin, action, idempotency);
  }, judgeObject);
  switch (reply.tag) {
    case "outage":
      throw new Outage(reply.cause);
    case "bug":
      throw new Error("A bug in the payment's object", { cause: reply.cause });
    case "refused":
    case "not_found":
      // As in the store: what the broken object has sent may still arrive.
      if (attempts > 1) throw new Outage("An earlier attempt may still arrive");
  }
  return reply;
}
