/**
 * Seeds that once found a defect. What a seed does changes with the code: it means something as long as it
 * finds its defect when that is planted, and `npm run proof -- --only regressions` looks whether it does.
 */
import { DEFECTS, type Defect, plant } from "./defects.ts";
import REGRESSIONS from "./regressions.json" with { type: "json" };
import { inCopy, runTests, withChange } from "./test-run.ts";

const RUN_WITHIN_MS = 120_000;

/** One seed: how it is run alone, and the promise whose breach it finds. */
export interface Regression {
  readonly file: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly finds: string;
}

export const SEEDS: readonly Regression[] = [
  ...REGRESSIONS.histories.map(({ seed, finds }) => {
    return { file: "histories.test", environment: { PROOF_REPLAY_HISTORY: String(seed) }, finds };
  }),
  ...REGRESSIONS.operations.map(({ seed, finds }) => {
    return { file: "proof/operations.test", environment: { PROOF_REPLAY_OPERATIONS: String(seed) }, finds };
  }),
  ...REGRESSIONS.webhooks.map(({ seed, finds }) => {
    return { file: "proof/webhooks.test", environment: { PROOF_REPLAY_WEBHOOKS: String(seed) }, finds };
  }),
  ...REGRESSIONS.model.map(({ property, seed, path, finds }) => ({
    file: `${property}.model.test`,
    environment: {
      PROOF_REPLAY_MODEL: String(seed),
      PROOF_REPLAY_PROPERTY: property,
      PROOF_REPLAY_PATH: path,
    },
    finds,
  })),
];

/** The defect that a seed finds. */
export function defectOf({ finds }: Regression): Defect {
  const defect = DEFECTS.find(({ breaks }) => breaks === finds);
  if (!defect) throw new Error(`There is no planted defect that breaks: ${finds}`);
  return defect;
}

/**
 * Plants the defect of each seed in a copy of the project, and runs the seed there.
 *
 * @returns the seeds that do not find their defect any more; for each, a new one is to be found by planting the
 *   defect and running the test file at length
 */
export async function meaningless(): Promise<readonly Regression[]> {
  return inCopy(async (copy) => {
    const lost: Regression[] = [];
    for (const seed of SEEDS) {
      const defect = defectOf(seed);
      const result = await withChange(
        copy,
        defect.file,
        (sound) => plant(defect, sound),
        () => runTests(copy, ["--project", "proof", seed.file], RUN_WITHIN_MS, seed.environment),
      );
      console.log(`${result.tag}: ${JSON.stringify(seed.environment)}, ${seed.finds}`);
      if (result.tag !== "noticed") lost.push(seed);
    }
    return lost;
  });
}
