import { createScheduledController } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import worker from "../../../src";
import { retentionDays, sweepIdempotencyKeys } from "../../../src/jobs/retention";
import { administrator, client, newKey, newMerchant, ORDER } from "../client";
import { instrumentD1, losesNth } from "../d1";

const DAY_MS = 86_400_000;
/** Two thousand rows are some ten milliseconds of D1, which answers one statement at a time; requests come between. */
const KEYS_PER_STEP = 2_000;
const DAYS = 30;
/** When the job runs: late enough for what the tests make to be old. */
const NOW = Date.now() + 100 * DAY_MS;
const OLD = NOW - DAYS * DAY_MS - 1;
const YOUNG = NOW - DAYS * DAY_MS;
/** When the next walk begins. */
const TOMORROW = NOW + DAY_MS;

const sweep = (db = env.DB, now = NOW) => sweepIdempotencyKeys(db, DAYS, now);

/** A new merchant with a payment, and a client of theirs. */
async function aMerchant() {
  const id = await newMerchant();
  const api = client(undefined, { key: await newKey(["payments:read", "payments:write"], id) });
  const { body, status } = await api.create(ORDER, "the-first");
  expect(status).toBe(201);
  return { id, api, payment: body.id };
}

/** Gives a payment this many keys of an age; their names begin with `prefix`, and have its order. */
async function seed(merchant: { id: number; payment: number }, prefix: string, count: number, createdAt: number) {
  await env.DB.prepare(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
     INSERT INTO idempotency_keys (merchant_id, key, fingerprint, payment_id, created_at)
     SELECT ?2, printf('%s-%05d', ?3, i), printf('%064d', i), ?4, ?5 FROM n`,
  )
    .bind(count, merchant.id, prefix, merchant.payment, createdAt)
    .run();
}

/** How many keys of an age a merchant has. */
async function keysOf({ id }: { id: number }, createdAt: number): Promise<number | null> {
  const found = env.DB.prepare("SELECT count(*) AS n FROM idempotency_keys WHERE merchant_id = ? AND created_at = ?");
  return found.bind(id, createdAt).first<number>("n");
}

const progress = async () => {
  const found = env.DB.prepare("SELECT position FROM job_positions WHERE job = 'idempotency_keys'");
  return JSON.parse((await found.first<string>("position")) ?? "null");
};

/** All that is no idempotency key. */
const rest = () =>
  env.DB.prepare(
    `SELECT (SELECT json_group_array(json_array(id, version, status, updated_at, metadata)) FROM payments) AS payments,
       (SELECT json_group_array(json_array(payment_id, sequence, type, data, request_id, key_id)) FROM events) AS events,
       (SELECT json_group_array(json_array(id, type, subject, data, request_id, commit_id)) FROM account_events) AS changes,
       (SELECT json_group_array(json_array(id, revoked_at)) FROM api_keys) AS keys`,
  ).first();

// The job is about all merchants, so each test begins without keys, and without a walk that has begun.
beforeEach(async () => {
  await env.DB.batch([env.DB.prepare("DELETE FROM idempotency_keys"), env.DB.prepare("DELETE FROM job_positions")]);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** D1, and the most rows that one statement has changed there. */
function watchChanges() {
  const watched = { db: env.DB, most: 0 };
  watched.db = instrumentD1(env.DB, async (roundTrip) => {
    const answer = await roundTrip();
    for (const { meta } of [answer].flat() as D1Result[]) watched.most = Math.max(watched.most, meta.changes);
    return answer;
  });
  return watched;
}

describe("the sweep", () => {
  it("deletes the keys that are too old, of every merchant, and nothing else", async () => {
    const merchants = [await aMerchant(), await aMerchant(), await aMerchant()];
    for (const merchant of merchants) {
      await seed(merchant, "a", 417, OLD);
      await seed(merchant, "b", 417, YOUNG);
    }
    const before = await rest();
    const { deleted, finished, steps } = await sweep();
    // With each merchant's own first key, which is as old as the test.
    expect(deleted).toBe(3 * 418);
    expect(finished).toBe(true);
    expect(steps).toBeGreaterThan(2);
    for (const merchant of merchants) {
      expect([await keysOf(merchant, OLD), await keysOf(merchant, YOUNG)]).toEqual([0, 417]);
    }
    expect(await rest()).toEqual(before);
  });

  it("begins anew a day after it has begun, and rests until then", async () => {
    const merchant = await aMerchant();
    expect(await sweep()).toMatchObject({ deleted: 1, finished: true });
    expect(await progress()).toEqual({ after: null, begun_at: NOW });
    await seed(merchant, "a", 10, OLD);
    await seed(merchant, "b", 10, TOMORROW);
    let trips = 0;
    const counted = instrumentD1(env.DB, (roundTrip) => {
      trips++;
      return roundTrip();
    });
    expect(await sweep(counted, TOMORROW - 1)).toMatchObject({ steps: 0, deleted: 0, finished: true });
    expect(trips).toBe(1);
    expect(await sweep(env.DB, TOMORROW)).toMatchObject({ deleted: 10, finished: true });
    expect(await keysOf(merchant, TOMORROW)).toBe(10);
  });

  it("is safe to run twice at once", async () => {
    const merchant = await aMerchant();
    await seed(merchant, "a", 3_000, OLD);
    await seed(merchant, "b", 500, YOUNG);
    await Promise.all([sweep(), sweep()]);
    expect([await keysOf(merchant, OLD), await keysOf(merchant, YOUNG)]).toEqual([0, 500]);
  });

  it("looks at a bounded number of keys at once", async () => {
    const merchant = await aMerchant();
    await seed(merchant, "a", 5_000, OLD);
    const watched = watchChanges();
    expect((await sweep(watched.db)).deleted).toBe(5_001);
    expect(watched.most).toBe(KEYS_PER_STEP);
  });

  it("goes on where it was interrupted", async () => {
    const merchant = await aMerchant();
    await seed(merchant, "b", 4_500, OLD);
    let trips = 0;
    const dies = instrumentD1(env.DB, (roundTrip) =>
      // A trip to begin with, and two for each step: it dies after the first step.
      ++trips > 3 ? Promise.reject(new Error("D1_ERROR: Network connection lost.")) : roundTrip(),
    );
    await expect(sweep(dies)).rejects.toThrow("Out of reach");
    expect(await keysOf(merchant, OLD)).toBe(4_500 - KEYS_PER_STEP);
    expect(await progress()).toEqual({ after: { merchant_id: merchant.id, key: "b-02000" }, begun_at: NOW });

    // Behind the place where it was: the next run does not come by, and the next walk does.
    await seed(merchant, "a", 1, OLD);
    expect(await sweep(env.DB, NOW + 1)).toMatchObject({ finished: true, deleted: 4_500 - KEYS_PER_STEP + 1 });
    expect(await keysOf(merchant, OLD)).toBe(1);
    expect(await sweep(env.DB, TOMORROW)).toMatchObject({ finished: true, deleted: 1 });
    expect(await keysOf(merchant, OLD)).toBe(0);
  });

  it.each([1, 2, 3, 4, 5, 6, 7])("loses no key and keeps none when the answer of trip %i is lost", async (n) => {
    const merchant = await aMerchant();
    await seed(merchant, "a", 2_200, OLD);
    await seed(merchant, "b", 100, YOUNG);
    expect((await sweep(losesNth(env.DB, n))).finished).toBe(true);
    expect([await keysOf(merchant, OLD), await keysOf(merchant, YOUNG)]).toEqual([0, 100]);
  });

  it("lets requests have their turn between its steps", async () => {
    const merchant = await aMerchant();
    await seed(merchant, "a", 4_500, OLD);
    const statuses: number[] = [];
    const interleaved = instrumentD1(env.DB, async (roundTrip) => {
      const answer = await roundTrip();
      statuses.push((await merchant.api.create(ORDER)).status);
      return answer;
    });
    await sweep(interleaved);
    expect(statuses.length).toBeGreaterThan(6);
    expect(new Set(statuses)).toEqual(new Set([201]));
  });

  it("reads no more than it walks by: a row or two for each key", async () => {
    const merchant = await aMerchant();
    await seed(merchant, "a", 3_000, YOUNG);
    const total = (await env.DB.prepare("SELECT count(*) AS n FROM idempotency_keys").first<number>("n")) ?? 0;
    const rows = { read: 0 };
    const metered = instrumentD1(env.DB, async (roundTrip) => {
      const answer = await roundTrip();
      for (const { meta } of [answer].flat() as D1Result[]) rows.read += meta.rows_read;
      return answer;
    });
    const changes = (await env.DB.prepare("SELECT count(*) AS n FROM account_events").first<number>("n")) ?? 0;
    await sweep(metered);
    expect(rows.read).toBeLessThan(2 * total + 2 * changes + 100);
  });
});

/** D1, and how many statements it was asked for. */
function countStatements() {
  const counted = { db: env.DB, statements: 0 };
  counted.db = instrumentD1(env.DB, async (roundTrip) => {
    const answer = await roundTrip();
    counted.statements += [answer].flat().length;
    return answer;
  });
  return counted;
}

describe("one run", () => {
  it("looks at 32,000 keys with the statements that Cloudflare's free plan allows, and the next one at the rest", async () => {
    const merchant = await aMerchant();
    await seed(merchant, "a", 33_000, OLD);
    const counted = countStatements();
    const { steps, deleted, finished } = await sweep(counted.db);
    expect({ steps, deleted, finished }).toEqual({ steps: 16, deleted: 32_000, finished: false });
    expect(counted.statements).toBeLessThanOrEqual(50);
    // Every two minutes: all that are kept of 400,000 keys a day are looked at in less than a day.
    expect((24 * 60) / 2).toBeGreaterThan((DAYS * 400_000) / 32_000);
    expect(await sweep(env.DB, NOW + 2 * 60_000)).toMatchObject({ deleted: 1_001, finished: true });
  });

  it("says once a day that a walk is not at its end after a day", async () => {
    const merchant = await aMerchant();
    await seed(merchant, "a", 97_000, YOUNG + 9 * DAY_MS);
    expect((await sweep()).behind).toEqual([]);
    expect((await sweep(env.DB, TOMORROW)).behind).toEqual([]);
    const late = { walk: "idempotency_keys", begun_at: new Date(NOW).toISOString() };
    expect((await sweep(env.DB, TOMORROW + 1)).behind).toEqual([{ ...late, days_under_way: 1 }]);
    const { behind, finished } = await sweep(env.DB, TOMORROW + DAY_MS);
    expect({ behind, finished }).toEqual({ behind: [], finished: true });
  });

  it("says it again a day later", async () => {
    const merchant = await aMerchant();
    await seed(merchant, "a", 97_000, YOUNG + 9 * DAY_MS);
    await sweep();
    const days = async (now: number) => (await sweep(env.DB, now)).behind.map((late) => late.days_under_way);
    expect(await days(NOW + 3 * DAY_MS)).toEqual([3]);
    expect(await days(NOW + 4 * DAY_MS)).toEqual([4]);
  });
});

describe("a key is dated by itself", () => {
  // The database's own clock bounds what a commit is dated: this sweep runs now.
  const now = Date.now();
  beforeEach(() => env.DB.prepare("DELETE FROM job_positions").run());

  /** Does something at a time of the past of the sweep. */
  async function daysBefore<T>(days: number, work: () => Promise<T>): Promise<T> {
    vi.useFakeTimers({ toFake: ["Date"] });
    vi.setSystemTime(now - days * DAY_MS);
    return work();
  }
  const keysLeft = async (merchantId: number) => {
    const { results } = await env.DB.prepare("SELECT key FROM idempotency_keys WHERE merchant_id = ? ORDER BY key")
      .bind(merchantId)
      .all<{ key: string }>();
    return results.map(({ key }) => key);
  };

  it("and not by its payment: a young action keeps its key, an old one's is free again", async () => {
    const id = await newMerchant();
    const api = client(undefined, { key: await newKey(undefined, id) });
    const [first, second] = await daysBefore(40, async () => [
      await api.create(ORDER, "old-first"),
      await api.create(ORDER, "old-second"),
    ]);
    await daysBefore(31, () => api.run(first.body.id, "confirm", "old-confirm"));
    await daysBefore(29, () => api.run(first.body.id, "refund", "young-refund"));
    await daysBefore(29, () => api.run(second.body.id, "fail", "young-fail"));
    await sweep(env.DB, now);
    expect(await keysLeft(id)).toEqual(["young-fail", "young-refund"]);
    expect(await api.run(first.body.id, "refund", "young-refund")).toMatchObject({ status: 200, replayed: true });
    expect((await api.run(second.body.id, "confirm", "young-fail")).status).toBe(409);
    expect((await api.create({ ...ORDER, order_id: 7 }, "old-confirm")).status).toBe(201);
  });

  it("also of a change of merchants or keys", async () => {
    const create = (name: string, key: string) =>
      administrator().request("POST", "/api/v1/merchants", { body: { name }, headers: { "Idempotency-Key": key } });
    const [old, young] = [crypto.randomUUID(), crypto.randomUUID()];
    const first = await daysBefore(31, () => create("One", old));
    const second = await daysBefore(29, () => create("Two", young));
    await sweep(env.DB, now);
    expect(await create("Two", young)).toMatchObject({ replayed: true, body: { id: second.body.id } });
    expect((await create("Other", young)).status).toBe(409);
    const again = await create("Other", old);
    expect(again.status).toBe(201);
    expect(again.body.id).not.toBe(first.body.id);
  });
});

describe("a key that has ended", () => {
  it("is free again, and was not before", async () => {
    const merchant = await aMerchant();
    expect((await merchant.api.create(ORDER, "the-first")).replayed).toBe(true);
    expect((await merchant.api.create({ ...ORDER, amount: 1 }, "the-first")).status).toBe(409);
    await sweep();
    const { status, body } = await merchant.api.create({ ...ORDER, amount: 1 }, "the-first");
    expect(status).toBe(201);
    expect(body.id).not.toBe(merchant.payment);
    expect((await merchant.api.get(merchant.payment)).status).toBe(200);
  });

  it("between the two trips of a retry makes it a creation, not a failure", async () => {
    const key = crypto.randomUUID();
    const first = await client(env).create(ORDER, key);
    let swept = false;
    const overtaken = instrumentD1(env.DB, async (roundTrip) => {
      try {
        return await roundTrip();
      } finally {
        // The key was found taken; before the payment it has led to is read, it is gone.
        if (!swept) await sweep();
        swept = true;
      }
    });
    const { status, replayed, body } = await client({ ...env, DB: overtaken }).create(ORDER, key);
    expect([status, replayed]).toEqual([201, false]);
    expect(body.id).not.toBe(first.body.id);
  });

  it("of a change of merchants or keys is free again, too, and the trail stays", async () => {
    const key = crypto.randomUUID();
    const create = (name: string) =>
      administrator().request("POST", "/api/v1/merchants", { body: { name }, headers: { "Idempotency-Key": key } });
    const first = await create("One");
    expect((await create("Two")).status).toBe(409);
    const trail = () =>
      env.DB.prepare("SELECT type, data, idempotency_key, fingerprint FROM account_events WHERE subject = ?")
        .bind(String(first.body.id))
        .first();
    expect(await trail()).toMatchObject({ data: '{"name":"One"}', idempotency_key: key });
    await sweep();
    expect(await trail()).toEqual({
      type: "merchant.created",
      data: '{"name":"One"}',
      idempotency_key: null,
      fingerprint: null,
    });
    const second = await create("Two");
    expect(second.status).toBe(201);
    expect(second.body.id).not.toBe(first.body.id);
  });

  it("of more changes than one step looks at are all free again in one run, step by step", async () => {
    await env.DB.prepare(
      `INSERT INTO account_events (merchant_id, type, subject, data, actor_merchant_id, request_id, commit_id,
         idempotency_key, fingerprint, created_at)
       WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
       SELECT 1, 'merchant.renamed', '1', '{}', 1, 'r', 'many-' || i, 'many-' || i, ?, 1 FROM n`,
    )
      .bind(2 * KEYS_PER_STEP + 1, "0".repeat(64))
      .run();
    const left = () =>
      env.DB.prepare("SELECT count(*) AS n FROM account_events WHERE idempotency_key LIKE 'many-%'").first("n");
    expect(await left()).toBe(2 * KEYS_PER_STEP + 1);
    const watched = watchChanges();
    await sweep(watched.db);
    expect(await left()).toBe(0);
    expect(watched.most).toBe(KEYS_PER_STEP);
  });
});

describe("the cron", () => {
  const run = (IDEMPOTENCY_RETENTION_DAYS: string, scheduledTime = NOW) =>
    worker.scheduled(createScheduledController({ scheduledTime, cron: "*/2 * * * *" }), {
      ...env,
      IDEMPOTENCY_RETENTION_DAYS,
    });

  it("deletes what is older than the days that are configured, and says what it did", async () => {
    const logged = vi.spyOn(console, "log").mockImplementation(() => {});
    const merchant = await aMerchant();
    await seed(merchant, "a", 5, NOW - 7 * DAY_MS - 1);
    await seed(merchant, "b", 5, NOW - 7 * DAY_MS);
    logged.mockClear();
    await run("7");
    expect(await keysOf(merchant, NOW - 7 * DAY_MS - 1)).toBe(0);
    expect(await keysOf(merchant, NOW - 7 * DAY_MS)).toBe(5);
    expect(logged).toHaveBeenCalledOnce();
    await run("7", NOW + 1);
    // A run that has nothing to do says nothing.
    expect(logged).toHaveBeenCalledOnce();
    expect(JSON.parse(String(logged.mock.calls[0]?.[0]))).toMatchObject({
      message: "idempotency keys swept",
      days: 7,
      finished: true,
    });
  });

  it("says what it did in a single step, too", async () => {
    await sweep();
    // The walk over keys begins anew; that over changes of the account is not a day old.
    await env.DB.prepare(
      "UPDATE job_positions SET position = json_set(position, '$.begun_at', ?) WHERE job = 'idempotency_keys'",
    )
      .bind(NOW - DAY_MS)
      .run();
    const logged = vi.spyOn(console, "log").mockImplementation(() => {});
    await run("30");
    expect(logged.mock.calls.map(([line]) => JSON.parse(String(line)))).toEqual([
      { message: "idempotency keys swept", days: 30, steps: 1, deleted: expect.any(Number), finished: true },
    ]);
  });

  it("says when it does not keep up", async () => {
    const merchant = await aMerchant();
    await seed(merchant, "a", 33_000, NOW);
    vi.spyOn(console, "log").mockImplementation(() => {});
    const failed = vi.spyOn(console, "error").mockImplementation(() => {});
    await run("30");
    expect(failed).not.toHaveBeenCalled();
    await run("30", NOW + 2 * DAY_MS);
    expect(failed).toHaveBeenCalledOnce();
    expect(JSON.parse(String(failed.mock.calls[0]?.[0]))).toEqual({
      message: "idempotency keys behind",
      days: 30,
      walk: "idempotency_keys",
      begun_at: new Date(NOW).toISOString(),
      days_under_way: 2,
    });
  });

  it.each(["17 3 * * *", "", "constructor"])("has no job for %j, and fails", async (cron) => {
    const controller = createScheduledController({ scheduledTime: NOW, cron });
    await expect(worker.scheduled(controller, env)).rejects.toThrow(`the cron "${cron}"`);
  });

  it.each(["", "0", "-1", "1.5", "030", "10000", "30 days", " 30", "1e3", "NaN", "Infinity", "undefined"])(
    "deletes nothing, and fails, when the days are %j",
    async (days) => {
      const merchant = await aMerchant();
      await seed(merchant, "a", 5, 1);
      expect(retentionDays(days)).toBeNull();
      await expect(run(days)).rejects.toThrow("IDEMPOTENCY_RETENTION_DAYS");
      expect(await keysOf(merchant, 1)).toBe(5);
    },
  );

  it.each([
    ["1", 1],
    ["30", 30],
    ["9999", 9999],
  ])("takes %s days", (text, days) => {
    expect(retentionDays(text)).toBe(days);
  });

  it("is configured to keep what is young", async () => {
    const merchant = await aMerchant();
    const { IDEMPOTENCY_RETENTION_DAYS } = env;
    vi.spyOn(console, "log").mockImplementation(() => {});
    await run(IDEMPOTENCY_RETENTION_DAYS, Date.now() + 29 * DAY_MS);
    expect((await merchant.api.create(ORDER, "the-first")).replayed).toBe(true);
  });
});
