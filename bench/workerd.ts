/** The built Worker on workerd itself, as it is deployed, without wrangler's development proxy. */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions as miniflareOptions } from "wrangler";
import { makeAdministratorKey } from "../src/auth/api-key.ts";
import { SCOPE_NAMES } from "../src/scopes.ts";
import { SECRETS_KEYS } from "./seed.ts";

export const PROJECT = path.join(import.meta.dirname, "..");

/** The administrator's key of every service that is started here; it lasts as long as this process. */
export const ADMIN_KEY = makeAdministratorKey();

/** How long a cron's job may take, in milliseconds. */
const CRON_WITHIN = 30_000;
/** So many requests that no load is refused. */
const NO_LIMIT = { limit: 1_000_000_000, period: 10 as const };

/**
 * Builds the Worker that a wrangler configuration describes: what `wrangler deploy` would upload.
 *
 * @param main another entry point than the configuration's
 */
export async function build(configuration: string, directory: string, main?: string): Promise<void> {
  const entry = main === undefined ? [] : [main];
  await wrangler("deploy", ...entry, "--dry-run", "--config", configuration, "--outdir", directory);
}

/** Applies the migrations to the D1 in a state directory, which is made if it is not there. */
export async function migrate(configuration: string, state: string): Promise<void> {
  await wrangler("d1", "migrations", "apply", "DB", "--local", "--config", configuration, "--persist-to", state);
}

export interface Running {
  /** The origin of the Worker's own socket. */
  readonly url: string;
  /** The origin that runs a cron, at /cdn-cgi/local/scheduled. */
  readonly ownUrl: string;
  /** The process that runs the Worker now; another one after it was killed and came back. -1 between the two. */
  pid(): number;
  stop(): Promise<void>;
}

/**
 * Starts a built Worker on workerd, with the sandbox, without its assets: /docs is not there. Its file descriptors are limited by
 * the hard limit: Node raises the soft one for itself and for what it starts.
 *
 * @param configuration the wrangler.toml it was built from, for its bindings
 * @param directory where `build` put it
 * @param state the directory its D1 and objects live in, on disk or on tmpfs; a new one gets its migrations
 * @param port of the Worker's socket; the next one is miniflare's own
 * @param outbound answers what the Worker asks of the world; without it, the world does
 * @param vars settings of the Worker other than the configuration's
 */
export async function start(
  configuration: string,
  directory: string,
  state: string,
  port: number,
  outbound?: (request: Request) => Promise<Response>,
  vars: Readonly<Record<string, string>> = {},
): Promise<Running> {
  if (!existsSync(path.join(state, "v3/d1"))) await migrate(configuration, state);
  const { workerOptions, externalWorkers } = miniflareOptions(configuration);
  // For a Worker with assets, miniflare puts two Workers of its own in front of the socket.
  const { modulesRules: _, assets: __, ...bindings } = workerOptions;
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      workers: [
        {
          ...bindings,
          bindings: Object.assign({}, workerOptions.bindings, { ADMIN_KEY, SECRETS_KEYS, SANDBOX: "yes" }, vars),
          ratelimits: {
            KEY_RATE: { namespace_id: "1001", simple: NO_LIMIT },
            FAILURE_RATE: { namespace_id: "1002", simple: NO_LIMIT },
            MERCHANT_RATE: { namespace_id: "1003", simple: NO_LIMIT },
            COSTLY_RATE: { namespace_id: "1004", simple: NO_LIMIT },
            HEAVY_RATE: { namespace_id: "1007", simple: NO_LIMIT },
            WEBHOOK_TEST_RATE: { namespace_id: "1005", simple: NO_LIMIT },
            WEBHOOK_RETRY_RATE: { namespace_id: "1006", simple: NO_LIMIT },
          },
          ...(outbound && { outboundService: outbound }),
          name: "service",
          modules: true,
          scriptPath: path.join(directory, "index.js"),
          modulesRoot: directory,
          unsafeDirectSockets: [{ host: "127.0.0.1", port }],
        },
        ...externalWorkers,
      ],
      host: "127.0.0.1",
      port: port + 1,
      cf: false,
      logRequests: false,
      unsafeTriggerHandlers: true,
      // The service logs a line for each request, which nobody reads here.
      handleStructuredLogs: ({ level, message }) => {
        if (level !== "log") console.error(message);
      },
      resourcePersistencePath: path.join(state, "v3"),
    }),
  );
  try {
    await miniflare.ready;
  } catch (error) {
    await miniflare.dispose();
    throw error;
  }
  return {
    url: `http://127.0.0.1:${port}`,
    ownUrl: `http://127.0.0.1:${port + 1}`,
    pid: () => childWith(`entry=127.0.0.1:${port + 1}`),
    stop: () => miniflare.dispose(),
  };
}

/**
 * Runs a cron of a running service, as at a time in milliseconds.
 *
 * @returns whether its job has ended well; false too when the service is killed under it
 * @throws Error when the service does not run crons at all
 */
export async function runCron({ ownUrl }: Running, cron: string, now: number): Promise<boolean> {
  const query = new URLSearchParams({ cron, time: String(now) });
  const url = `${ownUrl}/cdn-cgi/local/scheduled?${query}`;
  const response = await fetch(url, { signal: AbortSignal.timeout(CRON_WITHIN) }).catch(() => null);
  if (response?.status === 404) throw new Error("The service runs no crons");
  return (await response?.text().catch(() => null)) === "ok";
}

/** Makes an API key of the default merchant, with every scope, at a running service. */
export async function createApiKey(url: string): Promise<string> {
  const response = await fetch(`${url}/api/v1/api-keys`, {
    method: "POST",
    headers: { Authorization: `Bearer ${ADMIN_KEY}`, "Content-Type": "application/json" },
    body: JSON.stringify({ name: "load", scopes: SCOPE_NAMES, merchant_id: 1 }),
  });
  const { key } = (await response.json()) as { key?: string };
  if (response.status !== 201 || key === undefined) throw new Error(`No key was made: ${response.status}`);
  return key;
}

/** Runs wrangler to its end, or to that of this process, off the network and without questions. */
async function wrangler(...args: string[]): Promise<void> {
  // What bin/wrangler.js starts: without it there is one process to kill.
  const program = path.join(PROJECT, "node_modules/wrangler/wrangler-dist/cli.js");
  const running = promisify(execFile)(process.execPath, ["--no-warnings", program, ...args], {
    cwd: PROJECT,
    env: { ...process.env, CI: "1", WRANGLER_SEND_METRICS: "false", CLOUDFLARE_CF_FETCH_ENABLED: "false" },
    timeout: 120_000,
  });
  const kill = () => running.child.kill("SIGKILL");
  process.once("exit", kill);
  try {
    await running;
  } finally {
    process.off("exit", kill);
  }
}

/** The living child of this process that was started with `argument`; -1 when there is none. */
function childWith(argument: string): number {
  const found = readdirSync("/proc").find((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const args = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      if (!args.includes(argument)) return false;
      // After the name, which may hold spaces: the state (Z is dead), then the parent.
      const [state, parent] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
      return state !== "Z" && parent === String(process.pid);
    } catch {
      return false; // It has just ended.
    }
  });
  return Number(found ?? -1);
}
