import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";

export const PROJECT = path.join(import.meta.dirname, "../..");

/** The project's own Node, as npm scripts find it. */
export const NODE = path.join(PROJECT, "node_modules/.bin/node");

/** How long a server may take, in milliseconds; on two busy cores it needs about 8,000 to start. */
const START_WITHIN = 90_000;
const STOP_WITHIN = 10_000;
const POLL_EVERY = 50;

export interface Server {
  /** Where it answers: an origin, without a slash at its end. */
  readonly url: string;
  /** The process that a user has started. */
  readonly pid: number;
  /** All that it and its migrations have printed so far. */
  log(): string;
  /** Of that, what went to the standard output. */
  stdout(): string;
  /** Ends it and everything it started, and waits until that is gone. Safe to call again. */
  stop(): Promise<void>;
}

/**
 * Starts the service as a user does, with `scripts/start.ts`, and waits until it answers.
 *
 * @param state the directory its D1 and objects are kept in; empty the first time
 * @param variables of the Worker, as `NAME:value`; without AUTH_MODE it runs open
 * @param further words for `npm start`
 * @throws Error with the log when it ends, or does not answer in time
 */
export async function startServer(
  state: string,
  variables: readonly string[] = [],
  further: readonly string[] = [],
): Promise<Server> {
  // Port 0 lets the system choose, so that servers can run side by side. A group of its own, because
  // wrangler starts further processes, which would outlive it.
  const args = ["scripts/start.ts", "--port", "0", "--inspector-port", "0", "--persist-to", state];
  args.push(...variables.flatMap((variable) => ["--var", variable]), ...further);
  const child = spawn(NODE, ["--disable-warning=ExperimentalWarning", ...args], {
    cwd: PROJECT,
    env: environment(),
    detached: true,
  });
  let [log, stdout] = ["", ""];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      log += text;
      if (stream === child.stdout) stdout += text;
    });
  }
  const killGroup = () => signalGroup(child, "SIGKILL");
  process.once("exit", killGroup);
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= stopGroup(child).finally(() => process.off("exit", killGroup));
    return stopped;
  };

  const deadline = Date.now() + START_WITHIN;
  while (!hasEnded(child) && Date.now() < deadline) {
    const url = /(?:Ready on |"message":"ready","url":")(http:\/\/localhost:\d+)/.exec(log)?.[1];
    if (url && (await isHealthy(url))) return { url, pid: child.pid ?? 0, log: () => log, stdout: () => stdout, stop };
    await pause(POLL_EVERY);
  }
  const what = hasEnded(child) ? "ended" : `did not answer within ${START_WITHIN} ms`;
  await stop();
  throw new Error(`The server ${what}. Its log:\n${log}`);
}

/** What a user's shell would hand down: without what vitest adds for the code under test. */
function environment(): NodeJS.ProcessEnv {
  const { NODE_ENV, NODE_OPTIONS, VITEST, ...env } = process.env;
  return { ...env, NO_COLOR: "1" };
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(2_000) });
    return response.ok;
  } catch {
    return false;
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** @returns whether there was anything left to signal */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals | 0): boolean {
  if (child.pid === undefined) return false;
  try {
    return process.kill(-child.pid, signal);
  } catch {
    return false;
  }
}

async function stopGroup(child: ChildProcess): Promise<void> {
  signalGroup(child, "SIGTERM");
  if (!hasEnded(child)) await once(child, "exit", { signal: AbortSignal.timeout(STOP_WITHIN) }).catch(() => {});
  // wrangler may end before the runtimes it started. These are orphans then, and where nobody collects
  // orphans, as in some containers, they stay as zombies, which hold nothing: hence the last deadline.
  const deadline = Date.now() + STOP_WITHIN / 5;
  while (signalGroup(child, "SIGKILL") && Date.now() < deadline) await pause(POLL_EVERY);
  if (!hasEnded(child)) throw new Error("The server outlives SIGKILL");
}
