/** Reads that are begun together go to D1 together. */
import { env } from "cloudflare:workers";
import { expect, it } from "vitest";
import { GatheredDatabase } from "../../../src/storage/gathered";
import { raw, sql } from "../../../src/storage/sql";
import { instrumentD1, meterD1 } from "../d1";

const one = (value: number) => sql`SELECT ${value} AS value`;

function gathered() {
  const meter = meterD1(env.DB);
  return { meter, db: new GatheredDatabase(meter.db) };
}

it("reads that are begun together are one round trip, each with its own rows", async () => {
  const { meter, db } = gathered();
  const [first, second, third] = await Promise.all([
    db.all(one(1)),
    db.batch([one(2), null, sql`WITH two (value) AS (VALUES (3), (4)) SELECT value FROM two`]),
    // What is ready a few turns later is not left behind.
    Promise.resolve()
      .then(() => {})
      .then(() => db.all(one(5))),
  ]);
  expect(first).toEqual([{ value: 1 }]);
  expect(second.rows).toEqual([[{ value: 2 }], [], [{ value: 3 }, { value: 4 }]]);
  expect(third).toEqual([{ value: 5 }]);
  expect(meter.trips).toBe(1);
  expect(db.cost.trips).toBe(1);
  expect(await db.all(one(6))).toEqual([{ value: 6 }]);
  expect(meter.trips).toBe(2);
});

it("reads that are begun together are of one moment", async () => {
  const { db } = gathered();
  const [before, , after] = await Promise.all([
    db.all(sql`SELECT count(*) AS count FROM merchants`),
    db.all(sql`INSERT INTO merchants (name, created_at) VALUES ('meanwhile', 1)`),
    db.all(sql`SELECT count(*) AS count FROM merchants`),
  ]);
  expect(after).toEqual(before);
});

it("what writes goes by itself, at once, and whole", async () => {
  const { meter, db } = gathered();
  await Promise.all([
    db.all(one(1)),
    db.all(sql`UPDATE merchants SET name = name WHERE id = 1`),
    db.batch([one(2), sql`DELETE FROM merchants WHERE id = -1`]),
    db.all(sql`WITH none AS (SELECT 1) INSERT INTO merchants (name, created_at) SELECT 'x', 1 WHERE false`),
  ]);
  expect(meter.trips).toBe(4);
});

it("an error reaches everybody who waits, and nobody who asks after that", async () => {
  const { meter, db } = gathered();
  const asked = [db.all(one(1)), db.batch([one(2)]), db.all(raw("SELECT * FROM nothing"))];
  const settled = await Promise.allSettled(asked);
  expect(settled.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
  expect(meter.trips).toBe(1);
  expect(await db.all(one(3))).toEqual([{ value: 3 }]);
});

it("an outage is tried again for all of them together", async () => {
  let failures = 1;
  let trips = 0;
  const d1 = instrumentD1(env.DB, async (roundTrip) => {
    trips++;
    if (failures-- > 0) throw new Error("D1_ERROR: Network connection lost.");
    return roundTrip();
  });
  const db = new GatheredDatabase(d1);
  const [first, { attempts }] = await Promise.all([db.all(one(1)), db.batch([one(2)])]);
  expect([first, attempts, trips]).toEqual([[{ value: 1 }], 2, 2]);
});
