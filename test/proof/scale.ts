/**
 * How much a run of the proof tries. `npm test` runs the short version; test/proof/run.ts says otherwise
 * in the environment, and replays one seed.
 */
export const SCALE = {
  /** Seeds of the model, sequential and concurrent each. */
  modelSeeds: number("PROOF_MODEL_SEEDS", 100),
  /** The model's seed; by chance when nothing is said. */
  modelSeed: optional("PROOF_MODEL_SEED"),
  histories: number("PROOF_HISTORIES", 500),
  httpHistories: number("PROOF_HTTP_HISTORIES", 50),
  webhookRuns: number("PROOF_WEBHOOK_RUNS", 100),
  /** Histories at a provider, each heard of in an order of its own. */
  providerPermutations: number("PROOF_PROVIDER_PERMUTATIONS", 5_000),
  /** Histories of payments at the sandbox. */
  operationHistories: number("PROOF_OPERATION_HISTORIES", 2_000),
  /** Kills under payments at the sandbox, the payments that they are spread over at least, and in how many rounds. */
  operationKills: number("PROOF_OPERATION_KILLS", 3),
  killedPayments: number("PROOF_KILLED_PAYMENTS", 40),
  operationKillsRounds: number("PROOF_OPERATION_KILLS_ROUNDS", 1),
  /** By chance when nothing is said. */
  operationKillsSeed: optional("PROOF_OPERATION_KILLS_SEED"),
  /** Where the seeds of the histories begin, so that several processes can share the work. */
  firstSeed: number("PROOF_FIRST_SEED", 1),
};

/** What a failing run printed, to run it again alone. */
export const REPLAY = {
  history: optional("PROOF_REPLAY_HISTORY"),
  http: optional("PROOF_REPLAY_HTTP"),
  webhooks: optional("PROOF_REPLAY_WEBHOOKS"),
  model: optional("PROOF_REPLAY_MODEL"),
  permutations: optional("PROOF_REPLAY_PERMUTATIONS"),
  operations: optional("PROOF_REPLAY_OPERATIONS"),
  property: process.env.PROOF_REPLAY_PROPERTY,
  path: process.env.PROOF_REPLAY_PATH,
};

/** Prints figures for test/proof/run.ts to add up, when it asks for them. */
export function report(figures: Readonly<Record<string, number>>): void {
  if (process.env.PROOF_REPORT !== undefined) console.log(`PROOF ${JSON.stringify(figures)}`);
}

function number(name: string, short: number): number {
  return optional(name) ?? short;
}

function optional(name: string): number | undefined {
  const value = process.env[name];
  return value === undefined ? undefined : Number(value);
}
