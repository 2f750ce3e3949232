/** Runs of reconciliation where something goes wrong: providers that do not answer, answers of D1 that are lost, and two at once. */
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Outage } from "../../../src/storage/outage";
import { instrumentD1, losesNth } from "../d1";
import { DAY_MS, forgetRuns, HOUR_MS, refundOf, Shop } from "./ledger";

let shop: Shop;
beforeEach(async () => {
  await forgetRuns();
  shop = await Shop.open();
});
afterEach(() => vi.restoreAllMocks());

const BUSY = { tag: "busy", detail: "Too many requests", retryAfterMs: null } as const;
const UNKNOWN = { tag: "unknown", detail: "No answer within 8 seconds" } as const;

/** When a run is carried on next, after now, in seconds. */
const pause = async (id: number) => Math.round(((await shop.run(id)).due_at ?? 0) - shop.now) / 1_000;

describe("a provider that gives no answer", () => {
  it("is asked again after 1 s, 5 s, 30 s, 2 min, 10 min, and then each hour, from where the run was", async () => {
    await shop.both();
    const id = await shop.begin();
    shop.ledger.outage = UNKNOWN;
    const pauses: number[] = [];
    for (let misses = 0; misses < 8; misses++) {
      await shop.advance();
      pauses.push(await pause(id));
      shop.now = (await shop.run(id)).due_at ?? 0;
    }
    expect(pauses).toEqual([1, 5, 30, 120, 600, 3_600, 3_600, 3_600]);
    expect(await shop.run(id)).toMatchObject({ state: "running", failure: UNKNOWN.detail, finished_at: null });
    shop.ledger.outage = null;
    const run = await shop.finish(id);
    expect(run).toMatchObject({ state: "done", compared: 1, failure: null, failing_since: null });
  });

  it("is not asked before it says", async () => {
    const id = await shop.begin();
    shop.ledger.failures.push({ ...BUSY, retryAfterMs: 90_000 });
    await shop.advance();
    expect(await pause(id)).toBe(90);
    shop.now += 89_000;
    expect(await shop.advance()).toMatchObject({ steps: 0 });
  });

  it("is waited for an hour at most, whatever it says", async () => {
    const id = await shop.begin();
    shop.ledger.failures.push({ ...BUSY, retryAfterMs: 100 * DAY_MS });
    await shop.advance();
    expect(await pause(id)).toBe(3_600);
  });

  it("has the run fail after a day, visibly, and wipes what it has noted", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    shop.ledger.pageSize = 1;
    await shop.both({ status: "processing" });
    await shop.both();
    const id = await shop.begin();
    await shop.advance();
    shop.ledger.outage = BUSY;
    shop.now += 60_000;
    const since = shop.now;
    let run = await shop.run(id);
    for (let tries = 0; run.due_at !== null && tries < 60; tries++) {
      shop.now = Math.max(shop.now, run.due_at);
      await shop.advance();
      run = await shop.run(id);
    }
    expect(run).toMatchObject({ state: "failed", failure: BUSY.detail, failing_since: since });
    expect((run.finished_at ?? 0) - since).toBeGreaterThanOrEqual(DAY_MS);
    expect((run.finished_at ?? 0) - since).toBeLessThan(DAY_MS + HOUR_MS + 1);
    const left = await env.DB.prepare(
      "SELECT (SELECT count(*) FROM reconciliation_looks) + (SELECT count(*) FROM reconciliation_seen) AS n",
    ).first<number>("n");
    expect(left).toBe(0);
    // The account can be compared again.
    shop.ledger.outage = null;
    expect((await shop.reconcile()).state).toBe("done");
  });

  it("about one payment does not keep the others from being looked at", async () => {
    const { there } = await shop.both({ status: "processing" });
    const { id: other } = await shop.both({ status: "processing" });
    const id = await shop.begin();
    await shop.advance();
    shop.now += 60_000;
    const observe = shop.ledger.adapter.observe.bind(shop.ledger.adapter);
    vi.spyOn(shop.ledger.adapter, "observe").mockImplementation(async (connection, payment) =>
      payment.reference === there.reference ? UNKNOWN : observe(connection, payment),
    );
    await shop.advance();
    expect((await shop.items()).map((item) => Number(item.split(" ")[1]))).toEqual([other]);
    expect(await shop.run(id)).toMatchObject({ state: "running", failure: UNKNOWN.detail });
    vi.restoreAllMocks();
    const run = await shop.finish(id);
    expect(run).toMatchObject({ state: "done", failure: null, items: '{"status_mismatch":2}' });
  });

  it("whose list does not go on is not followed", async () => {
    const id = await shop.begin();
    vi.spyOn(shop.ledger.adapter, "list").mockResolvedValue({ tag: "listed", entries: [], next: "same" });
    await shop.advance();
    shop.now += 60_000;
    await shop.advance();
    expect(await shop.run(id)).toMatchObject({ state: "running", failure: "The provider's list does not go on" });
  });
});

describe("an account that cannot be asked", () => {
  it("is said to be so in its run", async () => {
    shop.connect.failure = new Outage("A secret of the account cannot be opened: key_missing");
    const id = await shop.begin();
    await shop.advance();
    expect(await shop.run(id)).toMatchObject({
      ...{ state: "running", failure: "A secret of the account cannot be opened: key_missing" },
    });
    shop.connect.failure = null;
    expect((await shop.finish(id)).state).toBe("done");
  });
});

describe("a step that breaks", () => {
  it("is logged, tried again later, and keeps no other run from being carried on", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const broken = await shop.begin();
    const { ledger } = shop;
    vi.spyOn(ledger.adapter, "list").mockRejectedValueOnce(new Error("Broken"));
    const other = await Shop.open();
    other.ledger.payments.push(...ledger.payments);
    const whole = await other.begin();
    shop.now = other.now;
    // Both are due, and one invocation carries them on.
    expect(await shop.advance()).toMatchObject({ done: 1 });
    expect([(await shop.run(broken)).failure, (await shop.run(whole)).state]).toEqual(["Internal error", "done"]);
    expect(String(logged.mock.calls[0])).toContain("reconciliation broken off");
    shop.now += 60_000;
    expect((await shop.finish(broken)).state).toBe("done");
  });
});

/** A world in which much differs, and what a run must find in it. */
async function differing(): Promise<readonly string[]> {
  shop.ledger.pageSize = 2;
  await shop.both();
  await shop.both({ status: "processing" });
  const { there } = await shop.both();
  there.refunds.push(refundOf(`re_${there.reference}`, 100));
  shop.list();
  await shop.store({ reference: `pi_gone_${shop.merchantId}` });
  return ["amount_mismatch", "missing_here", "missing_there", "status_mismatch", "unknown_refund"];
}

const kinds = async () => (await shop.items()).map((item) => item.split(" ")[0]).sort();

async function expectOnce(id: number, expected: readonly string[]): Promise<void> {
  const run = await shop.run(id);
  expect(await kinds()).toEqual(expected);
  expect(JSON.parse(run.items)).toEqual(Object.fromEntries(expected.map((kind) => [kind, 1])));
  // Of each item of a payment, one event; of what is not here, none.
  expect((await shop.itemEvents()).length).toBe(expected.length - 1);
  expect(run).toMatchObject({ state: "done", differing: 5, due_at: null });
  // Two pages of five entries, a refund, and the one that no list had.
  expect(run.compared).toBe(6);
}

describe("whatever is lost or done twice", () => {
  it("each thing is found, counted and told of once where an answer of D1 is lost", async () => {
    for (let lost = 1; ; lost++) {
      shop = await Shop.open();
      const expected = await differing();
      const id = await shop.begin();
      let trips = 0;
      const counted = instrumentD1(losesNth(env.DB, lost), async (roundTrip) => {
        trips++;
        return roundTrip();
      });
      await shop.finish(id, counted);
      await expectOnce(id, expected);
      if (trips < lost) break;
      expect(lost).toBeLessThan(60);
    }
  }, 120_000);

  it("each thing is found, counted and told of once where two carry the run on at once", async () => {
    const expected = await differing();
    const id = await shop.begin();
    for (let minutes = 0; (await shop.run(id)).due_at !== null; minutes++) {
      expect(minutes).toBeLessThan(60);
      // The second takes it from the first, as after a time in which that was not heard of.
      const first = shop.advance(
        instrumentD1(env.DB, async (roundTrip) => {
          const answer = await roundTrip();
          await env.DB.prepare("UPDATE reconciliation_runs SET due_at = min(due_at, ?) WHERE id = ?")
            .bind(shop.now, id)
            .run();
          return answer;
        }),
      );
      await Promise.all([first, shop.advance(), shop.advance()]);
      shop.now += 60_000;
    }
    await expectOnce(id, expected);
  });

  it("a run that broke off in the middle is carried on by the next invocation", async () => {
    const expected = await differing();
    const id = await shop.begin();
    let trips = 0;
    const breaking = instrumentD1(env.DB, async (roundTrip) => {
      if (++trips >= 5) throw new Error("D1_ERROR: D1 is overloaded");
      return roundTrip();
    });
    vi.spyOn(console, "error").mockImplementation(() => {});
    await expect(shop.advance(breaking)).rejects.toThrow("Out of reach");
    shop.now += 119_000;
    expect(await shop.advance()).toMatchObject({ steps: 0 });
    shop.now += 1_000;
    await shop.finish(id);
    await expectOnce(id, expected);
  });
});

describe("an invocation", () => {
  it("asks D1 for no more statements than it answers, whatever there is to do", async () => {
    await differing();
    const id = await shop.begin();
    for (let minutes = 0; (await shop.run(id)).due_at !== null; minutes++) {
      expect(minutes).toBeLessThan(60);
      let statements = 0;
      const counted = instrumentD1(env.DB, async (roundTrip) => {
        const answer = await roundTrip();
        statements += [answer].flat().length;
        return answer;
      });
      await shop.advance(counted);
      expect(statements).toBeLessThanOrEqual(46);
      shop.now += 60_000;
    }
  });

  it("takes the runs in the order in which they became due", async () => {
    const shops = [shop, await Shop.open(), await Shop.open()];
    const ids: number[] = [];
    for (const one of shops) {
      one.ledger.pageSize = 1;
      ids.push(await one.begin());
      one.now = shop.now;
    }
    const [first = 0, second = 0, third = 0] = ids;
    const due = env.DB.prepare("UPDATE reconciliation_runs SET due_at = ? WHERE id = ?");
    await env.DB.batch([due.bind(shop.now - 1, third), due.bind(shop.now - 3, second), due.bind(shop.now - 2, first)]);
    const taken: number[] = [];
    await shop.advance(
      instrumentD1(env.DB, async (roundTrip) => {
        const answer = await roundTrip();
        for (const { results } of [answer].flat() as D1Result<{ position?: number; id: number }>[]) {
          for (const row of results) if (row.position === 1) taken.push(row.id);
        }
        return answer;
      }),
    );
    expect(taken.slice(0, 2)).toEqual([second, first]);
  });
});
