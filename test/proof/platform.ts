import { app } from "../../src/app";
import { makeAdministratorKey } from "../../src/auth/api-key";
import { PaymentObject, type Reply } from "../../src/operation/object";
import { SECRETS_KEYS, type SimulatedD1 } from "./d1";
import type { Service } from "./history";
import type { World } from "./world";

/** Every class of fault that is injected. */
export const FAULTS = [
  "D1: error before the statement",
  "D1: error after the commit",
  "D1: connection lost, never arrives",
  "D1: connection lost, has arrived",
  "D1: connection lost, arrives later",
  "D1: delay",
  "D1: delivered twice",
  "object: error before it acts",
  "object: error after it acted",
  "object: delay",
  "object: delivered twice",
  "object: aborted in the middle",
  "object: two live instances",
  "clock: jump",
] as const;
export type Fault = (typeof FAULTS)[number];
/** A class of fault and what it struck: a call that writes a payment, or another one. */
export type Strike = `${Fault} / ${"payment write" | "other"}`;

const OBJECT_FAULTS = FAULTS.filter((fault) => fault.startsWith("object"));
const D1_FAULTS = FAULTS.filter((fault) => !fault.startsWith("object"));

/** The configuration of a deployment, with quotas that are never used up. */
const CONFIGURATION = {
  AUTH_MODE: "required",
  ADMIN_KEY: makeAdministratorKey(),
  SECRETS_KEYS,
  KEY_RATE_LIMIT: "1000/10",
  MERCHANT_RATE_LIMIT: "2000/10",
  COSTLY_RATE_LIMIT: "100/10",
  HEAVY_RATE_LIMIT: "10/60",
  FAILURE_RATE_LIMIT: "20/60",
  DATABASE_MAX_BYTES: "10000000000",
  IDEMPOTENCY_RETENTION_DAYS: "30",
  LOG_PATHS: "no",
  OWN_DOMAINS: "",
  REFUSE_CARD_NUMBERS: "yes",
  ALLOW_LOOPBACK_WEBHOOKS: "no",
  SANDBOX: "yes",
  WEBHOOK_TEST_RATE_LIMIT: "10/60",
  WEBHOOK_RETRY_RATE_LIMIT: "10/60",
  WEBHOOK_TEST_RATE: { limit: async () => ({ success: true }) },
  WEBHOOK_RETRY_RATE: { limit: async () => ({ success: true }) },
  KEY_RATE: { limit: async () => ({ success: true }) },
  MERCHANT_RATE: { limit: async () => ({ success: true }) },
  COSTLY_RATE: { limit: async () => ({ success: true }) },
  HEAVY_RATE: { limit: async () => ({ success: true }) },
  FAILURE_RATE: { limit: async () => ({ success: true }) },
};

/** What outlives its request goes on by itself: the world runs until nothing is left. */
const EXECUTION = { waitUntil() {}, passThroughOnException() {}, props: {} } as unknown as ExecutionContext;

const HOUR = 3_600_000;

/** A live object, and the end of all who wait for it. */
interface Instance {
  readonly object: PaymentObject;
  readonly aborted: Promise<never>;
  abort(error: Error): void;
}

/** The platform under the service, simulated: D1 and the objects, with a network that has faults. */
export class Platform {
  /** How likely a fault strikes each call; 0 switches them off. */
  faultRate = 0;
  /** The clock jumps by 24 of these at most, and gets so far from the true time. */
  jumpUnitMs = HOUR;
  maxJumpedMs = Number.POSITIVE_INFINITY;
  readonly struck = new Map<Strike, number>();
  /** How many have struck. */
  faults = 0;
  readonly env: Env;
  /** The service on this platform, as a client of merchant 1 reaches it. */
  readonly service: Service;
  readonly #objects = new Map<string, Instance[]>();

  constructor(
    readonly world: World,
    readonly d1: SimulatedD1,
  ) {
    d1.deliver = (execute, writesPayment) => this.#deliver(execute, writesPayment);
    const getByName = (name: string) => ({
      run: (...asked: Parameters<PaymentObject["run"]>) => this.#call(name, asked),
    });
    // The service uses these bindings, and of them only this much.
    this.env = { ...CONFIGURATION, DB: d1.binding, PAYMENT: { getByName } } as unknown as Env;
    this.service = {
      origin: "http://test",
      key: d1.key,
      send: async (request) => app.fetch(request, this.env, EXECUTION),
    };
  }

  async #deliver<T>(execute: () => T, writesPayment: boolean): Promise<T> {
    const { world } = this;
    await world.turn();
    const fault = this.#strike(D1_FAULTS, writesPayment);
    switch (fault) {
      case "D1: error before the statement":
        throw new Error(world.pick(D1_OUTAGES));
      case "D1: error after the commit":
        attempt(execute);
        await world.turn();
        throw new Error(world.pick(D1_OUTAGES));
      case "D1: connection lost, never arrives":
        throw new Error(CONNECTION_LOST);
      case "D1: connection lost, has arrived":
        attempt(execute);
        throw new Error(CONNECTION_LOST);
      case "D1: connection lost, arrives later":
        void this.#later(execute);
        throw new Error(CONNECTION_LOST);
      case "D1: delay":
        await world.wait(world.below(5_000));
        break;
      case "D1: delivered twice":
        attempt(execute);
        await world.turn();
        break;
      case "clock: jump":
        this.#jump((1 + world.below(24)) * world.pick([this.jumpUnitMs, -this.jumpUnitMs]));
        break;
    }
    const result = execute();
    await world.turn();
    return result;
  }

  #jump(milliseconds: number): void {
    const { world, maxJumpedMs } = this;
    const isTooFar = Math.abs(world.now - world.steady + milliseconds) > maxJumpedMs;
    world.jump(isTooFar ? -milliseconds : milliseconds);
  }

  async #call(name: string, asked: Parameters<PaymentObject["run"]>): Promise<Reply> {
    const { world } = this;
    await world.turn();
    switch (this.#strike(OBJECT_FAULTS, true)) {
      case "object: error before it acts":
        throw objectError(world.pick(OBJECT_ERRORS));
      case "object: error after it acted":
        await this.#run(name, asked);
        throw objectError(world.pick(OBJECT_ERRORS));
      case "object: delay":
        await world.wait(world.below(5_000));
        break;
      case "object: delivered twice":
        // As networks do that have lost the first arrival: one after the other, answered by the second.
        await this.#run(name, asked);
        break;
      case "object: aborted in the middle": {
        // The instance is gone with all who wait for it; what it has sent to D1 is on its way.
        const waiting = this.#run(name, asked).catch(() => {});
        for (let turns = world.below(4); turns > 0; turns--) await world.turn();
        const error = objectError(world.pick(OBJECT_ERRORS));
        for (const { abort } of this.#objects.get(name) ?? []) abort(error);
        this.#objects.delete(name);
        // Also for those who have begun to wait since the fault struck.
        this.faults++;
        await waiting;
        throw error;
      }
      case "object: two live instances":
        this.#objects.set(name, [...(this.#objects.get(name) ?? []), this.#create(name)]);
        break;
    }
    const reply = await this.#run(name, asked);
    await world.turn();
    return reply;
  }

  /** Asks a live instance; a caller that waits for one that is aborted gets that error, and no answer. */
  #run(name: string, asked: Parameters<PaymentObject["run"]>): Promise<Reply> {
    const { object, aborted } = this.#instance(name);
    return Promise.race([aborted, object.run(...asked)]);
  }

  #instance(name: string): Instance {
    const live = this.#objects.get(name) ?? [this.#create(name)];
    this.#objects.set(name, live);
    return this.world.pick(live);
  }

  #create(name: string): Instance {
    const { promise: aborted, reject: abort } = Promise.withResolvers<never>();
    aborted.catch(() => {});
    return { object: new PaymentObject({ id: { name } } as unknown as DurableObjectState, this.env), aborted, abort };
  }

  async #later(execute: () => unknown): Promise<void> {
    for (let turns = 1 + this.world.below(6); turns > 0; turns--) await this.world.turn();
    if (this.world.random() < 0.5) await this.world.wait(this.world.below(1_000));
    attempt(execute);
  }

  #strike(classes: readonly Fault[], writesPayment: boolean): Fault | undefined {
    if (this.faultRate === 0 || this.world.random() >= this.faultRate) return undefined;
    const fault = this.world.pick(classes);
    this.faults++;
    const strike: Strike = `${fault} / ${writesPayment ? "payment write" : "other"}`;
    this.struck.set(strike, (this.struck.get(strike) ?? 0) + 1);
    return fault;
  }
}

const CONNECTION_LOST = "D1_ERROR: Network connection lost.";
const D1_OUTAGES = [
  CONNECTION_LOST,
  "D1_ERROR: D1 DB reset because its code was updated.",
  "D1_ERROR: Internal error in D1 DB storage caused object to be reset.",
  "D1_ERROR: D1 DB is overloaded. Requests queued for too long.",
  "D1_ERROR: D1 DB storage operation exceeded timeout which caused object to be reset.",
];
const OBJECT_ERRORS = [{ retryable: true }, { retryable: true, durableObjectReset: true }, { overloaded: true }, {}];

function objectError(marks: object): Error {
  return Object.assign(new Error("The object is out of reach"), marks);
}

/** Runs what nobody hears the answer of. */
function attempt(execute: () => unknown): void {
  try {
    execute();
  } catch {
    // Refused by the database, and the answer is lost.
  }
}
