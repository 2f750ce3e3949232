import { createScheduledController } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import worker from "../../../src";
import { countForAll } from "../../../src/jobs/totals";
import { newMerchant } from "../client";
import { instrumentD1, losesNth, meterD1 } from "../d1";
import { fill, make } from "../statistics/shop";

const DAY_MS = 86_400_000;
const NOW = Date.now();
/** Merchants whose events one run counts. */
const STEPS_PER_RUN = 9;

const count = (db = env.DB, now = NOW) => countForAll(db, now);

const placeOf = (merchantId: number) =>
  env.DB.prepare("SELECT position FROM totals_cursors WHERE merchant_id = ?")
    .bind(merchantId)
    .first<number>("position");

/** New merchants, each with so many events. */
async function merchantsWith(events: readonly number[]): Promise<number[]> {
  const ids: number[] = [];
  for (const n of events) {
    const id = await newMerchant();
    if (n === 1) await make(id);
    else if (n > 1) await fill(id, n);
    ids.push(id);
  }
  return ids;
}

const places = (ids: readonly number[]) => Promise.all(ids.map(placeOf));

// The job is about all merchants: in each test those that it makes have events, and no walk has begun.
beforeEach(async () => {
  await env.DB.batch([
    env.DB.prepare("DELETE FROM job_positions"),
    env.DB.prepare(
      `INSERT INTO totals_cursors SELECT merchant_id, max(position), max(created_at) FROM events WHERE true GROUP BY merchant_id
       ON CONFLICT DO UPDATE SET position = excluded.position, event_at = excluded.event_at`,
    ),
  ]);
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe("the job", () => {
  it("counts the events of every merchant, and rests for a day", async () => {
    const ids = await merchantsWith([1, 3, 0]);
    expect(await count()).toEqual({ steps: 2, events: 4, failed: 0, finished: true });
    expect(await places(ids)).toEqual([1, 3, null]);
    const [late] = await merchantsWith([1]);
    const meter = meterD1(env.DB);
    expect(await count(meter.db, NOW + DAY_MS - 1)).toEqual({ steps: 0, events: 0, failed: 0, finished: true });
    expect(meter.trips).toBe(1);
    expect(await count(env.DB, NOW + DAY_MS)).toMatchObject({ steps: 1, events: 1, finished: true });
    expect(await places([late ?? 0])).toEqual([1]);
  });

  it("goes on where it has stopped, one step of each merchant after the other, until nothing is left", async () => {
    const ids = await merchantsWith([1, 2_100, ...Array<number>(STEPS_PER_RUN).fill(1)]);
    expect(await count()).toMatchObject({ steps: STEPS_PER_RUN, events: 1_008, finished: false });
    expect(await places(ids)).toEqual([1, 1_000, ...Array(7).fill(1), null, null]);
    // The rest of this walk, and the next ones, which begin at once.
    expect(await count()).toMatchObject({ steps: 2, events: 2, finished: false });
    expect(await places(ids)).toEqual([1, 1_000, ...Array(STEPS_PER_RUN).fill(1)]);
    expect(await count()).toMatchObject({ steps: 1, events: 1_000, finished: false });
    expect(await count()).toMatchObject({ steps: 1, events: 100, finished: true });
    expect(await count()).toMatchObject({ steps: 0, finished: true });
    expect((await places(ids))[1]).toBe(2_100);
  });

  it("reaches everybody among thousands of merchants, with no more than fifty statements a run", async () => {
    const [first] = await merchantsWith([1]);
    await env.DB.prepare(
      `INSERT INTO merchants (name, created_at) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
       SELECT 'of many', 1 FROM n`,
    ).run();
    const [last] = await merchantsWith([1]);
    const reached: unknown[] = [];
    for (let runs = 0; runs < 3; runs++) {
      let statements = 0;
      const counted = instrumentD1(env.DB, async (roundTrip) => {
        const answer = await roundTrip();
        statements += [answer].flat().length;
        return answer;
      });
      const { finished } = await count(counted);
      expect(statements).toBeLessThanOrEqual(50);
      reached.push([await places([first ?? 0, last ?? 0]), finished]);
    }
    expect(reached).toEqual([
      [[1, null], false],
      [[1, 1], true],
      [[1, 1], true],
    ]);
    await env.DB.prepare("DELETE FROM merchants WHERE name = 'of many'").run();
  });

  it("is safe to run twice at once, and to lose an answer of", async () => {
    const ids = await merchantsWith([3, 4]);
    await Promise.all([count(), count()]);
    expect(await places(ids)).toEqual([3, 4]);
    for (let lost = 1; lost <= 6; lost++) {
      await env.DB.prepare("DELETE FROM job_positions").run();
      const own = await merchantsWith([3]);
      await count(losesNth(env.DB, lost));
      expect(await places(own)).toEqual([3]);
    }
    const { results } = await env.DB.prepare(
      "SELECT DISTINCT created, confirmed, captured_minor FROM daily_totals WHERE merchant_id >= ?",
    )
      .bind(ids[0] ?? 0)
      .all();
    expect(results).toEqual([{ created: 1, confirmed: 1, captured_minor: 9_999 }]);
  });

  it("breaks off when D1 does, and the next run goes on", async () => {
    const ids = await merchantsWith([1, 1]);
    let trips = 0;
    const broken = instrumentD1(env.DB, (roundTrip) => {
      if (++trips > 4) throw new Error("D1_ERROR: D1 is overloaded");
      return roundTrip();
    });
    await expect(count(broken)).rejects.toThrow("Out of reach");
    expect(await places(ids)).toEqual([1, null]);
    expect(await count()).toMatchObject({ steps: 1, events: 1, finished: true });
    expect(await places(ids)).toEqual([1, 1]);
  });

  it("counts the events of the others where those of one merchant cannot be counted", async () => {
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    const [wrong = 0, right = 0] = await merchantsWith([1, 1]);
    const failing = instrumentD1(env.DB, async (roundTrip) => {
      const answer = await roundTrip();
      const [{ results = [] } = {}] = [answer].flat() as D1Result<{ newest?: number }>[];
      // As it would be with a fault of the service's own, for the first that is read.
      if (results[0]?.newest !== undefined && (await placeOf(right)) === null && logged.mock.calls.length === 0) {
        throw new Error("D1_ERROR: no such column: SQLITE_ERROR");
      }
      return answer;
    });
    expect(await count(failing)).toEqual({ steps: 2, events: 1, failed: 1, finished: true });
    expect(await places([wrong, right])).toEqual([null, 1]);
    expect(JSON.parse(String(logged.mock.calls[0]?.[0]))).toMatchObject({
      message: "events not counted",
      merchant_id: wrong,
    });
    // It is tried again with the next walk.
    expect(await count(env.DB, NOW + DAY_MS)).toMatchObject({ steps: 1, failed: 0, finished: true });
  });

  it("is what its cron starts, and says what it did", async () => {
    const ids = await merchantsWith([2]);
    const logged = vi.spyOn(console, "log").mockImplementation(() => {});
    const run = () =>
      worker.scheduled(createScheduledController({ scheduledTime: NOW, cron: "*/5 * * * *" }), { ...env });
    await run();
    await run();
    expect(await places(ids)).toEqual([2]);
    expect(logged.mock.calls.map(([line]) => JSON.parse(String(line)))).toMatchObject([
      { message: "events counted", steps: 1, events: 2, failed: 0, finished: true },
    ]);
  });
});
