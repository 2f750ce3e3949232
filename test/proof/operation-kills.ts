/**
 * Kills the service at random moments while payments are made at the sandbox, which is a process of its own behind a network that
 * loses requests and answers; then holds every row against the sandbox's ledger. The built Worker on workerd, its state on
 * disk, `kill -9`.
 */
import { cpSync, existsSync, rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { build, createApiKey, migrate, PROJECT, type Running } from "../../bench/workerd";
import { VIOLATIONS } from "../invariants";
import { until } from "./kills";
import { pick, type Random, seeded, untilHealthy } from "./kills-writer";
import { Processes } from "./operation-kills-processes";
import { Shops } from "./operation-kills-writer";
import {
  ALWAYS_WRONG,
  type Asked,
  type Evidence,
  judgeAnswers,
  judgeEffects,
  judgeEnd,
  judgeSealed,
  readRows,
} from "./operations-judge";

const SHOPS = 8;
/** A kill comes this long after the service is back, in milliseconds. */
const KILL_AFTER = { least: 50, most: 600 };
/** How many of the kills take the provider with them. */
const PROVIDER_TOO = 0.2;
/** The cron of a deployment, more often than there: a run is short. */
const SWEEP_EVERY = 1_000;
const DAY = 86_400_000;
const RESTART_WITHIN = 30_000;
const WRITTEN_WITHIN = 300_000;
const AT_ONCE = 8;
/** What the clocks are put ahead by at a time at the end, in milliseconds: a refund is taken for absent after a minute. */
const STEP_AHEAD = 61_000;
/** A payment that the provider has to be asked about is asked about within this, or in the next step. */
const ASKED_WITHIN = 5_000;
const POLL_EVERY = 20;
const REPORT_EVERY = 10;
/** Nothing takes more: unknown, absent, absent once more, sent again, and pending. */
const MAX_STEPS = 15;
/** So many of the acknowledged calls are sent once more at the end of a round. */
const MAX_REPLAYED = 400;

export interface OperationKillsPlan {
  readonly kills: number;
  /** How many payments the kills are spread over, at least. */
  readonly payments: number;
  /** The kills are shared by so many rounds, each of which begins with nothing stored. */
  readonly rounds: number;
  /** Decides what is asked, what the network loses and the pauses before kills; the timing of the rest is real. */
  readonly seed: number;
  /** The service and the provider listen here on 127.0.0.1, each with miniflare on the next port. */
  readonly port: number;
  /** The secret that seals what is sent to providers. */
  readonly secrets: string;
  report(line: string): void;
}

/** What was tried and found, of all rounds. */
export interface OperationKillsOutcome {
  readonly figures: Readonly<Record<keyof typeof NOTHING_TRIED, number>>;
  readonly tokens: ReadonlySet<string>;
  /** What is wrong. */
  readonly findings: readonly string[];
}

const NOTHING_TRIED = {
  kills: 0,
  killsOfProvider: 0,
  payments: 0,
  operations: 0,
  succeeded: 0,
  answers: 0,
  unknown: 0,
  replays: 0,
  providerCalls: 0,
  requestLost: 0,
  requestLate: 0,
  answerLost: 0,
  notificationsLost: 0,
  /** Operations that a kill found: before they had a name at the provider, with one, and done there but not recorded. */
  killedWithoutName: 0,
  killedUnderWay: 0,
  killedBeforeRecording: 0,
  effects: 0,
  items: 0,
};

type Figures = Record<keyof typeof NOTHING_TRIED, number>;
const FIGURES = Object.keys(NOTHING_TRIED) as (keyof Figures)[];

/** What is started: the state lives in the system's temporary directory. */
export interface BuiltKills {
  readonly directory: string;
  /** Removes it, with all state. */
  remove(): void;
}

const CONFIGURATION = path.join(PROJECT, "wrangler.toml");
/** In the directory: the Worker, and a state in which there is nothing but tables. */
const [BUNDLE, EMPTY] = ["bundle", "empty"];

/** Builds the Worker that is killed. */
export async function buildKills(): Promise<BuiltKills> {
  const directory = await mkdtemp(path.join(tmpdir(), "operation-kills-"));
  const clean = () => rmSync(directory, { recursive: true, force: true });
  process.once("exit", clean);
  await Promise.all([
    build(CONFIGURATION, path.join(directory, BUNDLE), path.join(PROJECT, "test/proof/killed/index.ts")),
    migrate(CONFIGURATION, path.join(directory, EMPTY)),
  ]);
  return {
    directory,
    remove() {
      process.off("exit", clean);
      clean();
    },
  };
}

/** Starts and kills the service as planned. */
export async function runOperationKills(
  { directory }: BuiltKills,
  plan: OperationKillsPlan,
): Promise<OperationKillsOutcome> {
  const figures: Figures = { ...NOTHING_TRIED };
  const tokens = new Set<string>();
  const findings: string[] = [];
  for (let round = 0; round < plan.rounds; round++) {
    const states = [path.join(directory, "service"), path.join(directory, "provider")] as const;
    for (const state of states) cpSync(path.join(directory, EMPTY), state, { recursive: true });
    const of = {
      ...plan,
      seed: plan.seed + round * 1_000,
      kills: share(plan.kills, round, plan.rounds),
      payments: share(plan.payments, round, plan.rounds),
    };
    const processes = await Processes.start(CONFIGURATION, path.join(directory, BUNDLE), states, of);
    try {
      const { tried, found } = await runRound(of, processes, tokens);
      for (const name of FIGURES) figures[name] += tried[name];
      findings.push(...found.map((text) => `${text} (round ${round + 1}, seed ${of.seed})`));
    } finally {
      await processes.stop();
      for (const state of states) rmSync(state, { recursive: true, force: true });
    }
    plan.report(`Round ${round + 1} of ${plan.rounds}: ${JSON.stringify(figures)}`);
  }
  return { figures, tokens, findings };
}

const share = (all: number, round: number, rounds: number) =>
  Math.floor((all * (round + 1)) / rounds) - Math.floor((all * round) / rounds);

/** Payments under kills, then without; what was tried, and what is wrong. */
async function runRound(
  plan: OperationKillsPlan,
  processes: Processes,
  tokens: Set<string>,
): Promise<{ readonly tried: Figures; readonly found: readonly string[] }> {
  const { service, provider, network, query } = processes;
  const found = new Set<string>();
  const find = (text: string | null) => text !== null && found.add(text);
  await untilHealthy(service.url);
  const shops = new Shops(service.url, provider.url, await createApiKey(service.url));
  const tried: Figures = { ...NOTHING_TRIED };
  let isStopped = false;
  const stop = () => {
    isStopped = true;
  };
  const killer = async () => {
    const random = seeded(plan.seed + SHOPS + 1);
    const written = (part: number) =>
      until(() => isStopped || shops.counts.payments >= plan.payments * part, WRITTEN_WITHIN, "enough is paid");
    for (; tried.kills < plan.kills; tried.kills++) {
      await written(tried.kills / plan.kills);
      await pause(KILL_AFTER.least + random() * (KILL_AFTER.most - KILL_AFTER.least));
      if (isStopped) return;
      const killed = (random() < PROVIDER_TOO ? [service, provider] : [service]).map(kill);
      tried.killsOfProvider += killed.length - 1;
      for (const pid of killed) await until(() => !existsSync(`/proc/${pid}`), RESTART_WITHIN, "the process is gone");
      const before = query<Struck>(
        "SELECT state, kind, nonce, provider_reference FROM operations WHERE state = 'open'",
      );
      await Promise.all([shops.healthy(), untilHealthy(provider.url)]);
      // What has moved has its row, whatever has begun since.
      const { effects } = await processes.ledger();
      find(judgeEffects({ operations: query("SELECT * FROM operations") }, effects));
      for (const row of query(ALWAYS_WRONG)) find(JSON.stringify(row));
      for (const finding of processes.findings) find(finding);
      if (found.size > 0) return;
      countStruck(before, effects, tried);
      if ((tried.kills + 1) % REPORT_EVERY === 0)
        plan.report(`${tried.kills + 1} of ${plan.kills} kills, ${shops.counts.payments} payments`);
    }
    await written(1);
  };
  const sweeper = async () => {
    while (!isStopped) {
      await pause(SWEEP_EVERY);
      await processes.sweep(Date.now());
    }
  };
  const ready = async () => !isStopped;
  const writers = Array.from({ length: SHOPS }, (_, shop) =>
    shops.write(shop, seeded(plan.seed + shop + 1), ready).finally(stop),
  );
  for (const ended of await Promise.allSettled([killer().finally(stop), sweeper(), ...writers])) {
    if (ended.status === "rejected") throw ended.reason;
  }

  if (found.size > 0) return { tried, found: [...found] };
  await network.mend();
  find(await settle(processes, shops));
  tried.replays = await replay(shops, seeded(plan.seed));
  // A retry may be the first of its requests to arrive.
  find(await settle(processes, shops));
  await each(query<{ id: number }>("SELECT id FROM payments"), ({ id }) => shops.sync(id));
  const rows = readRows(query);
  const evidence: Evidence = { rows, asked: shops.asked, lines: [], ...(await processes.ledger()), planned: [] };
  for (const row of [...query(VIOLATIONS), ...query(ALWAYS_WRONG)]) find(JSON.stringify(row));
  find(judgeEnd(evidence, Date.now()));
  find(judgeAnswers(evidence));
  find(await judgeSealed({ ...evidence, planned: [...shops.tokens].map((token) => ({ token })) }, plan.secrets));
  for (const finding of processes.findings) find(finding);
  for (const token of shops.tokens) tokens.add(token);
  return {
    tried: {
      ...tried,
      ...{ payments: rows.payments.length, operations: rows.operations.length, items: rows.items.length },
      succeeded: rows.operations.filter(({ state }) => state === "succeeded").length,
      ...{ answers: shops.asked.length, unknown: shops.counts.unknown, effects: evidence.effects.length },
      ...{ providerCalls: network.counts.calls, requestLost: network.counts.requestLost },
      ...{ requestLate: network.counts.requestLate, answerLost: network.counts.answerLost },
      notificationsLost: network.counts.notificationsLost,
    },
    found: [...found],
  };
}

/** Ends a process as nothing else does; its number. */
function kill({ pid }: Running): number {
  const killed = pid();
  // Zero and below would be whole groups of processes.
  if (killed <= 1) throw new Error("There is no process to kill");
  process.kill(killed, "SIGKILL");
  return killed;
}

interface Struck {
  readonly kind: string;
  readonly nonce: string;
  readonly provider_reference: string | null;
}

/** Where a kill found what was under way. */
function countStruck(open: readonly Struck[], effects: Evidence["effects"], tried: Figures): void {
  const done = new Set(effects.map(({ nonce }) => nonce));
  for (const { kind, nonce, provider_reference } of open) {
    if (done.has(nonce)) tried.killedBeforeRecording++;
    else if (kind === "authorize" && provider_reference === null) tried.killedWithoutName++;
    else tried.killedUnderWay++;
  }
}

interface Unsettled {
  readonly payment_id: number;
  readonly number: number;
  readonly state: string;
  readonly status: string;
  readonly provider_reference: string | null;
  readonly attempts: string;
}

const UNSETTLED = `SELECT payment_id, number, state, status, attempts, operations.provider_reference
  FROM operations JOIN payments ON payments.id = payment_id WHERE state IN ('open', 'unknown', 'pending')`;

/**
 * Has payers pay, puts the clocks ahead and sweeps until no operation is open; what is wrong, or null. The clocks stand for the
 * pauses: what is not there after a minute was never asked for, and what takes its time at the provider has had it.
 */
async function settle(processes: Processes, shops: Shops): Promise<string | null> {
  const { query } = processes;
  const nameOf = ({ payment_id, number }: Unsettled) => `${payment_id} ${number}`;
  for (let step = 1; step <= MAX_STEPS; step++) {
    const open = query<Unsettled>(UNSETTLED);
    if (open.length === 0) return null;
    await each(
      open.filter(({ status }) => status === "requires_action"),
      (payment) => shops.press(payment),
    );
    await processes.putAhead(step * STEP_AHEAD, STEP_AHEAD);
    const calls = new Map(open.map((row) => [nameOf(row), row.attempts]));
    if (!(await processes.sweep(Date.now() + step * STEP_AHEAD + DAY))) return "A sweep fails";
    const isAsked = () => query<Unsettled>(UNSETTLED).every((row) => calls.get(nameOf(row)) !== row.attempts);
    // One that is not woken is found by what is left at the end.
    for (const end = Date.now() + ASKED_WITHIN; !isAsked() && Date.now() < end; ) await pause(POLL_EVERY);
  }
  return `Not resolved: ${JSON.stringify(query(UNSETTLED))}`;
}

/** Sends acknowledged calls again, the newest and any; how many. What they are answered is judged with all the others. */
async function replay(shops: Shops, random: Random): Promise<number> {
  const acknowledged = shops.asked.filter(({ key, status }) => key !== null && (status < 300 || status === 402));
  const [first, ...rest] = acknowledged;
  if (!first) return 0;
  const any = Array.from({ length: MAX_REPLAYED / 2 }, () => pick(random, [first, ...rest]));
  const again = new Set<Asked>([...acknowledged.slice(-MAX_REPLAYED / 2), ...any]);
  await each(again, ({ method, path: at, key, body }) => shops.insist(method, at, key, body));
  return again.size;
}

/** Does something with each of some things, of several at once. */
async function each<Thing>(things: Iterable<Thing>, work: (thing: Thing) => Promise<unknown>): Promise<void> {
  const left = [...things].values();
  const worker = async () => {
    for (const thing of left) await work(thing);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
