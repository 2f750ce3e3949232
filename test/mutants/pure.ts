/** Mutants of the pure modules, by Stryker, against the unit tests of their room. */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { revision } from "../../bench/results.ts";
import EXPLAINED from "./survivors.json" with { type: "json" };

const PROJECT = path.join(import.meta.dirname, "../..");
const STRYKER = path.join(import.meta.dirname, "node_modules/@stryker-mutator/core/bin/stryker.js");
const SCORES = path.join(import.meta.dirname, "scores.json");
const REPORT = path.join(PROJECT, ".wrangler/mutants.json");

/**
 * By room: the modules that need neither a database nor an object, and whose rules the room's unit tests state. A mutant is
 * run against these tests. `provider/failures.ts` is a table of texts alone, which the documents are held to.
 */
export const PURE_MODULES: Readonly<Record<string, readonly string[]>> = {
  auth: ["api-key.ts", "seal.ts", "secret-keys.ts"],
  http: ["cursors.ts", "etag.ts", "exact-json.ts", "pages.ts", "times.ts"],
  money: ["currency.ts", "money.ts"],
  operation: [
    "classify.ts",
    "reducer/backoff.ts",
    "reducer/change.ts",
    "reducer/reduce.ts",
    "reducer/reduce-refunds.ts",
    "reducer/unanswered.ts",
  ],
  payment: ["card-number.ts", "lifecycle.ts", "refund.ts"],
  provider: ["exchange.ts", "sandbox.ts", "sandbox-tokens.ts"],
  reconciliation: ["compare.ts"],
  sandbox: ["actions.ts", "afterwards.ts", "judge.ts", "ledger.ts", "notifications.ts", "tokens.ts", "views.ts"],
  statistics: ["confirm-times.ts", "figures.ts"],
  storage: ["capacity.ts", "idempotency.ts", "object-name.ts", "outage.ts", "sql.ts"],
  webhook: ["schedule.ts", "signal.ts", "signature.ts", "url.ts"],
};

/** A change that no test has noticed, and why none needs to. */
export interface Survivor {
  readonly file: string;
  /** What stood there, and what stands there instead; its first line. */
  readonly from: string;
  readonly to: string;
  /** Null when nobody has explained it. */
  readonly why: string | null;
}

export interface Score {
  readonly file: string;
  readonly killed: number;
  /** Whatever waits for a mutant's answer waits for ever: no test can pass. */
  readonly timedOut: number;
  readonly survivors: readonly Survivor[];
}

interface StrykerReport {
  readonly files: Readonly<
    Record<
      string,
      {
        readonly source: string;
        readonly mutants: readonly {
          readonly status: string;
          readonly replacement: string;
          readonly location: Readonly<Record<"start" | "end", { readonly line: number; readonly column: number }>>;
        }[];
      }
    >
  >;
}

/** Installs Stryker, which nothing else needs, in this folder. */
export function installStryker(): void {
  if (existsSync(STRYKER)) return;
  execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: import.meta.dirname, stdio: "inherit" });
}

/** How Stryker is run. */
export interface Effort {
  /** How many mutants are tried at once. */
  readonly concurrency: number;
  /** How long a mutant may take, besides what its tests do without it. One that takes longer is taken to go on for ever. */
  readonly patienceMs: number;
}

/** A score as it is kept in scores.json, so that every clone has it: what survived without its reason, which may be found later. */
interface KeptScore extends Omit<Score, "survivors"> {
  /** The commit at which the module was tried. */
  readonly revision: string;
  /** Of the module and of its room's tests, as they were. */
  readonly digest: string;
  readonly survivors: readonly Pick<Survivor, "from" | "to">[];
}

/** What is known of a pure module. */
export interface Known {
  readonly file: string;
  /** Null where it was never tried. */
  readonly tried: { readonly revision: string; readonly score: Score; readonly isCurrent: boolean } | null;
}

/** What is known of all pure modules: a score is current while neither its module nor a test of its room has changed. */
export function known(): Known[] {
  const kept = keptScores();
  return Object.entries(PURE_MODULES).flatMap(([room, modules]) =>
    modules.map((module) => {
      const file = `src/${room}/${module}`;
      const score = kept.find((one) => one.file === file);
      if (score === undefined) return { file, tried: null };
      const survivors = score.survivors.map(({ from, to }) => ({ file, from, to, why: explanation(file, from, to) }));
      const isCurrent = score.digest === digestOf([file, ...testsOf(room)]);
      return { file, tried: { revision: score.revision, score: { ...score, survivors }, isCurrent } };
    }),
  );
}

const keptScores = (): readonly KeptScore[] => JSON.parse(readFileSync(SCORES, "utf8"));

function keep(scores: readonly KeptScore[]): void {
  const files = new Set(scores.map(({ file }) => file));
  const all = [...keptScores().filter(({ file }) => !files.has(file)), ...scores];
  all.sort((a, b) => (a.file < b.file ? -1 : 1));
  writeFileSync(SCORES, `${JSON.stringify(all, null, 2)}\n`);
}

/**
 * Runs Stryker on those pure modules of a room whose scores are not current. In one working tree, it tries again only what
 * survived or timed out before, and what a change concerns.
 *
 * @param fresh tries all of them, and all of it
 */
export function mutatePureModules(room: string, effort: Effort, fresh: boolean): void {
  const current = new Set(known().flatMap(({ file, tried }) => (tried?.isCurrent ? [file] : [])));
  const files = (PURE_MODULES[room] ?? [])
    .map((module) => `src/${room}/${module}`)
    .filter((file) => fresh || !current.has(file));
  if (files.length === 0) return;
  const digests = new Map(files.map((file) => [file, digestOf([file, ...testsOf(room)])]));
  const incremental = path.join(PROJECT, `.wrangler/mutants-${room}.json`);
  mkdirSync(path.dirname(incremental), { recursive: true });
  if (fresh) rmSync(incremental, { force: true });
  forgetUnnoticed(incremental);
  // A test that a busy machine has made fail without a mutant has a second try.
  if (!runStryker(room, files, effort, incremental)) {
    console.log(`Stryker has tried nothing of ${room}. It is run once more`);
    if (!runStryker(room, files, effort, incremental)) throw new Error(`Stryker has tried nothing of ${room}`);
  }
  const report: StrykerReport = JSON.parse(readFileSync(REPORT, "utf8"));
  keep(
    scoresOf(report).flatMap(({ survivors, ...score }) => {
      const digest = digests.get(score.file);
      const left = survivors.map(({ from, to }) => ({ from, to }));
      return digest === undefined ? [] : { ...score, revision: revision(), digest, survivors: left };
    }),
  );
}

/** What survived, or timed out, is tried again: the tests may be others, and the machine less busy. */
function forgetUnnoticed(incremental: string): void {
  if (!existsSync(incremental)) return;
  const { files, ...rest }: StrykerReport = JSON.parse(readFileSync(incremental, "utf8"));
  const noticed = Object.entries(files).map(([file, { mutants, ...about }]) => {
    return [file, { ...about, mutants: mutants.filter(({ status }) => status === "Killed") }] as const;
  });
  writeFileSync(incremental, JSON.stringify({ ...rest, files: Object.fromEntries(noticed) }));
}

/** Whether Stryker has come to its end, and left a report of the modules. */
function runStryker(
  room: string,
  files: readonly string[],
  { concurrency, patienceMs }: Effort,
  incremental: string,
): boolean {
  rmSync(REPORT, { force: true });
  const configuration = path.join(import.meta.dirname, "stryker.config.json");
  const how = ["--concurrency", String(concurrency), "--timeoutMS", String(patienceMs)];
  const again = ["--incremental", "--incrementalFile", incremental];
  const directory = mkdtempSync(path.join(tmpdir(), "payments-stryker-"));
  try {
    const { status } = spawnSync(
      process.execPath,
      [STRYKER, "run", configuration, "--mutate", files.join(","), ...how, ...again],
      { cwd: PROJECT, env: { ...process.env, MUTANTS_ROOM: room, TMPDIR: directory }, stdio: "inherit" },
    );
    return status === 0 && existsSync(REPORT);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function testsOf(room: string): string[] {
  const folder = `test/unit/${room}`;
  const files = readdirSync(path.join(PROJECT, folder), { recursive: true, encoding: "utf8" });
  return files.filter((file) => file.endsWith(".ts")).map((file) => `${folder}/${file}`);
}

function digestOf(files: readonly string[]): string {
  const hash = createHash("sha256");
  for (const file of files) hash.update(`${file}\n${readFileSync(path.join(PROJECT, file), "utf8")}`);
  return hash.digest("hex");
}

/** What Stryker's report says of each file. Mutants that do not compile count for nothing. */
export function scoresOf({ files }: StrykerReport): Score[] {
  return Object.entries(files).map(([file, { source, mutants }]) => {
    const lines = source.split("\n");
    const count = (status: string) => mutants.filter((mutant) => mutant.status === status).length;
    const survivors = mutants
      .filter(({ status }) => status === "Survived" || status === "NoCoverage")
      .map(({ location: { start, end }, replacement }): Survivor => {
        const line = lines[start.line - 1] ?? "";
        const from = line.slice(start.column - 1, start.line === end.line ? end.column - 1 : undefined).trim();
        const to = replacement.replace(/\s+/g, " ").trim();
        return { file, from, to, why: explanation(file, from, to) };
      });
    return { file, killed: count("Killed"), timedOut: count("Timeout"), survivors };
  });
}

function explanation(file: string, from: string, to: string): string | null {
  return EXPLAINED.find((known) => known.file === file && known.from === from && known.to === to)?.why ?? null;
}
