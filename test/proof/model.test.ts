import fc from "fast-check";
import { expect, it } from "vitest";
import { app } from "../../src/app";
import { ACTIONS, type Action, STATUSES, type Status } from "../../src/payment/lifecycle";
import { VIOLATIONS } from "../invariants";
import { SimulatedD1 } from "./d1";
import { ask, type Operation } from "./history";
import { Platform } from "./platform";
import regressions from "./regressions.json";
import { REPLAY, report, SCALE } from "./scale";
import { simulate } from "./simulation";
import { World } from "./world";

/** What the service must be like, as simple as can be: what is there, and what each key was used for. */
interface Model {
  payments: { status: Status; orderId: number; events: number }[];
  keys: Map<string, { intent: string; index: number }>;
}
interface Real {
  d1: SimulatedD1;
  ask(operation: Operation): ReturnType<typeof ask>;
}

/** The design's table, written out once more: status, action, and what comes of it. */
const TABLE: Record<Status, Partial<Record<Action, Status>>> = {
  pending: { confirm: "confirmed", fail: "failed" },
  confirmed: { confirm: "confirmed", refund: "refunded" },
  failed: {},
  refunded: {},
};

class Command implements fc.AsyncCommand<Model, Real> {
  constructor(readonly operation: Operation) {}

  check = () => true;
  toString = () => JSON.stringify(this.operation);

  async run(model: Model, real: Real): Promise<void> {
    const expected = this.#expected(model);
    expect(await real.ask(this.operation)).toEqual(expected);
    const rows = real.d1.rows<{ status: Status; order_id: number; version: number }>(
      "SELECT status, order_id, version FROM payments ORDER BY id",
    );
    expect(rows).toEqual(
      model.payments.map(({ status, orderId, events }) => ({ status, order_id: orderId, version: events })),
    );
    const keys = real.d1.rows<{ key: string }>("SELECT key FROM idempotency_keys ORDER BY key");
    expect(keys.map(({ key }) => key)).toEqual([...model.keys.keys()].sort());
  }

  /** What the service must say, and what the model becomes. */
  #expected(model: Model) {
    const { operation } = this;
    const key = operation.kind === "get" ? null : operation.key;
    const used = key === null ? undefined : model.keys.get(key);
    const intent = JSON.stringify(operation);
    const say = (index: number, status: 200 | 201, replayed: boolean) => ({
      tag: "ok",
      status,
      paymentId: index + 1,
      payment: model.payments[index]?.status,
      orderId: model.payments[index]?.orderId,
      replayed,
    });
    if (used) return used.intent === intent ? say(used.index, 200, true) : { tag: "key_reused" };
    if (operation.kind === "create") {
      const index = model.payments.push({ status: "pending", orderId: operation.orderId, events: 1 }) - 1;
      model.keys.set(operation.key, { intent, index });
      return say(index, 201, false);
    }
    const index = operation.paymentId - 1;
    const payment = model.payments[index];
    if (!payment) return { tag: "not_found" };
    if (operation.kind === "get") return say(index, 200, false);
    const to = TABLE[payment.status][operation.action];
    if (!to) return { tag: "refused" };
    if (to !== payment.status) payment.events++;
    payment.status = to;
    if (key !== null) model.keys.set(key, { intent, index });
    return say(index, 200, false);
  }
}

// Few keys and few payments, so that they meet.
const key = fc.constantFrom("a", "b", "c", "d");
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ kind: fc.constant("create" as const), key, orderId: fc.integer({ min: 1, max: 2 }) }),
  fc.record({
    kind: fc.constant("act" as const),
    paymentId: fc.integer({ min: 1, max: 4 }),
    action: fc.constantFrom(...ACTIONS),
    key: fc.option(key, { nil: null }),
  }),
  fc.record({ kind: fc.constant("get" as const), paymentId: fc.integer({ min: 1, max: 4 }) }),
);

const d1 = new SimulatedD1();
const EXECUTION = { waitUntil() {}, passThroughOnException() {}, props: {} } as unknown as ExecutionContext;

const sequential = fc.asyncProperty(fc.commands([operation.map((asked) => new Command(asked))]), async (commands) => {
  d1.clear();
  const world = new World(1);
  const platform = new Platform(world, d1);
  const send = async (request: Request) => app.fetch(request, platform.env, EXECUTION);
  const setup = () => ({
    model: { payments: [], keys: new Map() },
    real: { d1, ask: (asked: Operation) => ask(send, "http://test", asked) },
  });
  await world.run(() => fc.asyncModelRun(setup, commands));
  expect(d1.rows(VIOLATIONS)).toEqual([]);
});

const concurrent = fc.asyncProperty(
  fc.integer({ min: 1 }),
  fc.array(fc.array(operation, { minLength: 1, maxLength: 5 }), { minLength: 2, maxLength: 4 }),
  async (seed, program) => {
    expect((await simulate(seed, d1, 0, program)).violation).toBeNull();
  },
);

for (const [name, property] of Object.entries({ sequential, concurrent })) {
  it(`answers ${name} commands as the model does`, async () => {
    for (const seed of REPLAY.model === undefined ? regressions.model : []) {
      await fc.assert<unknown[]>(property as fc.IAsyncProperty<unknown[]>, { seed, numRuns: 1 });
    }
    const seed = REPLAY.model ?? SCALE.modelSeed ?? Math.trunc(Math.random() * 2 ** 31);
    console.log(`Seed ${seed}; again: npm run proof -- --replay-model ${seed}`);
    await fc.assert<unknown[]>(property as fc.IAsyncProperty<unknown[]>, {
      seed,
      numRuns: SCALE.modelSeeds,
      ...(REPLAY.path !== undefined && { path: REPLAY.path }),
    });
    report({ [`${name}ModelSeeds`]: SCALE.modelSeeds });
  }, 3_600_000);
}

it("has a row for every status", () => {
  expect(Object.keys(TABLE)).toEqual([...STATUSES]);
});
