/** The built Worker on workerd itself, as it is deployed, without wrangler's development proxy. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions as miniflareOptions } from "wrangler";

export const PROJECT = path.join(import.meta.dirname, "..");

/** Builds the Worker that a wrangler configuration describes, minified as for production. */
export async function build(configuration: string, directory: string): Promise<void> {
  const wrangler = path.join(PROJECT, "node_modules/wrangler/bin/wrangler.js");
  const args = ["deploy", "--dry-run", "--config", configuration, "--outdir", directory];
  await promisify(execFile)(process.execPath, [wrangler, ...args], {
    cwd: PROJECT,
    env: { ...process.env, CI: "1", WRANGLER_SEND_METRICS: "false" },
    timeout: 120_000,
  });
}

export interface Running {
  /** The origin of the Worker's own socket. */
  readonly url: string;
  /** The process that runs the Worker now; another one after it was killed and came back. */
  pid(): number;
  stop(): Promise<void>;
}

/**
 * Starts a built Worker on workerd.
 *
 * @param configuration the wrangler.toml it was built from, for its bindings
 * @param directory where `build` put it
 * @param state the directory its D1 and objects live in; on disk or on tmpfs
 * @param port of the Worker's socket; the next one is miniflare's own
 */
export async function start(configuration: string, directory: string, state: string, port: number): Promise<Running> {
  const { workerOptions, externalWorkers } = miniflareOptions(configuration);
  delete workerOptions.modulesRules;
  const before = new Set(workerdProcesses());
  const options = {
    workers: [
      {
        ...workerOptions,
        name: "service",
        modules: true,
        scriptPath: path.join(directory, "index.js"),
        modulesRoot: directory,
        unsafeDirectSockets: [{ host: "127.0.0.1", port }],
      },
      ...externalWorkers,
    ],
    port: port + 1,
    cf: false,
    logRequests: false,
    resourcePersistencePath: state,
  };
  // biome-ignore lint/suspicious/noExplicitAny: PLACEHOLDER
  const miniflare = new Miniflare(convertV4MiniflareOptions(options as any));
  await miniflare.ready;
  return {
    url: `http://127.0.0.1:${port}`,
    pid: () => workerdProcesses().find((pid) => !before.has(pid)) ?? -1,
    stop: () => miniflare.dispose(),
  };
}
function workerdProcesses(): number[] {
  return readdirSync("/proc").map(Number).filter((pid) => {
    if (!pid) return false;
    try { return readFileSync(`/proc/${pid}/stat`, "utf8").split(" ")[3] === String(process.pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("workerd"); } catch { return false; }
  });
}
