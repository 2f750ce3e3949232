/**
 * The service and the floor with D1, their objects and the provider metered. `Bench-Worker` says whose request it is:
 * `service` and `floor` have one of their own, `control` has the service do what nobody asks for by HTTP, by its path. The
 * answer is the Report of what that cost. One request at a time: what is counted is counted for all. Nothing happens by
 * itself: alarms and notifications wait until the control runs them.
 */
import { app } from "../../src/app";
import { runJob } from "../../src/jobs/jobs";
import { PaymentObject } from "../../src/operation/object";
import { SandboxObject } from "../../src/sandbox/object";
import { objectName } from "../../src/storage/object-name";
import floor, { type FloorEnv, FloorPayment } from "../floor";
import { metered } from "./d1";
import type { Report, Trip } from "./report.ts";
import { type Alarm, meteredState } from "./storage.ts";

interface MeteredEnv extends Env {
  SERVICE_PAYMENT: DurableObjectNamespace<MeteredServicePayment>;
  FLOOR_PAYMENT: DurableObjectNamespace<MeteredFloorPayment>;
  SANDBOX_LEDGER: DurableObjectNamespace<MeteredSandbox>;
}

/** The merchant of the benchmark's key. */
const MERCHANT_ID = 1;

interface Counts {
  trips: Trip[];
  objectCalls: number;
  objectTime: number;
  objectRows: number;
  providerCalls: number;
}

const nothing = (): Counts => ({ trips: [], objectCalls: 0, objectTime: 0, objectRows: 0, providerCalls: 0 });

// The Worker and its objects run in one isolate, so they share these.
let counts = nothing();
/** What the provider has sent and the service has not been given yet, the oldest first. */
const notifications: { readonly url: string; readonly headers: [string, string][]; readonly body: string }[] = [];

const alarms = new Map<string, Alarm>();

/** The alarm of an object, which outlives its instances. */
function alarmOf(name: string): Alarm {
  const alarm = alarms.get(name) ?? { at: null };
  alarms.set(name, alarm);
  return alarm;
}

const withMeter = (db: D1Database) => metered(db, (trip) => counts.trips.push(trip));

async function timed<T>(call: () => Promise<T>): Promise<T> {
  const started = Date.now();
  counts.objectCalls++;
  try {
    return await call();
  } finally {
    counts.objectTime += Date.now() - started;
  }
}

/** The sandbox's objects, each call of one counted. */
function withCount(ledger: Env["SANDBOX_LEDGER"]): Env["SANDBOX_LEDGER"] {
  const getByName = (name: string) => ({
    fetch: (request: Request) => {
      counts.providerCalls++;
      return ledger.getByName(name).fetch(request);
    },
  });
  return Object.assign(Object.create(ledger), { getByName });
}

export class MeteredServicePayment extends PaymentObject {
  readonly #alarm: Alarm;

  constructor(state: DurableObjectState, env: Env) {
    super(state, { ...env, DB: withMeter(env.DB), SANDBOX_LEDGER: withCount(env.SANDBOX_LEDGER) });
    this.#alarm = alarmOf(state.id.name ?? "");
    // The runtime takes no other state than its own.
    Object.defineProperty(this, "ctx", { value: meteredState(state, this.#alarm, () => counts.objectRows++) });
  }

  override run(...asked: Parameters<PaymentObject["run"]>): ReturnType<PaymentObject["run"]> {
    return timed(() => super.run(...asked));
  }

  override wake(): Promise<void> {
    return timed(() => super.wake());
  }

  /** The alarm goes off, as if its time had come. */
  runAlarm(): Promise<void> {
    this.#alarm.at = null;
    return timed(() => super.alarm());
  }
}

export class MeteredFloorPayment extends FloorPayment {
  constructor(state: DurableObjectState, env: FloorEnv) {
    super(state, { ...env, DB: withMeter(env.DB) });
  }

  override act(...asked: Parameters<FloorPayment["act"]>): ReturnType<FloorPayment["act"]> {
    return timed(() => super.act(...asked));
  }
}

export class MeteredSandbox extends SandboxObject {
  override async alarm(): Promise<void> {}
}

let made: { service: Env; floor: FloorEnv } | undefined;

/** Made once: the app remembers keys by the D1 binding of its environment. */
function environments(env: MeteredEnv) {
  if (made) return made;
  const DB = withMeter(env.DB);
  made = {
    service: { ...env, DB, PAYMENT: env.SERVICE_PAYMENT },
    floor: { DB, PAYMENT: env.FLOOR_PAYMENT },
  };
  return made;
}

/** What the control can do, by the first part of its path; the second is what it is done to. */
const CONTROL: Readonly<
  Record<string, (env: MeteredEnv, context: ExecutionContext, argument: string) => Promise<Response>>
> = {
  /** Runs the alarm of a payment's object. */
  async alarm(env, _, id) {
    await env.SERVICE_PAYMENT.getByName(objectName({ merchantId: MERCHANT_ID, id: Number(id) })).runAlarm();
    return new Response();
  },
  /** Runs the job of every minute. */
  async sweep(env) {
    await runJob("* * * * *", environments(env).service, Date.now());
    return new Response();
  },
  /** Presses a button of the hosted page of a payment, by the provider's name for it. */
  async pay(env, _, reference) {
    await env.SANDBOX_LEDGER.getByName(String(MERCHANT_ID)).press(reference, "pay");
    return new Response();
  },
  /** Has the provider send what it has to tell; how much of it waits. */
  async send(env) {
    await env.SANDBOX_LEDGER.getByName(String(MERCHANT_ID)).advance(0);
    return Response.json(notifications.length);
  },
  /** Gives the service the notification that has waited the longest. `keep` keeps it, as if its answer were lost. */
  async notify(env, context, keep) {
    const [first] = notifications;
    if (first === undefined) return new Response(null, { status: 404 });
    if (keep !== "keep") notifications.shift();
    const request = new Request(first.url, { ...first, method: "POST" });
    return app.fetch(request, environments(env).service, context);
  },
  /** Has the provider be due to be asked about a payment, for so long that its alarm must be lost. */
  async due(env, _, id) {
    await env.DB.prepare(
      "UPDATE operations SET due_at = created_at - 60000 WHERE payment_id = ? AND due_at IS NOT NULL",
    )
      .bind(Number(id))
      .run();
    return new Response();
  },
  /** Has the provider be due to be asked about a payment in an hour: whoever asks before that, asks ahead. */
  async ahead(env, _, id) {
    await env.DB.prepare(
      "UPDATE operations SET due_at = created_at + 3600000, attempted = 9 WHERE payment_id = ? AND due_at IS NOT NULL",
    )
      .bind(Number(id))
      .run();
    return new Response();
  },
  /** Has the time of a payment be over. */
  async expire(env, _, id) {
    await env.DB.prepare("UPDATE payments SET expires_at = created_at + 1, expiry_due_at = created_at + 1 WHERE id = ?")
      .bind(Number(id))
      .run();
    return new Response();
  },
};

export default {
  async fetch(request, env, context): Promise<Response> {
    const worker = request.headers.get("Bench-Worker");
    if (worker === null) {
      notifications.push({ url: request.url, headers: [...request.headers], body: await request.text() });
      return new Response(null, { status: 204 });
    }
    const of = environments(env);
    counts = nothing();
    const response = await (() => {
      if (worker === "floor") return floor.fetch(request, of.floor);
      if (worker === "service") return app.fetch(request, of.service, context);
      const [, verb = "", argument = ""] = new URL(request.url).pathname.split("/");
      return CONTROL[verb]?.(env, context, argument) ?? new Response(null, { status: 404 });
    })();
    return Response.json({ status: response.status, body: await response.text(), ...counts } satisfies Report);
  },
} satisfies ExportedHandler<MeteredEnv>;
