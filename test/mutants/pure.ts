/** Mutants of the pure modules, by Stryker, against the unit tests of their room. */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import EXPLAINED from "./survivors.json" with { type: "json" };

const PROJECT = path.join(import.meta.dirname, "../..");
const STRYKER = path.join(import.meta.dirname, "node_modules/@stryker-mutator/core/bin/stryker.js");
const REPORT = path.join(PROJECT, ".wrangler/mutants.json");

/** By room: their tests are what a mutant in it is run against. */
export const PURE_MODULES: Readonly<Record<string, readonly string[]>> = {
  auth: ["api-key.ts"],
  http: ["cursors.ts", "etag.ts", "exact-json.ts", "pages.ts"],
  money: ["currency.ts", "money.ts"],
  operation: ["classify.ts"],
  payment: ["lifecycle.ts"],
  storage: ["idempotency.ts", "object-name.ts", "sql.ts"],
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

/**
 * Runs Stryker on the pure modules of a room. What it found is remembered while neither they nor their tests change, so
 * that a run that was broken off goes on where it was.
 */
export function mutatePureModules(room: string, fresh: boolean): Score[] {
  const files = (PURE_MODULES[room] ?? []).map((file) => `src/${room}/${file}`);
  const digest = digestOf([...files, ...testsOf(room)]);
  const remembered = path.join(PROJECT, `.wrangler/mutants-${room}.json`);
  if (!fresh && existsSync(remembered)) {
    const before: Remembered = JSON.parse(readFileSync(remembered, "utf8"));
    if (before.digest === digest) return scoresOf(before.report);
  }
  rmSync(REPORT, { force: true });
  const configuration = path.join(import.meta.dirname, "stryker.config.json");
  const directory = mkdtempSync(path.join(tmpdir(), "payments-stryker-"));
  try {
    spawnSync(process.execPath, [STRYKER, "run", configuration, "--mutate", files.join(",")], {
      cwd: PROJECT,
      env: { ...process.env, MUTANTS_ROOM: room, TMPDIR: directory },
      stdio: "inherit",
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  if (!existsSync(REPORT)) throw new Error(`Stryker has tried nothing of ${room}`);
  const report: StrykerReport = JSON.parse(readFileSync(REPORT, "utf8"));
  writeFileSync(remembered, JSON.stringify({ digest, report } satisfies Remembered));
  return scoresOf(report);
}

interface Remembered {
  readonly digest: string;
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
