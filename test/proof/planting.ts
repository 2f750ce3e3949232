/** Plants the defects, one after the other, in a copy of the project, and sees whether the tests notice. */
import { DEFECTS, type Defect, plant } from "./defects.ts";
import { inCopy, type RunResult, runTests, withChange } from "./test-run.ts";

export const WORKER_TESTS = "test/worker/";
const RUN_WITHIN_MS = 600_000;

/** Arguments of vitest, and what they run is called. */
type Suite = readonly [name: string, args: readonly string[]];

/** Tests that are quick come first; the first that fails has caught the defect. */
const SUITES: readonly Suite[] = [
  [
    "unit and simulation",
    [
      "--project",
      "unit",
      "--project",
      "proof",
      "unit/",
      "model.test",
      "histories.test",
      "keys.test",
      "permutations.test",
      "proof/webhooks.test",
    ],
  ],
  ["payments at the sandbox", ["--project", "proof", "proof/operations.test"]],
  ["worker", ["--project", "worker"]],
];

const KILLS: Suite = ["kills at the sandbox", ["--project", "proof", "proof/operation-kills.test"]];

/** The tests for a defect, the likeliest to notice it first. */
function suitesFor({ noticedBy, isOfProcesses }: Defect): readonly Suite[] {
  if (isOfProcesses) return [KILLS, ...SUITES];
  return noticedBy === undefined ? SUITES : [["worker", ["--project", "worker", WORKER_TESTS + noticedBy]], ...SUITES];
}

export interface Verdict {
  readonly defect: Defect;
  /** The suite and the test that noticed; null when the defect survived. */
  readonly caughtBy: string | null;
}

/**
 * Plants each defect in a copy of the project and runs the tests there.
 *
 * @param report receives each verdict as it falls
 * @throws Error when the tests do not pass without a defect, when a defect's text does not stand in its file
 *   exactly once, and, at the end, when the tests did not run with a defect: then nothing was tried
 */
export async function plantDefects(
  report: (verdict: Verdict) => void,
  defects: readonly Defect[] = DEFECTS,
): Promise<readonly Verdict[]> {
  return inCopy(async (copy) => {
    // A test that fails without a defect would catch every one.
    const controls = new Map([...SUITES, ...defects.flatMap(suitesFor)].map((suite) => [suite[1].join(" "), suite[1]]));
    for (const [name, args] of controls) {
      const result = await runTests(copy, args, RUN_WITHIN_MS);
      if (result.tag !== "passed") throw new Error(`Without a defect, ${name}: ${result.what}`);
    }

    const verdicts: Verdict[] = [];
    const broken: string[] = [];
    for (const defect of defects) {
      const result = await withChange(
        copy,
        defect.file,
        (sound) => plant(defect, sound),
        () => firstToNotice(copy, suitesFor(defect)),
      );
      if (result.tag === "broken" || result.tag === "hung") {
        broken.push(`${defect.breaks}: ${result.what}`);
        continue;
      }
      const verdict = { defect, caughtBy: result.tag === "passed" ? null : result.what };
      verdicts.push(verdict);
      report(verdict);
    }
    if (broken.length > 0) throw new Error(`The tests do not run with a defect:\n${broken.join("\n")}`);
    return verdicts;
  });
}

/** A suite that only hangs says nothing, and the next one may. */
async function firstToNotice(copy: string, suites: readonly Suite[]): Promise<RunResult> {
  let silent: RunResult = { tag: "passed" };
  for (const [name, args] of suites) {
    const result = await runTests(copy, args, RUN_WITHIN_MS);
    if (result.tag === "passed") continue;
    silent = { ...result, what: `${name}: ${result.what}` };
    if (result.tag !== "hung") break;
  }
  return silent;
}
