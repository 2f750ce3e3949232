// `npm start`: applies the migrations to the local D1, then serves the API until it is stopped. Its options are in START_USAGE.
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { constants } from "node:os";
import path from "node:path";
import { asJson, readable } from "./local/lines.ts";
import { lockState } from "./local/lock.ts";
import {
  asksForHelp,
  asksForJson,
  DEFAULT_PORT,
  readOptions,
  START_USAGE,
  type StartOptions,
  UsageError,
} from "./local/options.ts";
import { compareLocalSchema } from "./local/schema.ts";
import { runWrangler } from "./local/wrangler.ts";

const PROJECT = path.join(import.meta.dirname, "..");
const RUN_EVERY_MS = 60_000;
/** Marks the request that this script makes itself. */
const OWN_REQUEST = `npm-start-${process.pid}`;
const JSON_IS_WANTED = asksForJson(process.argv.slice(2), process.env);

process.exitCode = await start();

async function start(): Promise<number> {
  if (asksForHelp(process.argv.slice(2))) {
    console.log(START_USAGE);
    return 0;
  }
  const options = understand();
  if (options === null) return 1;
  const port = options.port || (await anyPort());
  const taken = await whyTaken(port);
  const holder = await lockState(options.state, { pid: process.pid, port });
  if (holder !== null) {
    return refuse(
      `A server already runs on ${shown(options.state)}: process ${holder.pid}, http://localhost:${holder.port}. ` +
        `Stop it, or start this one on a state of its own: npm start -- --port ${await nextPort(holder.port)} --persist-to DIR`,
    );
  }
  if (taken !== null) return refuse(`Port ${port} ${taken}. Type: PORT=${await nextPort(port)} npm start`);
  return (await migrate(options.state)) ?? (await serve(options, port));
}

function understand(): StartOptions | null {
  const read = (file: string) => (existsSync(file) ? readFileSync(file, "utf8") : null);
  try {
    return readOptions(process.argv.slice(2), { env: process.env, project: PROJECT, read });
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    refuse(error.message);
    return null;
  }
}

/** Brings the local database up to date; the exit code if that cannot be. */
async function migrate(state: string): Promise<number | null> {
  const schema = compareLocalSchema(state, path.join(PROJECT, "migrations"));
  if (schema === "current") return null;
  if (schema === "other") {
    const where = shown(state) === ".wrangler/state" ? "" : ` -- --persist-to ${shown(state)}`;
    return refuse(
      `The local state in ${shown(state)} was made by another version of the base schema. ` +
        `Remove it, with its payments, and start again: npm run reset${where}`,
    );
  }
  const lines: string[] = [];
  const args = ["d1", "migrations", "apply", "DB", "--local", "--persist-to", state];
  const { code, stoppedBy } = await runWrangler({ args, state, onLine: (line) => lines.push(line) });
  if (stoppedBy !== null) return exitCodeOf(stoppedBy);
  if (code === 0) return null;
  printFailure(lines);
  return refuse("The migrations were not applied; above is why.", code);
}

async function serve(options: StartOptions, port: number): Promise<number> {
  const { state, mode, json, secretsFile, forwarded } = options;
  const before: string[] = [];
  let isReady = false;
  const print = (line: string) => {
    if (line.includes(`"${OWN_REQUEST}"`)) return;
    if (json) return printJson(line);
    const text = readable(line, new Date());
    if (text !== null) console.log(text);
  };
  const onReady = async (isStopping: () => boolean) => {
    // What it has said up to here matters only if it does not come so far.
    before.length = 0;
    const origin = `http://localhost:${port}`;
    const problem = await whatIsMissing(origin);
    if (isStopping()) return;
    console.log(
      json ? JSON.stringify({ message: "ready", url: origin, state, problem }) : welcome(origin, options, problem),
    );
    isReady = true;
    before.forEach(print);
    runJobsEveryMinute(origin);
  };
  const args = ["dev", "--port", String(port), "--persist-to", state, "--show-interactive-dev-session=false"];
  args.push("--var", `AUTH_MODE:${mode}`, "--var", "LOG_PATHS:yes", "--var", "SANDBOX:yes");
  if (secretsFile !== undefined) args.push("--env-file", secretsFile);
  args.push(...forwarded);
  const onLine = (line: string) => (isReady ? print(line) : before.push(line));
  const { code, stoppedBy } = await runWrangler({ args, state, onLine, onReady });
  if (!isReady && stoppedBy !== null) return exitCodeOf(stoppedBy);
  if (!isReady && code !== 0) printFailure(before);
  return code;
}

function printJson(line: string): void {
  const { stream, text } = asJson(line) ?? {};
  if (stream !== undefined) process[stream].write(`${text}\n`);
}

/** What wrangler has said before it failed. */
function printFailure(lines: readonly string[]): void {
  if (JSON_IS_WANTED) lines.forEach(printJson);
  else console.error(lines.join("\n"));
}

/** As a shell counts it: 130 after Ctrl+C, 143 after a SIGTERM. */
function exitCodeOf(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

function welcome(origin: string, { mode, state, hasSecrets }: StartOptions, problem: string | null): string {
  const who =
    mode === "open"
      ? "It runs open: a request without an API key acts as merchant 1. It answers on loopback hosts only."
      : `It asks for API keys. ${
          hasSecrets
            ? "The administrator's is ADMIN_KEY in the secrets file."
            : "There is no secrets file yet: docs/operations.md says how to make one, then type: npm start -- --secrets-file FILE"
        }`;
  return `
Ready on ${origin}

  Dashboard  ${origin}/dashboard
  Try it     ${origin}/docs
  API        ${origin}/api/v1/payments/
  State      ${shown(state)}

${who}
Stop it with Ctrl+C.
${problem === null ? "" : `\nIt is not ready: ${problem}\n`}`;
}

/** What the service says that it lacks, or null when it is ready. */
async function whatIsMissing(origin: string): Promise<string | null> {
  const asked = fetch(`${origin}/health/ready`, { headers: { "X-Request-Id": OWN_REQUEST } });
  const response = await asked.catch(() => null);
  if (response === null) return "GET /health/ready got no answer";
  if (response.ok) return null;
  const { detail } = (await response.json()) as { detail?: string };
  return detail ?? `GET /health/ready answered ${response.status}`;
}

/** The development server runs no cron by itself: this one finds, among others, deliveries that a stop left unsent. */
function runJobsEveryMinute(origin: string): void {
  const urls = ["* * * * *", "*/1 * * * *"].map(
    (cron) => `${origin}/cdn-cgi/local/scheduled?cron=${encodeURIComponent(cron)}`,
  );
  setInterval(() => urls.map((url) => fetch(url).catch(() => {})), RUN_EVERY_MS).unref();
}

/** Why nobody can listen on a port, or null. */
async function whyTaken(port: number): Promise<string | null> {
  for (const host of ["127.0.0.1", "::1"]) {
    const code = await listen(port, host);
    if (code === "EADDRINUSE") return "is taken by another program";
    if (code === "EACCES") return "is not for every user";
  }
  return null;
}

/** The next port that nobody listens on. */
async function nextPort(port: number): Promise<number> {
  let next = port + 1;
  while (next < 65_535 && (await whyTaken(next)) !== null) next++;
  return next;
}

/** A port of the system's choice. */
async function anyPort(): Promise<number> {
  const chosen = await listen(0, "127.0.0.1");
  return typeof chosen === "number" ? chosen : DEFAULT_PORT;
}

/** Listens for a moment; the port, or the code of the error. */
function listen(port: number, host: string): Promise<number | string> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "error"));
    probe.listen(port, host, () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : port));
    });
  });
}

/** A directory as it is typed in the project. */
function shown(directory: string): string {
  const relative = path.relative(PROJECT, directory);
  return relative.startsWith("..") ? directory : relative;
}

function refuse(why: string, code = 1): number {
  console.error(JSON_IS_WANTED ? JSON.stringify({ message: "not started", error: why }) : why);
  return code;
}
