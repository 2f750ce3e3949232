/** Against the floor: what the service takes on top of the storage it stands on. */
import { assertSameWork } from "./equality.ts";
import { medianOf, verdict } from "./figures.ts";
import type { Measured } from "./load.ts";
import { OPERATIONS, type Operation, supply } from "./operations.ts";
import type { Part } from "./part.ts";
import { table } from "./results.ts";
import type { Place, Server, Workshop } from "./workshop.ts";

const LEAST_THROUGHPUT = 0.85;
const MOST_P99 = 1.3;

/** Every action makes an object, which holds three file descriptors for ten seconds: so many and no more a run. */
const ACTIONS_PER_RUN = 2000;

interface Plan {
  readonly places: readonly Place[];
  readonly connections: readonly number[];
  readonly rounds: number;
  readonly milliseconds: number;
}
const FULL: Plan = { places: ["disk", "tmpfs"], connections: [1, 16, 64], rounds: 7, milliseconds: 1200 };
const QUICK: Plan = { places: ["tmpfs"], connections: [16], rounds: 3, milliseconds: 800 };

const SEEDED = { pending: 45_000, confirmed: 45_000 };

export const againstFloor: Part = {
  title: "Against the floor",
  async run(workshop, quick) {
    const plan = quick ? QUICK : FULL;
    await assertSameWork(workshop);
    const sections: string[] = [];
    for (const place of plan.places) {
      sections.push(`State on ${place}:\n\n${summarize(await compare(workshop, place, plan))}`);
    }
    return `The floor is a bare Worker (bench/floor) with the same D1 statements, in the same batches with the same
parameters, and the same object call. Both run on workerd, without a proxy in front; the load comes from
another process, over keep-alive connections that each wait for an answer before they ask again. Medians of
${plan.rounds} runs of ${plan.milliseconds} ms each, in turn on the service and the floor. Confirm and refund are the first action of
their payment, for which the runtime makes an object and its file; the refused action is a refund of a pending
payment, on objects that are there. Times in milliseconds. Targets: throughput at least ${LEAST_THROUGHPUT} of the floor's, p99
at most ${MOST_P99} of it.

${sections.join("\n\n")}`;
  },
};

interface Row {
  readonly connections: number;
  readonly operation: Operation;
  readonly service: Figures;
  readonly floor: Figures;
}
type Figures = Record<"throughput" | "p50" | "p99", number>;

interface Runs {
  readonly operation: Operation;
  readonly service: Figures[];
  readonly floor: Figures[];
}

/** Runs every operation on both, in turn. */
async function compare(workshop: Workshop, place: Place, plan: Plan): Promise<Row[]> {
  const service = new Target(workshop, await workshop.serve("service", await workshop.state(place, SEEDED)));
  const floor = new Target(workshop, await workshop.serve("floor", await workshop.state(place, SEEDED)));
  for (const operation of OPERATIONS) {
    for (const target of [service, floor]) await target.run(operation, 16, plan.milliseconds);
  }
  const rows: Row[] = [];
  for (const connections of plan.connections) {
    const runs = OPERATIONS.map((operation): Runs => ({ operation, service: [], floor: [] }));
    for (let round = 0; round < plan.rounds; round++) {
      for (const run of runs) {
        const pair = [
          async () => run.service.push(await service.run(run.operation, connections, plan.milliseconds)),
          async () => run.floor.push(await floor.run(run.operation, connections, plan.milliseconds)),
        ];
        for (const measure of round % 2 === 0 ? pair : pair.reverse()) await measure();
      }
    }
    for (const { operation, service, floor } of runs) {
      rows.push({ connections, operation, service: medians(service), floor: medians(floor) });
    }
    console.log(`${place}, ${connections} connections: done`);
  }
  for (const target of [service, floor]) await target.server.stop();
  return rows;
}

/** A server under test, and how many requests of each operation it has had. */
class Target {
  readonly server: Server;
  readonly #workshop: Workshop;
  readonly #asked = new Map<Operation, number>();

  constructor(workshop: Workshop, server: Server) {
    this.#workshop = workshop;
    this.server = server;
  }

  async run(operation: Operation, connections: number, milliseconds: number): Promise<Figures> {
    const from = this.#asked.get(operation) ?? 0;
    const left = supply(operation, SEEDED) - from;
    const requests = Number.isFinite(left) ? Math.min(left, ACTIONS_PER_RUN) : 1_000_000;
    const job = { port: this.server.port, seeded: SEEDED, operations: [operation], from, requests };
    const measured: Measured = await this.#workshop.load({ ...job, connections, milliseconds });
    this.#asked.set(operation, from + measured.requests);
    return { throughput: measured.requests / measured.seconds, p50: measured.p50, p99: measured.p99 };
  }
}

function medians(runs: readonly Figures[]): Figures {
  return { throughput: medianOf(runs, "throughput"), p50: medianOf(runs, "p50"), p99: medianOf(runs, "p99") };
}

function summarize(rows: readonly Row[]): string {
  const ratios = rows.map(({ service, floor }) => ({
    throughput: service.throughput / floor.throughput,
    p99: service.p99 / floor.p99,
  }));
  const fast = ratios.filter(({ throughput }) => throughput >= LEAST_THROUGHPUT).length;
  const steady = ratios.filter(({ p99 }) => p99 <= MOST_P99).length;
  const head = ["connections", "operation", "requests/s", "floor", "ratio", "holds", "p50", "floor", "p99", "floor"];
  const body = rows.map(({ connections, operation, service, floor }, n) => {
    const { throughput, p99 } = ratios[n] ?? { throughput: 0, p99: 0 };
    return [
      connections,
      operation,
      service.throughput.toFixed(0),
      floor.throughput.toFixed(0),
      throughput.toFixed(2),
      verdict(throughput >= LEAST_THROUGHPUT),
      service.p50.toFixed(2),
      floor.p50.toFixed(2),
      service.p99.toFixed(2),
      floor.p99.toFixed(2),
      p99.toFixed(2),
      verdict(p99 <= MOST_P99),
    ];
  });
  return `${table([[...head, "ratio", "holds"], ...body])}

Throughput holds in ${fast} of ${rows.length} rows, p99 in ${steady}.`;
}
