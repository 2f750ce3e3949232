/** A copy of the project to change, and the runs of vitest in it. */
import { execFileSync, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

export const PROJECT = path.join(import.meta.dirname, "../..");

/** Runs `work` on a copy of the project as it lies in the working tree, which is removed afterwards. */
export async function inCopy<T>(work: (copy: string) => Promise<T>): Promise<T> {
  const copy = realpathSync(mkdtempSync(path.join(tmpdir(), "payments-copy-")));
  try {
    const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: PROJECT, encoding: "utf8" });
    for (const file of files.trim().split("\n")) {
      // What was deleted and not yet committed is listed, too.
      if (!existsSync(path.join(PROJECT, file))) continue;
      cpSync(path.join(PROJECT, file), path.join(copy, file), { recursive: true });
    }
    symlinkSync(path.join(PROJECT, "node_modules"), path.join(copy, "node_modules"));
    return await work(copy);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** Runs `work` while a file of the copy has another text. */
export async function withChange<T>(
  copy: string,
  file: string,
  change: (sound: string) => string,
  work: () => Promise<T>,
): Promise<T> {
  const target = path.join(copy, file);
  const sound = readFileSync(target, "utf8");
  writeFileSync(target, change(sound));
  try {
    return await work();
  } finally {
    writeFileSync(target, sound);
  }
}

/**
 * What a run of tests tells: all passed, a test noticed the defect, tests only timed out, or the run itself is
 * broken.
 */
export type RunResult =
  | { readonly tag: "passed" }
  | { readonly tag: "noticed" | "hung" | "broken"; readonly what: string };

/** The part of vitest's JSON report that is read. */
export interface Report {
  readonly success: boolean;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly ancestorTitles: readonly string[];
      readonly title: string;
      readonly status: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

/** vitest 5 calls them TestTimeoutError and HookTimeoutError, earlier ones Error. */
const TIMED_OUT = /^\w*Error: (Test|Hook) timed out in /;

/**
 * Reads a run. Only a test that failed has noticed: a file that does not load, a hook, a timeout, a crash or a
 * run without tests says nothing of what the defect breaks.
 *
 * @param exited whether vitest ended with success
 */
export function readRun(directory: string, exited: boolean, { success, testResults }: Report): RunResult {
  const tests = testResults.flatMap(({ name, assertionResults }) =>
    assertionResults.map((test) => {
      const title = [path.relative(directory, name), ...test.ancestorTitles, test.title].join(" > ");
      return { ...test, title };
    }),
  );
  const unloaded = testResults.find(
    ({ status, message, assertionResults }) => status === "failed" && message !== "" && assertionResults.length === 0,
  );
  if (unloaded) return { tag: "broken", what: `${path.relative(directory, unloaded.name)}: ${unloaded.message}` };
  const failed = tests.filter(({ status }) => status === "failed");
  const noticed = failed.find(({ failureMessages }) => failureMessages.some((message) => !TIMED_OUT.test(message)));
  if (noticed) return { tag: "noticed", what: noticed.title };
  if (failed[0]) return { tag: "hung", what: `${failed[0].title}: timed out` };
  if (!tests.some(({ status }) => status === "passed")) return { tag: "broken", what: "no test has run" };
  if (exited && success) return { tag: "passed" };
  const message = testResults.find(({ status }) => status === "failed")?.message;
  return { tag: "broken", what: `no test failed, but the run did: ${message || "an error outside the tests"}` };
}

/** A planted defect may hide longer than `npm test` looks. */
const LONGER = {
  ...{ PROOF_HISTORIES: "1500", PROOF_WEBHOOK_RUNS: "300", PROOF_MODEL_SEEDS: "200" },
  ...{ PROOF_OPERATION_KILLS: "12", PROOF_KILLED_PAYMENTS: "240" },
};

/**
 * Runs tests up to the first that fails.
 *
 * @param within milliseconds; after them the run is ended with all that it has started, and has hung
 */
export async function runTests(
  directory: string,
  args: readonly string[],
  within: number,
  environment: Readonly<Record<string, string>> = LONGER,
): Promise<RunResult> {
  const vitest = path.join(PROJECT, "node_modules/vitest/vitest.mjs");
  const report = path.join(directory, "report.json");
  rmSync(report, { force: true });
  // A group of its own: a vitest that is ended alone leaves its workerd behind.
  const child = spawn(
    process.execPath,
    [vitest, "run", "--bail", "1", "--reporter=json", `--outputFile=${report}`, ...args],
    { cwd: directory, env: { ...process.env, NO_COLOR: "1", ...environment }, stdio: "ignore", detached: true },
  );
  let late = false;
  const end = () => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // All of it has ended.
    }
  };
  const timer = setTimeout(() => {
    late = true;
    end();
  }, within);
  process.once("exit", end);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", resolve);
  });
  clearTimeout(timer);
  end();
  process.removeListener("exit", end);
  if (late) return { tag: "hung", what: `no end within ${within} ms` };
  if (!existsSync(report)) return { tag: "broken", what: `no report: vitest ended with ${code}` };
  return readRun(directory, code === 0, JSON.parse(readFileSync(report, "utf8")));
}
