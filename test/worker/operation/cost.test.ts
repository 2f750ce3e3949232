/** What is asked of a payment at the sandbox costs: D1 round trips, object calls, rows, and calls of the provider. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it } from "vitest";
import operations from "../../../docs/operations.md?raw";
import { PaymentObject } from "../../../src/operation/object";
import { type Answer, type Client, client, ORDER } from "../client";
import { meterD1 } from "../d1";
import { envWithD1 } from "../objects";

interface Measured {
  readonly trips: number;
  readonly calls: number;
  readonly rowsWritten: number;
  readonly rowsRead: number;
  /** Calls of the provider. */
  readonly asked: number;
}

/** A client with what its requests have cost so far, whose objects are its own. */
function metered() {
  const meter = meterD1(env.DB);
  const count = { asked: 0, calls: 0 };
  const ledger = {
    getByName: (name: string) => ({
      fetch: (request: Request) => {
        count.asked++;
        return env.SANDBOX_LEDGER.getByName(name).fetch(request);
      },
    }),
  };
  const SANDBOX_LEDGER = Object.assign(Object.create(env.SANDBOX_LEDGER), ledger);
  const bindings = envWithD1(meter.db, () => count.calls++, { SANDBOX_LEDGER });
  const spent = (): Measured => {
    const { trips, rowsWritten, rowsRead } = meter;
    return { trips, calls: count.calls, rowsWritten, rowsRead, asked: count.asked };
  };
  return { api: client(bindings), spent };
}

type Step = readonly [action: string, body: object];

/** Asks something of a payment, under a key that is the same whenever it is asked. */
const post = (api: Client, id: number, [action, body]: Step): Promise<Answer> =>
  api.request("POST", `/api/v1/payments/${id}/${action}`, {
    body,
    headers: { "Idempotency-Key": `cost-${id}-${action}-${JSON.stringify(body).replaceAll(/\W/g, "_")}` },
  });

/**
 * What the last of some steps costs.
 *
 * @param isWarm whether the steps before it have run in the same object, which then knows who moves the payment's money
 */
async function costOf(creation: object, before: readonly Step[], step: Step, isWarm: boolean) {
  const { api, spent } = metered();
  const earlier = isWarm ? api : client();
  const { id } = (await earlier.create({ ...ORDER, provider: "sandbox", ...creation })).body;
  for (const one of before) await post(earlier, id, one);
  const { trips, calls, rowsWritten, rowsRead, asked } = spent();
  const { status } = await post(api, id, step);
  const after = spent();
  return {
    status,
    trips: after.trips - trips,
    calls: after.calls - calls,
    rowsWritten: after.rowsWritten - rowsWritten,
    rowsRead: after.rowsRead - rowsRead,
    asked: after.asked - asked,
  };
}

const cost = (trips: number, rowsWritten: number, rowsRead: number, asked: number): Measured => {
  return { trips, calls: 1, rowsWritten, rowsRead, asked };
};

const MANUAL = { capture_method: "manual" };
const NAMED = { payment_method: "test_ok" };
const PAID: Step = ["confirm", { payment_method: "test_ok" }];
const DECLINED: Step = ["confirm", { payment_method: "test_declined" }];
const UNKNOWN: Step = ["confirm", { payment_method: "none" }];
const PART: Step = ["capture", { amount: 40 }];
const ALL: Step = ["capture", {}];
const CANCEL: Step = ["cancel", {}];
const REFUND: Step = ["refunds", { amount: 40 }];
const TOO_MUCH: Step = ["refunds", { amount: 100 }];

type Row = [what: string, cost: Measured, creation: object, before: readonly Step[], step: Step, status: number];

// The design's limits: a confirm with key 7 rows written in 3 round trips, a refund 6 in 2, what is refused 0.
const TABLE: Row[] = [
  ["confirm at a provider, with a key", cost(3, 7, 43, 2), {}, [], PAID, 200],
  ["confirm at a provider by the token of the creation", cost(4, 7, 57, 2), NAMED, [], ["confirm", {}], 200],
  ["confirm at a provider that is declined", cost(3, 7, 43, 2), {}, [], DECLINED, 402],
  ["capture at a provider", cost(2, 6, 46, 1), MANUAL, [PAID], PART, 200],
  ["cancel at a provider of what is authorised", cost(2, 6, 48, 1), MANUAL, [PAID], CANCEL, 200],
  ["refund at a provider of a part", cost(2, 6, 47, 1), {}, [PAID], REFUND, 201],
  ["refund at a provider of more than is left", cost(1, 0, 13, 0), {}, [PAID], TOO_MUCH, 409],
  ["refused action at a provider", cost(1, 0, 11, 0), {}, [PAID], ALL, 409],
  ["confirm with an unknown token", cost(1, 0, 5, 0), {}, [], UNKNOWN, 422],
  ["replayed confirm at a provider", cost(1, 0, 9, 0), {}, [PAID], PAID, 200],
];

describe.each(TABLE)("%s", (_, expected, creation, before, step, status) => {
  it("takes the round trips, object calls, rows and calls of the provider of the table", async () => {
    expect(await costOf(creation, before, step, true)).toEqual({ status, ...expected });
  });
});

describe.each(TABLE.filter(([, , , , [action]]) => action !== "confirm"))(
  "%s",
  (_, expected, creation, before, step, status) => {
    it("takes a round trip more, and writes no row more, in an object that is new", async () => {
      const { rowsRead, ...cold } = await costOf(creation, before, step, false);
      const { rowsRead: least, ...warm } = expected;
      expect(cold).toEqual({ status, ...warm, trips: warm.trips + 1 });
      expect(rowsRead).toBeGreaterThan(least);
    });
  },
);

it("a cancellation of what the provider has not heard of takes three round trips, three rows, and no call of the provider", async () => {
  const { rowsRead: _, ...spent } = await costOf({}, [], CANCEL, false);
  expect(spent).toEqual({ status: 200, trips: 3, calls: 1, rowsWritten: 3, asked: 0 });
});

it.each([
  ["ahead of its time", 3_600_000, 1],
  ["that was due", -3_600_000, 2],
])("a look %s at what its payer has not done yet takes two round trips, and rows", async (_, dueIn, rowsWritten) => {
  const { id } = (await client().create({ ...ORDER, provider: "sandbox" })).body;
  await post(client(), id, ["confirm", { payment_method: "test_action_ok" }]);
  await env.DB.prepare("UPDATE operations SET due_at = ?, attempted = 9 WHERE payment_id = ?")
    .bind(Date.now() + dueIn, id)
    .run();
  const meter = meterD1(env.DB);
  await runInDurableObject(env.PAYMENT.getByName(`1:${id}`), async (_, state) => {
    const object = new PaymentObject(state, { ...env, DB: meter.db });
    const commitId = crypto.randomUUID();
    await object.sync({ merchantId: 1, keyId: null, requestId: "test", commitId, now: Date.now() });
  });
  expect([meter.trips, meter.rowsWritten]).toEqual([2, rowsWritten]);
});

it.each(TABLE)("docs/operations.md states what %s costs", (what, { trips, calls, rowsWritten, rowsRead, asked }) => {
  const row = operations.split("\n").find((line) => line.startsWith(`| ${what} |`)) ?? "";
  expect(row.split("|").slice(2, -1).map(Number)).toEqual([trips, calls, rowsWritten, rowsRead, asked]);
});
