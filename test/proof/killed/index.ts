/**
 * The Worker of the kills at the sandbox, in two processes. The service is all of it as it is deployed, but for its way to the
 * sandbox, which leads out of the process, and for its clock, which can be put ahead when the kills are over. The provider is
 * the sandbox's object behind a port of its own.
 */

import service, { PaymentObject as Payment, SandboxObject as Sandbox } from "../../../src/index";
import type { DeliveryMessage } from "../../../src/outbox/outbox";
import { Store } from "../../../src/sandbox/store";

export { MerchantWaitsObject, WebhookEndpointObject } from "../../../src/index";

interface KilledEnv extends Omit<Env, "SANDBOX_LEDGER"> {
  readonly ROLE: "service" | "provider";
  readonly SANDBOX_LEDGER: DurableObjectNamespace<SandboxObject>;
}

/** More than a run has. */
const MAX_LISTED = 1_000_000;

// The Worker and its objects run in one isolate, so they share it.
let aheadMs = 0;
const machineTime = Date.now;
Date.now = () => machineTime() + aheadMs;

/** Whatever is sent to the sandbox goes out. */
const OUTSIDE = { getByName: () => ({ fetch: (request: Request) => fetch(request) }) };

export class PaymentObject extends Payment {
  constructor(state: DurableObjectState, env: Env) {
    // Of the namespace, the way to the sandbox takes no more than this.
    super(state, { ...env, SANDBOX_LEDGER: OUTSIDE as unknown as Env["SANDBOX_LEDGER"] });
    this.ctx = replacing(this.ctx, "storage", withClock(this.ctx.storage));
  }
}

/** Storage whose alarms go by the clock that is ahead; the runtime's own stays what it is. */
function withClock(storage: DurableObjectStorage): DurableObjectStorage {
  const setAlarm = (at: number) => storage.setAlarm(at - aheadMs);
  const getAlarm = async () => {
    const at = await storage.getAlarm();
    return at === null ? null : at + aheadMs;
  };
  return replacing(replacing(storage, "setAlarm", setAlarm), "getAlarm", getAlarm);
}

/** Something of the runtime's with one property of another value; its methods need the thing itself. */
function replacing<Thing extends object>(thing: Thing, name: keyof Thing, value: unknown): Thing {
  return new Proxy(thing, {
    get(target, property) {
      if (property === name) return value;
      const own = Reflect.get(target, property, target);
      return typeof own === "function" ? own.bind(target) : own;
    },
  });
}

export class SandboxObject extends Sandbox {
  /** Every payment and every movement of money. */
  ledger() {
    const { storage } = this.ctx;
    const store = new Store(
      ({ text, values }) => storage.sql.exec(text, ...values).toArray(),
      (work) => storage.transactionSync(work),
    );
    if (!store.exists) return { payments: [], effects: [] };
    const [from, to] = [0, Number.MAX_SAFE_INTEGER];
    return {
      payments: store.listPayments({ from, to, after: "", limit: MAX_LISTED }),
      effects: store.listEffects({ payment: null, after: 0, limit: MAX_LISTED }),
    };
  }
}

export default {
  ...service,

  async fetch(request, env, context): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (env.ROLE === "service") {
      if (pathname !== "/clock") return service.fetch(request, env, context);
      aheadMs = Number(await request.text());
      return new Response();
    }
    const account = env.SANDBOX_LEDGER.getByName("1");
    const [, pressed] = /^\/press\/(\w+)$/.exec(pathname) ?? [];
    if (pressed !== undefined) return Response.json(await account.press(pressed, "pay"));
    if (pathname === "/clock") await account.advance(Number(await request.text()));
    if (pathname === "/ledger") return Response.json(await account.ledger());
    if (pathname.startsWith("/v1/")) return account.fetch(request);
    // A notification to the service, which is elsewhere.
    if (pathname.startsWith("/api/")) return fetch(request);
    return new Response();
  },
} satisfies ExportedHandler<KilledEnv, DeliveryMessage>;
