import { afterAll, beforeAll, expect, it } from "vitest";
import { SECRETS_KEYS } from "../../bench/seed";
import { type BuiltKills, buildKills, runOperationKills } from "./operation-kills";
import { TOKENS } from "./operation-kills-writer";
import { PORTS } from "./ports";
import { report, SCALE } from "./scale";

/** So many kills find everything that a kill can find. */
const MANY_KILLS = 100;

let built: BuiltKills;
// Apart from the test: what cannot be built has not been noticed by it.
beforeAll(async () => {
  built = await buildKills();
}, 240_000);
afterAll(() => built.remove());

it("moves money once at the sandbox, and has a row for it, when it is killed and answers are lost", {
  timeout: 3_600_000,
}, async () => {
  const { operationKills: kills, operationKillsSeed, killedPayments, operationKillsRounds: rounds } = SCALE;
  const seed = operationKillsSeed ?? Math.floor(Math.random() * 2 ** 31);
  console.log(`Seed ${seed}: ${kills} kills, ${killedPayments} payments or more`);
  const { figures, tokens, findings } = await runOperationKills(built, {
    ...{ kills, payments: killedPayments, rounds, seed, port: PORTS.operationKills, secrets: SECRETS_KEYS },
    report: console.log,
  });
  report({ ...prefixed(figures), operationKillFindings: findings.length });
  expect(findings.join("\n"), `Seed ${seed}`).toBe("");
  expect(figures.kills).toBe(kills);
  expect(figures.payments).toBeGreaterThanOrEqual(killedPayments);
  // Had nothing been under way, and nothing been lost, this would have shown nothing.
  const { requestLost, requestLate, answerLost, unknown, replays, effects, succeeded } = figures;
  expect(requestLost + requestLate + answerLost).toBeGreaterThan(0);
  expect(Math.min(unknown, replays, effects, succeeded)).toBeGreaterThan(0);
  if (kills < MANY_KILLS) return;
  // No person has to look at anything, as long as the two agree.
  const { items: _, ...found } = figures;
  for (const [name, times] of Object.entries(found)) expect(times, name).toBeGreaterThan(0);
  expect([...tokens].sort()).toEqual([...new Set(TOKENS)].sort());
});

function prefixed(figures: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(figures).map(([name, times]) => [`${name} / operation kills`, times]));
}
