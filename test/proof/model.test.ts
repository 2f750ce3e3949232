import fc from "fast-check";
import { expect, it } from "vitest";
import { ACTIONS, type Action, STATUSES, type Status } from "../../src/payment/lifecycle";
import { VIOLATIONS } from "../invariants";
import { SimulatedD1 } from "./d1";
import { ask, intentOf, type Operation, type Shown, type Told } from "./history";
import { Platform } from "./platform";
import regressions from "./regressions.json";
import { REPLAY, report, SCALE } from "./scale";
import { simulate } from "./simulation";
import { World } from "./world";

/** What the service must be like, as simple as can be: what is there, and what each key was used for. */
interface Model {
  payments: Shown[];
  keys: Map<string, { intent: string; index: number }>;
}
interface Real {
  d1: SimulatedD1;
  ask(operation: Operation): Promise<Told>;
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
      model.payments.map(({ payment, orderId, version }) => ({ status: payment, order_id: orderId, version })),
    );
    const keys = real.d1.rows<{ key: string }>("SELECT key FROM idempotency_keys ORDER BY key");
    expect(keys.map(({ key }) => key)).toEqual([...model.keys.keys()].sort());
  }

  /** What the service must say, and what the model becomes. */
  #expected(model: Model) {
    const { operation } = this;
    const key = operation.kind === "get" ? null : operation.key;
    const say = (index: number, status: 200 | 201, replayed: boolean) => {
      return { tag: "ok", status, replayed, paymentId: index + 1, ...model.payments[index] };
    };
    const use = (index: number) => {
      if (operation.kind !== "get" && key !== null) model.keys.set(key, { intent: intentOf(operation), index });
    };
    const used = key === null ? undefined : model.keys.get(key);
    if (used && operation.kind !== "get") {
      return used.intent === intentOf(operation) ? say(used.index, 200, true) : { tag: "key_reused" };
    }
    if (operation.kind === "create") {
      const { orderId, cart } = operation;
      const index = model.payments.push({ payment: "pending", version: 1, orderId, cart }) - 1;
      use(index);
      return say(index, 201, false);
    }
    const index = operation.paymentId - 1;
    const before = model.payments[index];
    if (!before) return { tag: "not_found" };
    if (operation.kind === "get") return say(index, 200, false);
    if (operation.expected !== null && operation.expected !== before.version) return { tag: "outdated" };
    const to = TABLE[before.payment][operation.action];
    if (!to) return { tag: "refused" };
    if (to !== before.payment) model.payments[index] = { ...before, payment: to, version: before.version + 1 };
    use(index);
    return say(index, 200, false);
  }
}

// Few keys and few payments, so that they meet.
const key = fc.constantFrom("a", "b", "c", "d");
const cart = fc.constantFrom(null, null, "c", "d");
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ kind: fc.constant("create" as const), key, orderId: fc.integer({ min: 1, max: 2 }), cart }),
  fc.record({
    kind: fc.constant("act" as const),
    paymentId: fc.integer({ min: 1, max: 4 }),
    action: fc.constantFrom(...ACTIONS),
    key: fc.option(key, { nil: null }),
    expected: fc.option(fc.integer({ min: 1, max: 3 }), { nil: null }),
  }),
  fc.record({ kind: fc.constant("get" as const), paymentId: fc.integer({ min: 1, max: 4 }) }),
);

const d1 = new SimulatedD1();

const sequential = fc.asyncProperty(fc.commands([operation.map((asked) => new Command(asked))]), async (commands) => {
  d1.clear();
  const world = new World(1);
  const { service } = new Platform(world, d1);
  const setup = () => ({
    model: { payments: [], keys: new Map() },
    real: { d1, ask: (asked: Operation) => ask(service, asked) },
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
