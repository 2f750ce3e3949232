import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, it, vi } from "vitest";
import type { Origin } from "../../../src/context";
import { PaymentObject } from "../../../src/operation/object";
import { applyAction } from "../../../src/operation/run-action";
import type { Action } from "../../../src/payment/lifecycle";
import { SCOPE_NAMES } from "../../../src/scopes";
import { Database } from "../../../src/storage/database";
import { client, newKey, newMerchant, ORDER, paymentIn } from "../client";
import { instrumentD1 } from "../d1";
import { envWithD1 } from "../objects";

const api = client();
const FIFTY = Array.from({ length: 50 }, (_, index) => index);

async function eventTypes(id: number): Promise<string[]> {
  const rows = await env.DB.prepare("SELECT type FROM events WHERE payment_id = ? ORDER BY sequence")
    .bind(id)
    .all<{ type: string }>();
  return rows.results.map(({ type }) => type);
}

const origin = () => ({
  merchantId: 1,
  keyId: null,
  requestId: "the caller's own",
  commitId: crypto.randomUUID(),
  now: Date.now(),
});
const asking = (action: Action) => ({ action, idempotency: null, expected: null });

it("makes one payment of 50 concurrent equal requests", async () => {
  const before = await env.DB.prepare("SELECT count(*) AS n FROM payments").first<number>("n");
  const answers = await Promise.all(FIFTY.map(() => api.create(ORDER, "fifty-equal")));
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
  expect(answers.filter(({ status, replayed }) => status === 200 && replayed)).toHaveLength(49);
  const [first] = answers;
  for (const { body } of answers) expect(body).toEqual(first?.body);
  expect(await env.DB.prepare("SELECT count(*) AS n FROM payments").first<number>("n")).toBe((before ?? 0) + 1);
  expect(await eventTypes(first?.body.id ?? 0)).toEqual(["payment.created"]);
});

it("lets one body win among 50 concurrent different ones with one key", async () => {
  const answers = await Promise.all(FIFTY.map((n) => api.create({ ...ORDER, order_id: n + 1 }, "fifty-different")));
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
  expect(answers.filter(({ status }) => status === 409)).toHaveLength(49);
});

it("makes 50 payments of 50 keys", async () => {
  const answers = await Promise.all(FIFTY.map(() => api.create(ORDER)));
  expect(answers.every(({ status }) => status === 201)).toBe(true);
  expect(new Set(answers.map(({ body }) => body.id)).size).toBe(50);
});

it("lets exactly one of 50 concurrent confirms and fails win", async () => {
  const { id } = await paymentIn("pending");
  const answers = await Promise.all(FIFTY.map((n) => api.run(id, n % 2 === 0 ? "confirm" : "fail")));
  const { status } = (await api.get(id)).body;
  const types = await eventTypes(id);
  expect(types).toEqual(["payment.created", `payment.${status}`]);
  const won = answers.filter((answer) => answer.status === 200);
  // Confirming a confirmed payment succeeds and changes nothing; failing a failed one does not.
  expect(won).toHaveLength(status === "confirmed" ? 25 : 1);
  for (const { body } of won) expect(body).toEqual(won[0]?.body);
});

it("refunds once for 50 concurrent refunds", async () => {
  const { id } = await paymentIn("confirmed");
  const answers = await Promise.all(FIFTY.map(() => api.run(id, "refund")));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  expect(await eventTypes(id)).toEqual(["payment.created", "payment.confirmed", "payment.refunded"]);
});

it("answers 50 concurrent refunds with one key 200, and refunds once", async () => {
  const { id } = await paymentIn("confirmed");
  const answers = await Promise.all(FIFTY.map(() => api.run(id, "refund", "fifty-refunds")));
  expect(answers.every(({ status }) => status === 200)).toBe(true);
  expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
  expect(await eventTypes(id)).toEqual(["payment.created", "payment.confirmed", "payment.refunded"]);
});

it("gives one key to one of 50 payments that ask for it at once", async () => {
  const payments = await Promise.all(FIFTY.map(() => paymentIn("pending")));
  const answers = await Promise.all(payments.map(({ id }) => api.run(id, "confirm", "one-key-fifty-payments")));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  expect(answers.filter(({ status }) => status === 409)).toHaveLength(49);
  const confirmed = await Promise.all(payments.map(({ id }) => api.get(id)));
  expect(confirmed.filter(({ body }) => body.status === "confirmed")).toHaveLength(1);
});

it("holds the lifecycle with two live instances of one payment's object", async () => {
  for (let round = 0; round < 10; round++) {
    const { id } = await paymentIn("pending");
    const replies = await runInDurableObject(env.PAYMENT.getByName(`1:${id}`), (_, state) => {
      const instances = [new PaymentObject(state, env), new PaymentObject(state, env)];
      return Promise.all(
        FIFTY.slice(0, 10).map((n) =>
          instances[n % 2]?.run(origin(), asking(n % 3 === 0 ? "confirm" : n % 3 === 1 ? "fail" : "refund")),
        ),
      );
    });
    const types = await eventTypes(id);
    expect(replies.filter((reply) => reply?.result.tag === "changed")).toHaveLength(types.length - 1);
    expect([
      "payment.created payment.confirmed",
      "payment.created payment.confirmed payment.refunded",
      "payment.created payment.failed",
    ]).toContain(types.join(" "));
  }
});

it("holds the lifecycle without any object, by the SQL alone", async () => {
  const { id } = await paymentIn("pending");
  const results = await Promise.all(
    FIFTY.map((n) => applyAction(new Database(env.DB), origin(), id, asking(n % 2 === 0 ? "confirm" : "fail"))),
  );
  expect(results.filter(({ tag }) => tag === "changed")).toHaveLength(1);
  expect(await eventTypes(id)).toHaveLength(2);
});

it("runs one action at a time per payment, and payments side by side", async () => {
  const payments = [await paymentIn("pending"), await paymentIn("pending")];
  const running = payments.map(() => 0);
  let [mostPerPayment, mostTogether] = [0, 0];
  const clients = payments.map((_, index) =>
    client(
      envWithD1(
        instrumentD1(env.DB, async (roundTrip) => {
          running[index] = (running[index] ?? 0) + 1;
          mostPerPayment = Math.max(mostPerPayment, running[index]);
          mostTogether = Math.max(mostTogether, (running[0] ?? 0) + (running[1] ?? 0));
          const answer = await roundTrip();
          running[index]--;
          return answer;
        }),
      ),
    ),
  );
  const answers = await Promise.all(FIFTY.map((n) => clients[n % 2]?.run(payments[n % 2]?.id ?? 0, "confirm")));
  expect(answers.every((answer) => answer?.status === 200)).toBe(true);
  expect([mostPerPayment, mostTogether]).toEqual([1, 2]);
});

describe("a call that comes to an object twice, since its first answer was lost,", () => {
  /** An object of this payment whose D1 loses the answers of one call, all three tries of it, after the commit or before. */
  const inObject = <T>(id: number, arrives: boolean, use: (object: PaymentObject) => Promise<T>) => {
    let left = 3;
    const losing = instrumentD1(env.DB, async (roundTrip) => {
      if (left-- <= 0) return roundTrip();
      if (arrives) await roundTrip();
      throw new Error("D1_ERROR: Network connection lost.");
    });
    return runInDurableObject(env.PAYMENT.getByName(`1:${id}`), (_, state) =>
      use(new PaymentObject(state, { ...env, DB: losing })),
    );
  };

  it("is told the success that it had", async () => {
    const { id } = await paymentIn("pending");
    const call = origin();
    const tags = await inObject(id, true, async (object) => [
      (await object.run(call, asking("confirm"))).result.tag,
      (await object.run(call, asking("confirm"))).result.tag,
    ]);
    expect(tags).toEqual(["outage", "changed"]);
    expect(await eventTypes(id)).toEqual(["payment.created", "payment.confirmed"]);
  });

  it("is not refused for certain, and others are", async () => {
    const { id } = await paymentIn("pending");
    const [call, other] = [origin(), origin()];
    const tags = await inObject(id, false, async (object) => [
      (await object.run(call, asking("refund"))).result.tag,
      (await object.run(call, asking("refund"))).result.tag,
      (await object.run(other, asking("refund"))).result.tag,
    ]);
    expect(tags).toEqual(["outage", "outage", "refused"]);
  });
});

describe("calls whose answers were lost", () => {
  /** An object of this payment whose D1 is out of reach while `reach.isDown`, which no other try is worth. */
  const withReach = <T>(id: number, use: (object: PaymentObject, reach: { isDown: boolean }) => Promise<T>) => {
    const reach = { isDown: true };
    const db = instrumentD1(env.DB, async (roundTrip) => {
      if (reach.isDown) throw new Error("D1_ERROR: D1 DB is overloaded. Requests queued for too long.");
      return roundTrip();
    });
    return runInDurableObject(env.PAYMENT.getByName(`1:${id}`), (_, state) =>
      use(new PaymentObject(state, { ...env, DB: db }), reach),
    );
  };
  const refund = async (object: PaymentObject, call: Origin) => (await object.run(call, asking("refund"))).result.tag;

  it("are each not refused for certain, however many they are, up to the newest 100", async () => {
    const { id } = await paymentIn("pending");
    // An object's memory has a bound: who has lost 100 more meanwhile has been told to try again long since.
    const calls = Array.from({ length: 101 }, origin);
    const [oldest, ...newest] = calls;
    const tags = await withReach(id, async (object, reach) => {
      const lost = await Promise.all(calls.slice(0, 50).map((call) => refund(object, call)));
      for (const call of calls.slice(50)) lost.push(await refund(object, call));
      reach.isDown = false;
      const again: string[] = [];
      for (const call of newest) again.push(await refund(object, call));
      return { lost, again, oldest: oldest && (await refund(object, oldest)), other: await refund(object, origin()) };
    });
    expect(tags).toEqual({
      lost: calls.map(() => "outage"),
      again: newest.map(() => "outage"),
      oldest: "refused",
      other: "refused",
    });
    expect(await eventTypes(id)).toEqual(["payment.created"]);
  });

  it("are not busy for certain either", async () => {
    const { id } = await paymentIn("pending");
    const [lost, other, running] = [origin(), origin(), origin()];
    const clock = vi.spyOn(Date, "now").mockReturnValue(running.now);
    try {
      const tags = await withReach(id, async (object, reach) => {
        const first = await refund(object, lost);
        reach.isDown = false;
        const line = [running, lost, other].map((call) => object.run(call, asking("refund")));
        // The one that runs has begun when its turn comes, the others wait for more than the 10 s.
        await Promise.resolve();
        clock.mockReturnValue(running.now + 10_001);
        return [first, ...(await Promise.all(line)).map(({ result }) => result.tag)];
      });
      expect(tags.slice(0, 1)).toEqual(["outage"]);
      expect(tags.slice(2)).toEqual(["outage", "busy"]);
    } finally {
      clock.mockRestore();
    }
  });
});

describe("the line of a payment", () => {
  /** D1 that answers once it is let go; `asked` is when it has a question. */
  const held = () => {
    const [asked, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const db = instrumentD1(env.DB, async (roundTrip) => {
      asked.resolve();
      await gate.promise;
      return roundTrip();
    });
    return { db, asked: asked.promise, letGo: gate.resolve };
  };

  it("has an end: one call runs, 100 wait, and more are refused at once, with nothing changed", async () => {
    const { id } = await paymentIn("pending");
    const { db, letGo } = held();
    const patient = client(envWithD1(db), { outages: true });
    const first = patient.run(id, "confirm");
    // 100 actions of 5 ms to 20 ms each are one to two seconds, as long as a caller should wait before it asks again.
    const waiting = Array.from({ length: 100 }, () => patient.run(id, "confirm"));
    const refused: unknown[] = [];
    for (let n = 0; n < 5; n++) {
      void patient.run(id, "confirm").then(({ status, body, headers }) => {
        refused.push([status, body.type, headers.get("Retry-After")]);
      });
    }
    const busy = [503, "/problems/payment-busy", "1"];
    await expect.poll(() => refused, { timeout: 10_000 }).toEqual(Array.from({ length: 5 }, () => busy));
    letGo();
    expect((await first).status).toBe(200);
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual(waiting.map(() => 200));
    expect(await eventTypes(id)).toEqual(["payment.created", "payment.confirmed"]);
    expect((await patient.run(id, "refund")).status).toBe(200);
  });

  it("does not run a call that has waited for more than 10 seconds", async () => {
    const { id } = await paymentIn("pending");
    const { db, asked, letGo } = held();
    const { now } = origin();
    const tags = await runInDurableObject(env.PAYMENT.getByName(`1:${id}`), async (_, state) => {
      const object = new PaymentObject(state, { ...env, DB: db });
      const clock = vi.spyOn(Date, "now").mockReturnValue(now);
      try {
        const running = object.run(origin(), asking("confirm"));
        await asked;
        const late = object.run(origin(), asking("fail"));
        clock.mockReturnValue(now + 1);
        const inTime = object.run(origin(), asking("refund"));
        clock.mockReturnValue(now + 10_001);
        letGo();
        return (await Promise.all([running, late, inTime])).map(({ result }) => result.tag);
      } finally {
        clock.mockRestore();
      }
    });
    expect(tags).toEqual(["changed", "busy", "changed"]);
    expect(await eventTypes(id)).toEqual(["payment.created", "payment.confirmed", "payment.refunded"]);
  });

  it("is no other merchant's: a stranger's calls do not meet the payment's object", async () => {
    const { id } = await paymentIn("pending");
    const names: string[] = [];
    const getByName = (name: string) => {
      names.push(name);
      return env.PAYMENT.getByName(name);
    };
    const watched = { ...env, PAYMENT: Object.assign(Object.create(env.PAYMENT), { getByName }) };
    const merchantId = await newMerchant();
    const stranger = client(watched, { key: await newKey(SCOPE_NAMES, merchantId) });
    expect((await stranger.run(id, "confirm")).status).toBe(404);
    expect(names).toEqual([`${merchantId}:${id}`]);
  });
});
