/** Start: how large the Worker is, how soon it answers, and how much memory it comes to hold. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { Connection } from "./connection.ts";
import { median } from "./figures.ts";
import { type Operation, request } from "./operations.ts";
import type { Part } from "./part.ts";
import { residentMemory, startOf, uptime } from "./processes.ts";
import { table } from "./results.ts";
import type { Server, Workshop } from "./workshop.ts";

const SEEDED = { pending: 1000, confirmed: 1000 };
const GET = request("get", SEEDED, 0);
const HEALTH = "GET /health HTTP/1.1\r\nHost: bench\r\n\r\n";

/** What is asked in turn while memory is watched. */
const MIX: readonly Operation[] = ["create", "replay", "get", "refused action"];

export const start: Part = {
  title: "Start",
  async run(workshop, quick) {
    const starts = quick ? 3 : 9;
    const [few, many] = quick ? [1_000, 4_000] : [20_000, 100_000];
    const [service, floor] = [await workshop.built("deployed"), await workshop.built("floor")].map(sizes);
    const server = await workshop.serve("deployed", await workshop.state("tmpfs", SEEDED));
    const health = await firstAnswer(server, HEALTH, starts);
    const get = await firstAnswer(server, GET, starts);
    const memory = await memoryAfter(workshop, server, [0, few, many]);
    await server.stop();
    const bare = await workshop.serve("floor", await workshop.state("tmpfs", SEEDED));
    const bareGet = await firstAnswer(bare, GET, starts);
    const bareMemory = await memoryAfter(workshop, bare, [0, few]);
    await bare.stop();
    return `The bundle is what \`wrangler deploy\` uploads. A start is from the start of the workerd process, after \`kill -9\`, to
its first answer, in medians of ${starts}, to the 10 ms that Linux counts in; miniflare's D1 starts with it. Memory is
workerd's resident set, D1 and objects included, after so many requests over 16 connections: ${MIX.join(", ")},
in turn. The service is the Worker as it is deployed, with the rate limiters of the development runtime, whose object is
in that memory. The floor, the bare Worker of "Against the floor", shows what of it is the runtime's own.

${table([
  ["", "service", "floor"],
  ["bundle, raw", kib(service?.raw), kib(floor?.raw)],
  ["bundle, gzipped", kib(service?.gzipped), kib(floor?.gzipped)],
  ["start to the first answer of /health", `${health.toFixed(0)} ms`, ""],
  ["start to the first payment read from D1", `${get.toFixed(0)} ms`, `${bareGet.toFixed(0)} ms`],
  ["memory after the first request", mib(memory[0]), mib(bareMemory[0])],
  [`memory after ${few.toLocaleString("en")} requests`, mib(memory[1]), mib(bareMemory[1])],
  [`memory after ${many.toLocaleString("en")} requests`, mib(memory[2]), ""],
])}`;
  },
};

function sizes(directory: string): { raw: number; gzipped: number } {
  const bundle = readFileSync(path.join(directory, "index.js"));
  return { raw: bundle.length, gzipped: gzipSync(bundle).length };
}

function kib(bytes = Number.NaN): string {
  return `${(bytes / 1024).toFixed(1)} KiB`;
}

function mib(figure = Number.NaN): string {
  return `${figure.toFixed(0)} MiB`;
}

/** How old the process is when it first answers, in milliseconds, in the middle of some starts. */
async function firstAnswer(server: Server, text: string, starts: number): Promise<number> {
  const ages: number[] = [];
  while (ages.length < starts) {
    const killed = server.pid();
    // Zero and below would be whole groups of processes.
    if (killed <= 1) throw new Error("The server has no process");
    process.kill(killed, "SIGKILL");
    const deadline = Date.now() + 30_000;
    while (!(await answers(server.port, text))) {
      if (Date.now() > deadline) throw new Error("workerd did not come back");
      await sleep(2);
    }
    const answered = uptime();
    if (server.pid() === killed) throw new Error("workerd was not killed");
    ages.push(answered - startOf(server.pid()));
  }
  return median(ages);
}

async function answers(port: number, text: string): Promise<boolean> {
  try {
    const connection = await Connection.open(port);
    const { status } = await connection.send(text).finally(() => connection.close());
    return status === 200;
  } catch {
    return false; // Nobody listens yet.
  }
}

/** The memory that the server holds after each of these numbers of requests. */
async function memoryAfter(workshop: Workshop, server: Server, numbers: readonly number[]): Promise<number[]> {
  const job = { port: server.port, seeded: SEEDED, operations: MIX, milliseconds: 600_000, connections: 16 };
  const figures: number[] = [];
  let from = 0;
  for (const number of numbers) {
    const { requests } = await workshop.load({ ...job, from, requests: number - from });
    if (requests < number - from) throw new Error(`Only ${requests} of ${number - from} requests were made in time`);
    from = number;
    figures.push(residentMemory(server.pid()));
  }
  return figures;
}
