/** Runs wrangler as a child, which ends when this process does. */
import { spawn } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";
import { lockFile } from "./lock.ts";

const PROJECT = path.join(import.meta.dirname, "../..");
const WRANGLER = path.join(PROJECT, "node_modules/wrangler/bin/wrangler.js");

export interface WranglerRun {
  readonly args: readonly string[];
  /** The state directory whose lock wrangler holds, too. */
  readonly state: string;
  /** Is told each line that it prints, on either stream. */
  readonly onLine: (line: string) => void;
  /** Is called once it serves, and can ask whether it has been told to end since. */
  readonly onReady?: (isStopping: () => boolean) => void;
}

export interface WranglerEnd {
  readonly code: number;
  /** What asked this process to end meanwhile: wrangler's own exit code is 0 then, whatever it has left undone. */
  readonly stoppedBy: NodeJS.Signals | null;
}

/** Runs wrangler to its end, and ends it when this process is asked to end. */
export function runWrangler({ args, state, onLine, onReady }: WranglerRun): Promise<WranglerEnd> {
  return new Promise((resolve) => {
    const words = ["--import", path.join(import.meta.dirname, "child.ts"), WRANGLER, ...args];
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", ...words], {
      cwd: PROJECT,
      // CI keeps wrangler from asking; the others keep it, and the local runtime, off the network.
      env: {
        ...process.env,
        CI: "1",
        CLOUDFLARE_CF_FETCH_ENABLED: "false",
        NO_COLOR: "1",
        STATE_LOCK: lockFile(state),
        WRANGLER_HIDE_BANNER: "true",
        WRANGLER_SEND_METRICS: "false",
      },
      // The channel tells the child when this process is gone.
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    let stoppedBy: NodeJS.Signals | null = null;
    for (const input of [child.stdout, child.stderr]) {
      if (input) createInterface({ input }).on("line", onLine);
    }
    child.on("message", (message) => {
      // Its port is null where HTTP has that as its own, 80: the caller has chosen it.
      const { event } = JSON.parse(String(message));
      if (event === "DEV_SERVER_READY") onReady?.(() => stoppedBy !== null);
    });
    const stop = (signal: NodeJS.Signals) => {
      stoppedBy ??= signal;
      child.kill(signal);
    };
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, stop);
    // npm passes a signal to a shell that keeps it; when that is gone, nobody else will stop wrangler.
    const parent = process.ppid;
    const orphaned = setInterval(() => process.ppid !== parent && stop("SIGTERM"), 500);
    // Not "exit": what it has printed comes first.
    child.on("close", (code) => {
      clearInterval(orphaned);
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, stop);
      resolve({ code: code ?? 1, stoppedBy });
    });
  });
}
