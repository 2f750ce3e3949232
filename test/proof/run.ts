/**
 * `npm run proof`: the long version of every test of faults, and its figures, written to
 * bench/RESULTS.md. With --replay-history SEED, --replay-http SEED, --replay-webhooks SEED,
 * --replay-operations SEED, --replay-permutations SEED [--path PATH] or --replay-model SEED [--property NAME] [--path PATH] it runs only that; with
 * --only PART (simulation, permutations, operations, operation-kills, http, kills, webhooks, regressions, defects) only that part.
 */
import { spawn } from "node:child_process";
import path from "node:path";
import { parseArgs } from "node:util";
import { record, table } from "../../bench/results.ts";
import { runKills } from "./kills.ts";
import { plantDefects } from "./planting.ts";
import { meaningless, SEEDS } from "./regressions.ts";
import { runWebhookKills } from "./webhook-kills.ts";

const PROJECT = path.join(import.meta.dirname, "../..");
/** Two cores: two processes share the simulated histories. */
const PROCESSES = 2;
const FULL = {
  modelSeeds: 20_000,
  histories: 200_000,
  providerPermutations: 500_000,
  operationHistories: 200_000,
  faults: 100_000,
  httpHistories: 10_000,
  kills: 200,
  killWrites: 20_000,
  operationKills: 200,
  killedPayments: 5_000,
  /** Each begins with nothing stored: what is judged at its end stays small. */
  operationKillsRounds: 8,
  webhookRuns: 20_000,
  webhookKills: 100,
};

const KILLS_PORT = 18_851;
const WEBHOOK_KILLS_PORT = 18_861;

const { values: options } = parseArgs({
  options: {
    "replay-history": { type: "string" },
    "replay-http": { type: "string" },
    "replay-model": { type: "string" },
    "replay-operations": { type: "string" },
    "replay-permutations": { type: "string" },
    "replay-webhooks": { type: "string" },
    property: { type: "string" },
    path: { type: "string" },
    seed: { type: "string" },
    only: { type: "string", multiple: true },
  },
});

type Figures = Record<string, number>;

/** What the tests that failed found; each is published before it fails this run. */
const failures: string[] = [];

/** Runs test files of the proof with this environment and adds up the figures that they report. */
async function vitest(files: readonly string[], env: Record<string, string>): Promise<Figures> {
  const program = path.join(PROJECT, "node_modules/vitest/vitest.mjs");
  const child = spawn(process.execPath, [program, "run", "--project", "proof", "--silent=false", ...files], {
    cwd: PROJECT,
    env: { ...process.env, PROOF_REPORT: "1", ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const figures: Figures = {};
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    process.stdout.write(text);
    output += text;
  });
  const code = await new Promise((resolve) => child.on("exit", resolve));
  for (const [, json = "{}"] of output.matchAll(/PROOF (\{.*\})/g)) add(figures, JSON.parse(json));
  if (code !== 0) failures.push(`A test of ${files.join(", ")} fails; its seed is above`);
  return figures;
}

/** Notes what was tried less often than it has to be. */
function atLeast(tried: Readonly<Record<string, readonly [times: number, target: number]>>): void {
  for (const [what, [times, target]] of Object.entries(tried)) {
    if (times < target) failures.push(`${what}: ${times}, and not ${target}`);
  }
}

function endIfFailed(): void {
  if (failures.length > 0) throw new Error(failures.join("\n"));
}

function add(sum: Figures, more: Figures): void {
  for (const [name, value] of Object.entries(more)) sum[name] = (sum[name] ?? 0) + value;
}

const REPLAYS = {
  "replay-history": "histories.test",
  "replay-http": "http.test",
  "replay-model": "model.test",
  "replay-operations": "operations.test",
  "replay-permutations": "permutations.test",
  "replay-webhooks": "webhooks.test",
} as const;
for (const [option, file] of Object.entries(REPLAYS)) {
  const replayed = options[option as keyof typeof REPLAYS];
  if (replayed === undefined) continue;
  await vitest([`proof/${file}`], {
    [`PROOF_${option.replace("-", "_").toUpperCase()}`]: replayed,
    ...(options.property !== undefined && { PROOF_REPLAY_PROPERTY: options.property }),
    ...(options.path !== undefined && { PROOF_REPLAY_PATH: options.path }),
  });
  endIfFailed();
  process.exit(0);
}

const wanted = (part: string) => options.only === undefined || options.only.includes(part);
const seed = options.seed === undefined ? Math.trunc(Math.random() * 1_000_000) * 1_000 + 1 : Number(options.seed);
const started = Date.now();
console.log(`Seed ${seed}; the same again: npm run proof -- --seed ${seed}`);

if (wanted("simulation")) {
  const share = FULL.histories / PROCESSES;
  const shares = Array.from({ length: PROCESSES }, (_, index) =>
    vitest(["histories.test"], { PROOF_HISTORIES: String(share), PROOF_FIRST_SEED: String(seed + index * share) }),
  );
  const figures: Figures = {};
  for (const part of await Promise.all(shares)) add(figures, part);
  add(
    figures,
    await vitest(["model.test"], { PROOF_MODEL_SEEDS: String(FULL.modelSeeds), PROOF_MODEL_SEED: String(seed) }),
  );
  const {
    violations = 0,
    sequentialModelViolations = 0,
    concurrentModelViolations = 0,
    histories = 0,
    calls = 0,
    unknown = 0,
    faults = 0,
    sequentialModelSeeds = 0,
    concurrentModelSeeds = 0,
  } = figures;
  const strikes = (ending: string) =>
    Object.entries(figures).flatMap(([name, times]): [string, number][] =>
      name.endsWith(ending) ? [[name.slice(0, -ending.length), times]] : [],
    );
  const writes = new Map(strikes(" / payment write"));
  const others = new Map(strikes(" / other"));
  const classes = [...new Set([...writes.keys(), ...others.keys()])].sort();
  record(
    "Proof: the model and injected faults",
    "npm run proof",
    `Seed ${seed}. The real app, object and SQL on a simulated platform, one seed a history; see test/proof.\n\n${table(
      [
        ["what", "tried", "target", "lost, doubled, contradicted"],
        ["seeds of the model, sequential", sequentialModelSeeds, FULL.modelSeeds, sequentialModelViolations],
        ["seeds of the model, concurrent", concurrentModelSeeds, FULL.modelSeeds, concurrentModelViolations],
        ["histories checked in process", histories, FULL.histories, violations],
        ["calls in them", calls, "", ""],
        ["of these, of unknown outcome until retried", unknown, "", ""],
        ["faults injected", faults, FULL.faults, violations],
      ],
    )}\n\n${table([
      ["class of fault", "struck writes of payments", "struck other calls"],
      ...classes.map((name) => [name, writes.get(name) ?? 0, others.get(name) ?? 0]),
    ])}`,
  );
  atLeast({
    "seeds of the model, sequential": [sequentialModelSeeds, FULL.modelSeeds],
    "seeds of the model, concurrent": [concurrentModelSeeds, FULL.modelSeeds],
    histories: [histories, FULL.histories],
    faults: [faults, FULL.faults],
  });
  endIfFailed();
}

if (wanted("permutations")) {
  const share = FULL.providerPermutations / PROCESSES;
  const shares = Array.from({ length: PROCESSES }, (_, index) =>
    vitest(["permutations.test"], {
      PROOF_PROVIDER_PERMUTATIONS: String(share),
      PROOF_MODEL_SEED: String(seed + index),
    }),
  );
  const figures: Figures = {};
  for (const part of await Promise.all(shares)) add(figures, part);
  const { permutations = 0, permutationDeliveries = 0, permutationStale = 0, permutationInterrupted = 0 } = figures;
  const { permutationAdopted = 0, permutationFailedLater = 0, permutationDisputes = 0, permutationItems = 0 } = figures;
  const { permutationViolations = 0 } = figures;
  record(
    "Proof: what a provider says, in any order",
    "npm run proof",
    `Seed ${seed}. A random history at a provider, heard of through snapshots of random moments, in any subset, order and
number, some of them reduced in part only, and the newest one at last. The end is the same as with the newest one alone, its
sums are the provider's or an item is open, and no step on the way is one that the contract does not know.\n\n${table([
      ["what", "tried", "target", "another end, or a forbidden step"],
      ["histories, each in an order of its own", permutations, FULL.providerPermutations, permutationViolations],
      ["snapshots heard before the newest one", permutationDeliveries, "", ""],
      ["of these, stale", permutationStale, "", ""],
      ["of these, reduced in part", permutationInterrupted, "", ""],
      ["refunds that somebody made at the provider", permutationAdopted, "", ""],
      ["histories in which a refund fails that had succeeded", permutationFailedLater, "", ""],
      ["disputes", permutationDisputes, "", ""],
      ["items that a person has to look at", permutationItems, "", ""],
    ])}`,
  );
  atLeast({ "permutations of a provider's history": [permutations, FULL.providerPermutations] });
  endIfFailed();
}

if (wanted("operations")) {
  const share = FULL.operationHistories / PROCESSES;
  const shares = Array.from({ length: PROCESSES }, (_, index) =>
    vitest(["operations.test"], {
      PROOF_OPERATION_HISTORIES: String(share),
      PROOF_FIRST_SEED: String(seed + index * share),
    }),
  );
  const figures: Figures = {};
  for (const part of await Promise.all(shares)) add(figures, part);
  const { operationHistories = 0, operationCalls = 0, operationViolations = 0 } = figures;
  const { operations = 0, operationsDone = 0, operationItems = 0, providerEffects = 0 } = figures;
  const { operationsForOneOrder = 0, operationsInTheWay = 0, operationsTold = 0 } = figures;
  const { operationLeaps = 0, operationsGivenUp = 0, operationsAgain = 0 } = figures;
  const struck = Object.entries(figures).flatMap(([name, times]): [string, number][] =>
    name.endsWith(" / operations") ? [[name.slice(0, -" / operations".length), times]] : [],
  );
  record(
    "Proof: payments at a provider",
    "npm run proof",
    `Seed ${seed}. The real app, object, SQL and sandbox on a simulated platform. Shops and payers ask at once, under random tokens
of all that the sandbox has; faults strike D1, objects, alarms, the sweep, the way to the provider and its notifications. Then
the faults end, days go by, and our rows are held against the sandbox's own ledger: the invariants of the contract. A quarter of the
histories have payments of one order, of which one may be live or paid; a quarter has hours or days in which nothing runs; a quarter
has a webhook endpoint, under faults of its own, which must receive every event, a payment's in order.\n\n${table([
      ["what", "tried", "target", "without a row, doubled, of another amount, or untrue"],
      ["histories", operationHistories, FULL.operationHistories, operationViolations],
      ["calls in them", operationCalls, "", ""],
      ["operations that were asked for", operations, "", ""],
      ["of these, done", operationsDone, "", ""],
      ["movements of money in the sandbox's ledger", providerEffects, "", operationViolations],
      ["items that a person has to look at", operationItems, "", ""],
      ["histories with payments of one order", operationsForOneOrder, "", ""],
      ["calls that were refused for another payment of it", operationsInTheWay, "", ""],
      ["times of hours or days in which nothing ran", operationLeaps, "", ""],
      [
        "operations that stay unknown, since the provider's keys were over and it does not have them",
        operationsGivenUp,
        "",
        "",
      ],
      ["histories that a webhook endpoint was told of", operationsTold, "", ""],
      ["other histories, played twice and heard of otherwise", operationsAgain, "", ""],
    ])}\n\n${table([["class of fault", "struck"], ...struck.sort()])}`,
  );
  atLeast({ "histories of payments at a provider": [operationHistories, FULL.operationHistories] });
  endIfFailed();
}

if (wanted("operation-kills")) {
  const figures = await vitest(["operation-kills.test"], {
    PROOF_OPERATION_KILLS: String(FULL.operationKills),
    PROOF_KILLED_PAYMENTS: String(FULL.killedPayments),
    PROOF_OPERATION_KILLS_ROUNDS: String(FULL.operationKillsRounds),
    PROOF_OPERATION_KILLS_SEED: String(seed),
  });
  const { operationKillFindings = 0 } = figures;
  const tried = (name: string) => figures[`${name} / operation kills`] ?? 0;
  record(
    "Proof: kills at a provider",
    "npm run proof",
    `Seed ${seed}. \`kill -9\` of workerd at random moments under 8 shops, state on disk; ${tried("killsOfProvider")} of the kills
took the sandbox with it, which is a process of its own behind a network that loses requests and answers. In the end the network is
whole and the clocks are put ahead until no operation is open; then every row is held against the sandbox's own ledger, and every
answer against the rows.\n\n${table([
      ["what", "tried", "target", "without a row, doubled, of another amount, or untrue"],
      ["kills", tried("kills"), FULL.operationKills, operationKillFindings],
      ["payments through the sandbox", tried("payments"), FULL.killedPayments, operationKillFindings],
      ["operations", tried("operations"), "", ""],
      ["of these, done", tried("succeeded"), "", ""],
      ["found by a kill before they had a name at the provider", tried("killedWithoutName"), "", ""],
      ["found by a kill with one, on their way", tried("killedUnderWay"), "", ""],
      ["found by a kill done at the provider, and not recorded", tried("killedBeforeRecording"), "", ""],
      ["calls of the provider", tried("providerCalls"), "", ""],
      ["of these, requests that were lost", tried("requestLost"), "", ""],
      ["requests that came late, to nobody", tried("requestLate"), "", ""],
      ["answers that were lost", tried("answerLost"), "", ""],
      ["notifications that were lost", tried("notificationsLost"), "", ""],
      ["answers to shops", tried("answers"), "", ""],
      ["requests of theirs of unknown outcome, retried", tried("unknown"), "", ""],
      ["acknowledged requests sent once more", tried("replays"), "", ""],
      ["movements of money in the sandbox's ledger", tried("effects"), "", operationKillFindings],
      ["items that a person has to look at", tried("items"), "", ""],
    ])}`,
  );
  atLeast({
    "kills at a provider": [tried("kills"), FULL.operationKills],
    "payments under kills at a provider": [tried("payments"), FULL.killedPayments],
  });
  endIfFailed();
}

if (wanted("http")) {
  const {
    httpHistories = 0,
    httpCalls = 0,
    httpViolations = 0,
  } = await vitest(["http.test"], {
    PROOF_HTTP_HISTORIES: String(FULL.httpHistories),
    PROOF_FIRST_SEED: String(seed),
  });
  record(
    "Proof: histories over HTTP",
    "npm run proof",
    `Seed ${seed}. The built Worker on workerd.\n\n${table([
      ["what", "tried", "target", "lost, doubled, contradicted"],
      ["histories checked over HTTP", httpHistories, FULL.httpHistories, httpViolations],
      ["calls in them", httpCalls, "", ""],
    ])}`,
  );
  atLeast({ "histories over HTTP": [httpHistories, FULL.httpHistories] });
  endIfFailed();
}

if (wanted("kills")) {
  const outcome = await runKills({
    kills: FULL.kills,
    seed,
    minimumWrites: FULL.killWrites,
    port: KILLS_PORT,
    report: console.log,
  });
  const { lost, doubled, contradicted } = outcome;
  record(
    "Proof: kills",
    "npm run proof",
    `Seed ${seed}. \`kill -9\` of workerd at random moments under 8 writers, state on disk.\n\n${table([
      ["what", "tried", "target"],
      ["kills", outcome.kills, FULL.kills],
      ["acknowledged writes", outcome.acknowledged, FULL.killWrites],
      ["requests of unknown outcome, retried", outcome.unknown, ""],
      ["of these, had happened all the same", outcome.happened, ""],
      ["acknowledged requests sent once more", outcome.replays, ""],
      ["payments", outcome.payments, ""],
      ["lost / doubled / contradicted", `${lost} / ${doubled} / ${contradicted}`, "0 / 0 / 0"],
    ])}`,
  );
  if (lost + doubled + contradicted > 0) throw new Error("The kills broke a promise; the findings are above");
}

if (wanted("webhooks")) {
  const share = FULL.webhookRuns / PROCESSES;
  const shares = Array.from({ length: PROCESSES }, (_, index) =>
    vitest(["proof/webhooks.test"], {
      PROOF_WEBHOOK_RUNS: String(share),
      PROOF_FIRST_SEED: String(seed + index * share),
    }),
  );
  const figures: Figures = {};
  for (const part of await Promise.all(shares)) add(figures, part);
  const { webhookRuns = 0, webhookEvents = 0, webhookDeliveries = 0, webhookRequests = 0 } = figures;
  const { webhookViolations = 0, webhookPauses = 0, webhookDisabled = 0 } = figures;
  const kills = await runWebhookKills({
    kills: FULL.webhookKills,
    seed,
    port: WEBHOOK_KILLS_PORT,
    report: console.log,
  });
  for (const finding of kills.findings) console.log(finding);
  const struck = Object.entries(figures).flatMap(([name, times]): [string, number][] =>
    name.endsWith(" / webhooks") ? [[name.slice(0, -" / webhooks".length), times]] : [],
  );
  const faults = struck.reduce((sum, [, times]) => sum + times, 0);
  record(
    "Proof: webhooks",
    "npm run proof",
    `Seed ${seed}. Missing: an event that an endpoint wants and has not taken. Out of order: one that was sent before the
endpoint had taken the one before it, of the same payment. Wrong: wrongly signed, not as the API tells it, never asked
for, or sent while the merchant was disabled. On the simulated platform, where the queue, the objects and the receivers have faults too:\n\n${table(
      [
        ["what", "tried", "target", "missing, out of order, wrong"],
        ["runs", webhookRuns, FULL.webhookRuns, webhookViolations],
        ["events in them", webhookEvents, "", ""],
        ["deliveries", webhookDeliveries, "", ""],
        ["requests that receivers got", webhookRequests, "", ""],
        ["pauses, while the merchant was disabled", webhookPauses, "", webhookViolations],
        ["endpoints that were gone, of which the others were told", webhookDisabled, "", webhookViolations],
        ["faults of queue, objects and receivers", faults, "", webhookViolations],
      ],
    )}\n\n${table([["class of fault", "struck"], ...struck.sort()])}\n
\`kill -9\` of workerd under 4 writers and 3 endpoints, state on disk; the receivers outlive it. What a kill found open
stood between the commit and the sending, was on its way, or was taken and not recorded:\n\n${table([
      ["what", "tried", "target"],
      ["kills", kills.kills, FULL.webhookKills],
      ["deliveries found between commit and sending", kills.killedBeforeSending, ""],
      ["deliveries found on their way", kills.killedOnTheirWay, ""],
      ["deliveries found between delivery and record", kills.killedBeforeRecording, ""],
      ["events", kills.events, ""],
      ["deliveries", kills.deliveries, ""],
      ["requests that receivers got", kills.requests, ""],
      ["taken once more, known by `webhook-id`", kills.repeated, ""],
      ["missing / out of order / wrong", `${kills.missing} / ${kills.outOfOrder} / ${kills.wrong}`, "0 / 0 / 0"],
    ])}`,
  );
  atLeast({ "runs of webhooks": [webhookRuns, FULL.webhookRuns] });
  if (kills.findings.length > 0) failures.push("The kills broke a promise of webhooks; the findings are above");
  endIfFailed();
}

if (wanted("regressions")) {
  const lost = await meaningless();
  if (lost.length > 0) throw new Error(`${lost.length} of ${SEEDS.length} seeds do not find their defect any more`);
}

if (wanted("defects")) {
  const verdicts = await plantDefects(({ defect, caughtBy }) =>
    console.log(`${caughtBy ? "caught" : "SURVIVED"}: ${defect.breaks}`),
  );
  const survived = verdicts.filter(({ caughtBy }) => caughtBy === null);
  record(
    "Proof: planted defects",
    "npm run proof",
    `${verdicts.length - survived.length} of ${verdicts.length} caught.\n\n${table([
      ["the promise that it breaks", "caught by"],
      ...verdicts.map(({ defect, caughtBy }) => [defect.breaks, caughtBy ?? "**nothing**"]),
    ])}`,
  );
  if (survived.length > 0) throw new Error("A planted defect survived: a hole in the tests");
}

console.log(`All of it in ${Math.round((Date.now() - started) / 60_000)} minutes; see bench/RESULTS.md`);
