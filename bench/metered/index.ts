/**
 * The service and the floor with a metered D1. `Bench-Worker: floor` asks the floor; the answer is the
 * Report of what the request cost. One request at a time: what is counted is counted for all.
 */
import { app } from "../../src/app";
import { PaymentObject } from "../../src/payment/object";
import floor, { type FloorEnv, FloorPayment } from "../floor/index";
import { metered } from "./d1";
import type { Report, Trip } from "./report.ts";

interface MeteredEnv {
  DB: D1Database;
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

  override act(...asked: Parameters<PaymentObject["act"]>): ReturnType<PaymentObject["act"]> {
    return timed(() => super.act(...asked));
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

export default {
  async fetch(request, env, context): Promise<Response> {
    [trips, objectCalls, objectTime] = [[], 0, 0];
    const DB = withMeter(env.DB);
    const { status } =
      request.headers.get("Bench-Worker") === "floor"
        ? await floor.fetch(request, { DB, PAYMENT: env.FLOOR_PAYMENT })
        : await app.fetch(request, { DB, PAYMENT: env.SERVICE_PAYMENT }, context);
    return Response.json({ status, trips, objectCalls, objectTime } satisfies Report);
  },
} satisfies ExportedHandler<MeteredEnv>;
