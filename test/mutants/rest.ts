/** Mutants in the text of all that is not pure, each against the tests of its room, within a time limit. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { inCopy, PROJECT, type RunResult, runTests, withChange } from "../proof/test-run.ts";
import { PURE_MODULES } from "./pure.ts";
import { draw, lineOf, type Mutant, mutantsOf, mutate } from "./textual.ts";

/** A room's tests take less than a minute on an idle machine. */
const RUN_WITHIN_MS = 240_000;
const PROGRESS = path.join(PROJECT, ".wrangler/textual-mutants.json");

/** What is a table for documents or for the compiler, and said again in the answers that other tests read. */
const NOT_MUTATED = /(tables|schemas|problem-kinds|responses|messages)\.ts$/;

const node = (...tests: string[]) => ["--project", "unit", "--project", "proof", ...tests];
const worker = (...tests: string[]) => ["--project", "worker", ...tests.map((test) => `test/worker/${test}`)];

/** The tests of each room: what runs on Node comes first, for it is quick. */
const TESTS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  account: [worker("account", "auth/access", "auth/slow-body")],
  auth: [node("unit/auth", "proof/keys"), worker("auth", "account")],
  dashboard: [worker("dashboard")],
  http: [node("unit/http"), worker("http", "payment/conditional", "payment/finding", "payment/idempotency")],
  jobs: [worker("jobs", "webhook/sweep")],
  outbox: [node("proof/webhooks.test"), worker("webhook", "auth/access")],
  operation: [node("unit/operation", "proof/histories", "sequential.model"), worker("payment", "auth/access")],
  payment: [node("unit/payment", "proof/histories", "sequential.model"), worker("payment", "auth/access")],
  provider: [node("unit/provider", "unit/operation"), worker("sandbox")],
  reconciliation: [node("unit/reconciliation"), worker("reconciliation", "auth/access")],
  sandbox: [node("unit/sandbox", "unit/provider"), worker("sandbox")],
  service: [worker("service", "http", "auth/access")],
  statistics: [node("unit/statistics"), worker("statistics", "jobs/totals")],
  storage: [node("unit/storage", "proof/histories"), worker("storage", "payment", "http/log", "jobs")],
  webhook: [node("unit/webhook", "proof/webhooks.test"), worker("webhook", "auth/access")],
  // The files that lie above the rooms.
  top: [worker("http", "auth", "webhook/sweep", "webhook/outages", "jobs", "payment/cost")],
};

/** Fewer simulated runs than elsewhere: most mutants fail in the first. */
const ENVIRONMENT = { PROOF_HISTORIES: "500", PROOF_WEBHOOK_RUNS: "100", PROOF_MODEL_SEEDS: "100" };

export interface Tried extends Verdict {
  readonly id: string;
  readonly room: string;
  readonly file: string;
  readonly kind: string;
  readonly line: number;
  readonly from: string;
  readonly to: string;
}
interface Verdict {
  readonly tag: RunResult["tag"];
  readonly what: string;
}

const roomOf = (file: string) => (file.split("/").length > 2 ? (file.split("/")[1] ?? "top") : "top");

/** Every textual mutant that can be drawn. */
export function allMutants(): Mutant[] {
  const pure = new Set(
    Object.entries(PURE_MODULES).flatMap(([room, files]) => files.map((file) => `src/${room}/${file}`)),
  );
  return readdirSync(path.join(PROJECT, "src"), { recursive: true, encoding: "utf8" })
    .map((file) => `src/${file}`)
    .filter((file) => file.endsWith(".ts") && !pure.has(file) && !NOT_MUTATED.test(file))
    .sort()
    .flatMap((file) => mutantsOf(file, readFileSync(path.join(PROJECT, file), "utf8")));
}

/** Rooms of which mutants are drawn, and no test is run: all of them would survive. */
export const roomsWithoutTests = (): string[] =>
  [...new Set(allMutants().map(({ file }) => roomOf(file)))].filter((room) => !Object.hasOwn(TESTS, room));

/** What was tried, and the rooms of which nothing was, since their tests fail without a mutant too: each with what failed. */
export interface Trial {
  readonly tried: readonly Tried[];
  readonly unsound: ReadonlyMap<string, string>;
}

/**
 * Tries so many mutants that a seed draws, in turn from each room, or those of them that are in one. What was noticed before
 * is remembered, as long as the mutated file is the same, so that a run that was broken off goes on where it was.
 */
export async function tryTextualMutants(
  { count, seed, room: only }: { count: number; seed: number; room: string | undefined },
  fresh: boolean,
): Promise<Trial> {
  const drawn = draw(allMutants(), roomOf, count, seed).filter(
    ({ file }) => only === undefined || roomOf(file) === only,
  );
  // What survived is tried again: the tests may be others.
  const settled = fresh ? [] : progress().filter(({ tag }) => tag === "noticed" || tag === "broken");
  const known = new Map(settled.map((tried) => [tried.id, tried]));
  return inCopy(async (copy) => {
    const tried: Tried[] = [];
    const faults = new Map<string, string | null>();
    for (const mutant of drawn) {
      const text = readFileSync(path.join(copy, mutant.file), "utf8");
      const room = roomOf(mutant.file);
      const id = createHash("sha256")
        .update(JSON.stringify([mutant, text]))
        .digest("hex")
        .slice(0, 16);
      const before = known.get(id);
      if (!before && !faults.has(room))
        faults.set(room, await faultOf(room, (args) => runTests(copy, args, 2 * RUN_WITHIN_MS, ENVIRONMENT)));
      if (!before && faults.get(room) !== null) continue;
      const verdict = before ?? {
        ...lineOf(mutant, text),
        ...(await tryMutant(copy, mutant, room)),
        id,
        room,
        file: mutant.file,
        kind: mutant.kind,
      };
      tried.push(verdict);
      if (before) continue;
      known.set(id, verdict);
      mkdirSync(path.dirname(PROGRESS), { recursive: true });
      writeFileSync(PROGRESS, JSON.stringify([...known.values()], null, 1));
      console.log(
        `${tried.length}/${drawn.length} ${verdict.tag}: ${mutant.file}:${verdict.line} ${verdict.from} → ${verdict.to}`,
      );
    }
    const unsound = [...faults].flatMap(([room, what]) => (what === null ? [] : [[room, what] as const]));
    return { tried, unsound: new Map(unsound) };
  });
}

/**
 * What fails of a room's tests without a mutant, and would notice every one; null when nothing does. A machine that other work
 * keeps busy has a second try.
 */
export async function faultOf(
  room: string,
  run: (args: readonly string[]) => Promise<RunResult>,
): Promise<string | null> {
  for (const args of TESTS[room] ?? []) {
    const first = await run(args);
    if (first.tag === "passed") continue;
    console.log(`Without a mutant, ${room}: ${first.what}. Its tests are run once more`);
    const second = await run(args);
    if (second.tag !== "passed") return second.what;
  }
  return null;
}

async function tryMutant(copy: string, mutant: Mutant, room: string): Promise<Verdict> {
  const suites = TESTS[room] ?? [];
  return withChange(
    copy,
    mutant.file,
    (text) => mutate(mutant, text),
    async () => {
      let silent: Verdict = { tag: "passed", what: "" };
      for (const args of suites) {
        const result = await runTests(copy, args, RUN_WITHIN_MS, ENVIRONMENT);
        if (result.tag === "passed") continue;
        silent = result;
        // Tests that only hang, and a file that does not load, say nothing; the next suite may.
        if (result.tag === "noticed") break;
      }
      return silent;
    },
  );
}

function progress(): readonly Tried[] {
  return existsSync(PROGRESS) ? JSON.parse(readFileSync(PROGRESS, "utf8")) : [];
}
