import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { PaymentObject } from "../../src/operation/object";

/**
 * The bindings of the Worker with another D1, for the Worker and inside the objects alike. Each name has
 * one instance of PaymentObject that runs in the real object's context.
 *
 * @param onCall runs before every call to an object
 * @param more other bindings than the Worker's own
 */
export function envWithD1(db: D1Database, onCall: () => void = () => {}, more: Partial<Env> = {}): Env {
  const inside: Env = { ...env, DB: db, ...more };
  const instances = new Map<string, PaymentObject>();
  const getByName = (name: string) => ({
    ping: async () => {},
    enter: (holdsMs: number) => {
      onCall();
      return env.PAYMENT.getByName(name).enter(holdsMs);
    },
    run: (...asked: Parameters<PaymentObject["run"]>) => {
      onCall();
      return runInDurableObject(env.PAYMENT.getByName(name), (_, state) => {
        const instance = instances.get(name) ?? new PaymentObject(state, inside);
        instances.set(name, instance);
        return instance.run(...asked);
      });
    },
  });
  return { ...inside, PAYMENT: Object.assign(Object.create(env.PAYMENT), { getByName }) };
}
