/**
 * Kills the service at random moments while clients write, and checks that every answer it gave is
 * still true: the built Worker on workerd, its state on disk, `kill -9`.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as pause } from "node:timers/promises";
import { build, createApiKey, PROJECT, type Running, start } from "../../bench/workerd.ts";
import { VIOLATIONS } from "../invariants.ts";
import { type Call, type Finding, judge, type Kind, type Stored } from "./kills-judge.ts";
import { type Clients, connect, pick, type Random, seeded, untilHealthy, write } from "./kills-writer.ts";

const WRITERS = 8;
/** A kill comes this long after the service is back, in milliseconds. */
const KILL_AFTER = { least: 50, most: 600 };
/** How many acknowledged calls are replayed at most. */
const REPLAYED = { afterKill: 16, atEnd: 5_000 };
const REPLAYERS = 16;
/** An object holds this many until it is idle for 10 s; clients wait while this share of all is in use. */
const DESCRIPTORS = { ofObject: 3, inUse: 0.6 };
/** All answers and rows are checked after each kill while that takes less than this share of the time. */
const CHECKED = 0.1;
const RESTART_WITHIN = 30_000;
const WRITTEN_WITHIN = 300_000;
const POLL_EVERY = 10;
const REPORT_EVERY = 10;
/** How many findings are reported as they are found; the outcome has them all. */
const REPORTED = 20;

export interface Plan {
  readonly kills: number;
  /** Decides what each writer asks, and the pauses before the kills; the timing of the rest is real. */
  readonly seed: number;
  /** How many acknowledged writes the kills are spread over. */
  readonly minimumWrites: number;
  /** The service listens here on 127.0.0.1, and miniflare on the next port. */
  readonly port: number;
  report(line: string): void;
}

export interface Outcome extends Readonly<Record<Kind, number>> {
  readonly seed: number;
  readonly kills: number;
  readonly acknowledged: number;
  /** Requests that got no answer, or a 503. */
  readonly unknown: number;
  readonly retries: number;
  /** Writes that had happened although their answer was lost, as the retry found. */
  readonly happened: number;
  /** Acknowledged requests that were sent again after a kill, or at the end. */
  readonly replays: number;
  readonly payments: number;
  readonly seconds: number;
  readonly findings: readonly Finding[];
}

/** Builds, starts and kills the service as planned. The state lives in the system's temporary directory. */
export async function runKills(plan: Plan): Promise<Outcome> {
  const directory = await mkdtemp(path.join(tmpdir(), "kills-"));
  const clean = () => rmSync(directory, { recursive: true, force: true });
  process.once("exit", clean);
  let running: Running | undefined;
  try {
    const configuration = path.join(PROJECT, "wrangler.toml");
    const [bundle, state] = [path.join(directory, "bundle"), path.join(directory, "state")];
    await build(configuration, bundle);
    running = await start(configuration, bundle, state, plan.port);
    return await run(plan, running, databaseFile(state));
  } finally {
    await running?.stop();
    process.off("exit", clean);
    clean();
  }
}

async function run(plan: Plan, running: Running, database: string): Promise<Outcome> {
  const started = performance.now();
  const { seed, report } = plan;
  await untilHealthy(running.url);
  const clients = connect(running.url, await createApiKey(running.url));
  const room = descriptorGate(running);
  const findings = new Map<string, Finding>();
  let checking = 0;
  const check = () => {
    const began = performance.now();
    for (const finding of judge(clients.calls, readStored(database))) {
      if (findings.size < REPORTED && !findings.has(finding.text))
        report(`${finding.kind}: ${finding.text} (seed ${seed})`);
      findings.set(finding.text, finding);
    }
    checking += performance.now() - began;
  };

  report(`Seed ${seed}: ${plan.kills} kills, ${plan.minimumWrites} acknowledged writes or more`);
  let stopped = false;
  const stop = () => {
    stopped = true;
  };
  const ready = async () => {
    await room();
    return !stopped;
  };
  const writers = Array.from({ length: WRITERS }, (_, writer) =>
    write(clients, writer, seeded(seed + writer + 1), ready).finally(stop),
  );
  const checkSome = () => {
    if (checking <= (performance.now() - started) * CHECKED) check();
  };
  const killer = kill(plan, running, clients, checkSome, () => stopped).finally(stop);
  for (const ended of await Promise.allSettled([killer, ...writers])) {
    if (ended.status === "rejected") throw ended.reason;
  }

  await replay(clients, sample(clients.calls, seeded(seed), REPLAYED.atEnd), room);
  check();
  const found = [...findings.values()];
  const count = (kind: Kind) => found.filter((finding) => finding.kind === kind).length;
  return {
    seed,
    kills: await killer,
    ...clients.counts,
    payments: clients.calls.filter(({ operation }) => operation === "create").length,
    lost: count("lost"),
    doubled: count("doubled"),
    contradicted: count("contradicted"),
    seconds: Math.round((performance.now() - started) / 1000),
    findings: found,
  };
}

/** Kills the service again and again, spread over the writes, and has it checked each time that it is back. */
async function kill(
  plan: Plan,
  running: Running,
  clients: Clients,
  check: () => void,
  stopped: () => boolean,
): Promise<number> {
  // What there is to replay depends on the timing, the pauses must not: hence two.
  const [pauses, samples] = [seeded(plan.seed), seeded(plan.seed + WRITERS + 1)];
  const written = (share: number) =>
    until(
      () => stopped() || clients.counts.acknowledged >= plan.minimumWrites * share,
      WRITTEN_WITHIN,
      "enough is written",
    );
  let kills = 0;
  while (kills < plan.kills) {
    await written(kills / plan.kills);
    await pause(KILL_AFTER.least + pauses() * (KILL_AFTER.most - KILL_AFTER.least));
    if (stopped()) return kills;
    const killed = running.pid();
    // Zero and below would be whole groups of processes.
    if (killed <= 1) throw new Error("The service has no process");
    process.kill(killed, "SIGKILL");
    kills++;
    await until(() => !existsSync(`/proc/${killed}`), RESTART_WITHIN, "the process is gone");
    await clients.healthy();
    check();
    await replay(clients, sample(clients.calls, samples, REPLAYED.afterKill));
    const { acknowledged, unknown } = clients.counts;
    if (kills % REPORT_EVERY === 0) {
      plan.report(`${kills} of ${plan.kills} kills: ${acknowledged} acknowledged, ${unknown} of unknown outcome`);
    }
  }
  await written(1);
  return kills;
}

/** Whether the call must be answered in the same way for ever: it was acknowledged, and has a key. */
function isReplayable({ key, attempts }: Call): boolean {
  return key !== null && attempts.some(({ said }) => said.tag === "done");
}

/** Acknowledged calls: half of them the newest, which a kill is the likeliest to take back, the others any. */
function sample(calls: readonly Call[], random: Random, size: number): readonly Call[] {
  const replayable = calls.filter(isReplayable);
  const [first, ...rest] = replayable;
  if (!first || replayable.length <= size) return replayable;
  const others = Array.from({ length: size / 2 }, () => pick(random, [first, ...rest]));
  return [...new Set([...replayable.slice(-size / 2), ...others])];
}

/** Sends acknowledged calls again; the next check judges the answers. */
async function replay(clients: Clients, calls: readonly Call[], room = async () => {}): Promise<void> {
  const left = calls.values();
  const replayer = async () => {
    for (const call of left) {
      await room();
      await clients.replay(call);
    }
  };
  await Promise.all(Array.from({ length: REPLAYERS }, replayer));
}

/** Reads what is stored, in one transaction beside those of the service. */
function readStored(file: string): Stored {
  const database = new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
  try {
    database.exec("BEGIN");
    // The tables are STRICT: what comes out of them has the types that were declared.
    const rows = (sql: string): unknown => database.prepare(sql).all();
    return {
      payments: rows(
        "SELECT id, order_id, amount_minor, currency, metadata, status, created_at FROM payments",
      ) as Stored["payments"],
      keys: rows("SELECT key, payment_id FROM idempotency_keys") as Stored["keys"],
      events: rows("SELECT payment_id, type, created_at FROM events") as Stored["events"],
      metadata: rows("SELECT payment_id, name, prefix, created_at FROM payment_metadata") as Stored["metadata"],
      violations: rows(VIOLATIONS) as Stored["violations"],
    };
  } finally {
    database.close();
  }
}

/** The file of the D1 in a state directory, which also holds miniflare's own. */
export function databaseFile(state: string): string {
  const files = readdirSync(path.join(state, "v3/d1"), { recursive: true, encoding: "utf8" });
  const [file, ...others] = files.filter((name) => /\/[0-9a-f]{64}\.sqlite$/.test(name));
  if (!file || others.length > 0) throw new Error(`The state holds no D1, or several: ${files.join(", ")}`);
  return path.join(state, "v3/d1", file);
}

/**
 * Lets calls through while the service has descriptors for the objects that they wake.
 *
 * @returns what to wait for before each call
 */
function descriptorGate(running: Running): () => Promise<void> {
  const limit = Number(/^Max open files +(\d+)/m.exec(readFileSync(`/proc/${running.pid()}/limits`, "utf8"))?.[1]);
  if (Number.isNaN(limit)) return async () => {}; // It is unlimited.
  const free = () => descriptors(running.pid()) < limit * DESCRIPTORS.inUse;
  const callsBetweenLooks = Math.ceil((limit * (1 - DESCRIPTORS.inUse)) / DESCRIPTORS.ofObject / 2);
  let calls = 0;
  let freeing: Promise<void> | undefined;
  return async () => {
    if (++calls % callsBetweenLooks === 0) {
      freeing ??= until(free, RESTART_WITHIN, "file descriptors are free").finally(() => {
        freeing = undefined;
      });
    }
    await freeing;
  };
}

/** How many descriptors a process has open; none when it is dead. */
function descriptors(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
}

export async function until(condition: () => boolean, within: number, what: string): Promise<void> {
  const deadline = Date.now() + within;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`Waited ${within} ms in vain until ${what}`);
    await pause(POLL_EVERY);
  }
}
