/** The job that has accounts compared with what their providers have: once a day each, and carried on each minute. */
import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it } from "vitest";
import { startDue } from "../../../src/jobs/reconciliation";
import { Database } from "../../../src/storage/database";
import { newMerchant } from "../client";
import { instrumentD1, losesNth, meterD1 } from "../d1";
import { DAY_MS, newAccount } from "../reconciliation/ledger";

const NOW = Date.now();
const start = (now = NOW, db = env.DB) => startDue(new Database(db), now);

interface Run {
  id: number;
  account_id: number;
  from_at: number;
  to_at: number;
  source: string;
  state: string;
}

async function runsOf(accounts: readonly number[]): Promise<Run[]> {
  const { results } = await env.DB.prepare(
    "SELECT * FROM reconciliation_runs WHERE account_id IN (SELECT value FROM json_each(?)) ORDER BY id",
  )
    .bind(JSON.stringify(accounts))
    .all<Run>();
  return results;
}

const end = (id: number, state: "done" | "failed") =>
  env.DB.prepare("UPDATE reconciliation_runs SET state = ?, finished_at = started_at, due_at = NULL WHERE id = ?")
    .bind(state, id)
    .run();

// The job is about all accounts: in each test it is those that it makes, and no walk has begun.
beforeEach(async () => {
  await env.DB.batch(
    ["reconciliation_runs", "provider_accounts", "job_positions"].map((table) =>
      env.DB.prepare(`DELETE FROM ${table}`),
    ),
  );
});

describe("the walk over accounts", () => {
  it("begins a run of the last seven days of each that is enabled, of merchants that are, and rests for a day", async () => {
    const [merchant, other, gone] = [await newMerchant(), await newMerchant(), await newMerchant()];
    await env.DB.prepare("UPDATE merchants SET disabled_at = 1 WHERE id = ?").bind(gone).run();
    const enabled = [await newAccount(merchant), await newAccount(other, { provider: "mollie" })];
    const not = [await newAccount(merchant, { disabledAt: 1 }), await newAccount(gone)];
    expect(await start()).toBe(2);
    const runs = await runsOf([...enabled, ...not]);
    expect(runs).toMatchObject(
      enabled.map((account_id) => {
        return { account_id, from_at: NOW - 7 * DAY_MS, to_at: NOW, source: "service", state: "running" };
      }),
    );
    const meter = meterD1(env.DB);
    for (const { id } of runs) await end(id, "done");
    expect([await start(NOW + DAY_MS - 1, meter.db), meter.trips]).toEqual([0, 1]);
    expect(await start(NOW + DAY_MS)).toBe(2);
  });

  it("goes from a day before the end of the last run that is done, whatever has failed since", async () => {
    const account = await newAccount(await newMerchant());
    const days = async (day: number, state: "done" | "failed") => {
      expect(await start(NOW + day * DAY_MS)).toBe(1);
      const run = (await runsOf([account])).at(-1);
      await end(run?.id ?? 0, state);
      return [((run?.from_at ?? 0) - NOW) / DAY_MS, ((run?.to_at ?? 0) - NOW) / DAY_MS];
    };
    expect(await days(0, "done")).toEqual([-7, 0]);
    expect(await days(1, "failed")).toEqual([-1, 1]);
    expect(await days(2, "done")).toEqual([-1, 2]);
    expect(await days(3, "done")).toEqual([1, 3]);
    // What has failed for months is not made up for in one run.
    expect(await days(60, "done")).toEqual([29, 60]);
  });

  it("leaves an account alone whose run is under way", async () => {
    const account = await newAccount(await newMerchant());
    await start();
    expect(await start(NOW + DAY_MS)).toBe(0);
    expect((await runsOf([account])).length).toBe(1);
  });

  it("goes on from step to step, a hundred accounts each", async () => {
    const merchant = await newMerchant();
    const accounts: number[] = [];
    for (let made = 0; made < 201; made++) accounts.push(await newAccount(merchant));
    expect([await start(), await start(), await start(), await start()]).toEqual([100, 100, 1, 0]);
    expect((await runsOf(accounts)).length).toBe(201);
  });

  it("begins one run of an account, where it is done twice, or an answer of D1 is lost", async () => {
    const accounts = [await newAccount(await newMerchant()), await newAccount(await newMerchant())];
    await Promise.all([start(), start()]);
    expect((await runsOf(accounts)).length).toBe(2);
    for (let lost = 1; lost <= 2; lost++) {
      await env.DB.prepare("DELETE FROM job_positions").run();
      await env.DB.prepare("DELETE FROM reconciliation_runs").run();
      await start(NOW, losesNth(env.DB, lost));
      expect((await runsOf(accounts)).length).toBe(2);
    }
  });

  it("has three statements of D1", async () => {
    await newAccount(await newMerchant());
    let statements = 0;
    await start(
      NOW,
      instrumentD1(env.DB, async (roundTrip) => {
        const answer = await roundTrip();
        statements += [answer].flat().length;
        return answer;
      }),
    );
    expect(statements).toBe(3);
  });
});
