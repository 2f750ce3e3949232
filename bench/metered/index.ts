/**
 * The service and the floor with a metered D1. `Bench-Worker: floor` asks the floor; the answer is the
 * Report of what the request cost. One request at a time: what is counted is counted for all.
 */
import { app } from "../../src/app";
import { PaymentObject } from "../../src/operation/object";
import floor, { type FloorEnv, FloorPayment } from "../floor";
import { metered } from "./d1";
import type { Report, Trip } from "./report.ts";

interface MeteredEnv extends Env {
  SERVICE_PAYMENT: DurableObjectNamespace<MeteredServicePayment>;
  FLOOR_PAYMENT: DurableObjectNamespace<MeteredFloorPayment>;
}

// The Worker and its objects run in one isolate, so they share these.
let trips: Trip[] = [];
let objectCalls = 0;
let objectTime = 0;

const withMeter = (db: D1Database) => metered(db, (trip) => trips.push(trip));

async function timed<T>(call: () => Promise<T>): Promise<T> {
  const started = Date.now();
  objectCalls++;
  try {
    return await call();
  } finally {
    objectTime += Date.now() - started;
  }
}

export class MeteredServicePayment extends PaymentObject {
  constructor(state: DurableObjectState, env: Env) {
    super(state, { ...env, DB: withMeter(env.DB) });
  }

  override run(...asked: Parameters<PaymentObject["run"]>): ReturnType<PaymentObject["run"]> {
    return timed(() => super.run(...asked));
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

export default {
  async fetch(request, env, context): Promise<Response> {
    [trips, objectCalls, objectTime] = [[], 0, 0];
    const of = environments(env);
    const { status } =
      request.headers.get("Bench-Worker") === "floor"
        ? await floor.fetch(request, of.floor)
        : await app.fetch(request, of.service, context);
    return Response.json({ status, trips, objectCalls, objectTime } satisfies Report);
  },
} satisfies ExportedHandler<MeteredEnv>;
