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

/** What is known of a module: null where it, or a test of its room, is another one than when Stryker has tried it. */
export interface Known {
  readonly file: string;
  /** The commit at which it was tried, and its score. */
  readonly tried: { readonly revision: string; readonly score: Score } | null;
}

/** How Stryker is run. */
export interface Effort {
  /** How many mutants are tried at once. */
  readonly concurrency: number;
  /** How long a mutant may take, besides what its tests do without it. One that takes longer is taken to go on for ever. */
  readonly patienceMs: number;
}

/** What is remembered of the pure modules. */
export const known = (): Known[] =>
  Object.entries(PURE_MODULES).flatMap(([room, modules]) =>
    modules.map((module) => {
      const file = `src/${room}/${module}`;
      const before = remembered(room, file);
      const [score] = before === null ? [] : scoresOf(before.report);
      return { file, tried: before && score ? { revision: before.revision, score } : null };
    }),
  );

/**
 * Runs Stryker on the pure modules of a room. What it found of a module is remembered while neither it nor its tests change;
 * when they do, Stryker tries again what the change concerns.
 */
export function mutatePureModules(room: string, effort: Effort, fresh: boolean): void {
  const files = (PURE_MODULES[room] ?? [])
    .map((module) => `src/${room}/${module}`)
    .filter((file) => fresh || remembered(room, file) === null);
  if (files.length === 0) return;
  const digests = new Map(files.map((file) => [file, digestOf([file, ...testsOf(room)])]));
  const incremental = memoryOf(room, "stryker.json");
  mkdirSync(path.dirname(incremental), { recursive: true });
  if (fresh) rmSync(incremental, { force: true });
  forgetUnnoticed(incremental);
  // A test that a busy machine has made fail without a mutant has a second try.
  if (!runStryker(room, files, effort, incremental)) {
    console.log(`Stryker has tried nothing of ${room}. It is run once more`);
    if (!runStryker(room, files, effort, incremental)) throw new Error(`Stryker has tried nothing of ${room}`);
  }
  const report: StrykerReport = JSON.parse(readFileSync(REPORT, "utf8"));
  for (const [file, digest] of digests) {
    const tried = report.files[file];
    // A module without a mutant is not in the report.
    const memory: Remembered = { digest, revision: revision(), report: { files: tried ? { [file]: tried } : {} } };
    writeFileSync(memoryOf(file, "json"), JSON.stringify(memory));
  }
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

const memoryOf = (file: string, ending: string) =>
  path.join(PROJECT, ".wrangler/mutants-remembered", `${file.replaceAll("/", "-")}.${ending}`);

function remembered(room: string, file: string): Remembered | null {
  if (!existsSync(memoryOf(file, "json"))) return null;
  const before: Remembered = JSON.parse(readFileSync(memoryOf(file, "json"), "utf8"));
  return before.digest === digestOf([file, ...testsOf(room)]) ? before : null;
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

interface Remembered {
  readonly digest: string;
  readonly revision: string;
  readonly report: StrykerReport;
}

function testsOf(room: string): string[] {
  const folder = `test/unit/${room}`;
  return readdirSync(path.join(PROJECT, folder)).map((file) => `${folder}/${file}`);
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
