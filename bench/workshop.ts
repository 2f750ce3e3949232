/** What every part of the benchmark works with: builds, states, servers and the load, all ended at the end. */
import { type ChildProcess, fork } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import path from "node:path";
import type { Job, Measured } from "./load.ts";
import type { Seeded } from "./operations.ts";
import { seed } from "./seed.ts";
import { build, migrate, PROJECT, type Running, start } from "./workerd.ts";

/** The Worker's wrangler configuration, and its entry point where that is another than the configuration's. */
interface Worker {
  readonly configuration: string;
  readonly main?: string;
}

const worker = (configuration: string, main?: string): Worker => ({
  configuration: path.join(PROJECT, configuration),
  ...(main && { main: path.join(PROJECT, main) }),
});

const WORKERS = {
  deployed: worker("wrangler.toml"),
  service: worker("wrangler.toml", "bench/service/index.ts"),
  floor: worker("bench/floor/wrangler.toml"),
  metered: worker("bench/metered/wrangler.toml"),
};
export type WorkerName = keyof typeof WORKERS;

/** Where states are kept: a file system on disk, and one in memory. */
const PLACES = { disk: path.join(PROJECT, ".wrangler"), tmpfs: "/dev/shm" };
export type Place = keyof typeof PLACES;

export interface Server extends Running {
  readonly port: number;
}

export interface Workshop {
  /** Builds a Worker, once; returns the directory of its bundle. */
  built(name: WorkerName): Promise<string>;
  /** A state directory with a seeded D1, of its own to change. */
  state(place: Place, seeded: Seeded): Promise<string>;
  serve(name: WorkerName, state: string): Promise<Server>;
  load(job: Job): Promise<Measured>;
}

/**
 * Runs `work`, then ends every process and removes every directory it took: also when it fails, is asked to
 * end by a signal, or takes longer than `limit` milliseconds.
 */
export async function inWorkshop(limit: number, work: (workshop: Workshop) => Promise<void>): Promise<void> {
  const roots = { disk: newDirectory("disk"), tmpfs: newDirectory("tmpfs") };
  const servers = new Set<Server>();
  const loader = fork(path.join(import.meta.dirname, "load.ts"));
  const remove = () => {
    for (const root of Object.values(roots)) rmSync(root, { recursive: true, force: true });
  };
  // Once miniflare runs, a signal ends the process at once.
  process.once("exit", remove);
  let timer: NodeJS.Timeout | undefined;
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => reject(new Error(signal)));
    timer = setTimeout(() => reject(new Error(`The work did not end within ${limit / 60_000} minutes`)), limit);
  });

  const bundles = new Map<WorkerName, Promise<string>>();
  const templates = new Map<string, Promise<string>>();
  const memoized = <K, V>(map: Map<K, Promise<V>>, key: K, make: () => Promise<V>) => {
    const made = map.get(key) ?? make();
    map.set(key, made);
    return made;
  };
  const built = (name: WorkerName) =>
    memoized(bundles, name, async () => {
      const directory = path.join(roots.disk, `dist-${name}`);
      const { configuration, main } = WORKERS[name];
      await build(configuration, directory, main);
      return directory;
    });
  let states = 0;
  try {
    const workshop: Workshop = {
      built,
      async state(place, seeded) {
        const name = `seed-${seeded.pending}-${seeded.confirmed}`;
        const template = await memoized(templates, name, async () => {
          const directory = path.join(roots.tmpfs, name);
          await migrate(WORKERS.deployed.configuration, directory);
          await seed(directory, seeded.pending, seeded.confirmed);
          return directory;
        });
        const directory = path.join(roots[place], `state-${++states}`);
        cpSync(template, directory, { recursive: true });
        return directory;
      },
      async serve(name, state) {
        const port = await freePort();
        const running = await start(WORKERS[name].configuration, await built(name), state, port);
        const server: Server = {
          ...running,
          port,
          async stop() {
            servers.delete(server);
            await running.stop();
          },
        };
        servers.add(server);
        return server;
      },
      load: (job) => ask(loader, job),
    };
    await Promise.race([work(workshop), interrupted]);
  } finally {
    clearTimeout(timer);
    loader.kill();
    await Promise.all([...servers].map((server) => server.stop()));
    // Again, and last of all: what might still write is killed when the process exits.
    process.once("exit", remove);
  }
}

function newDirectory(place: Place): string {
  mkdirSync(PLACES[place], { recursive: true });
  return mkdtempSync(path.join(PLACES[place], "payment-bench-"));
}

/** Gives the load process one job, and takes its answer. */
function ask(loader: ChildProcess, job: Job): Promise<Measured> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      clearTimeout(timer);
      loader.removeAllListeners();
      settle();
    };
    const fail = (reason: string) => end(() => reject(new Error(reason)));
    const timer = setTimeout(() => fail("The load did not end in time"), job.milliseconds + 60_000);
    loader.once("exit", () => fail("The load process ended"));
    loader.once("message", (answer: Measured | { error: string }) =>
      "error" in answer ? fail(answer.error) : end(() => resolve(answer)),
    );
    loader.send(job);
  });
}

/** A port that is free now, and the one after it as well. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    if ((await isFree(port)) && (await isFree(port + 1))) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
