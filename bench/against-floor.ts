/** Against the floor: what the service takes on top of the storage it stands on. */
import { assertSameWork } from "./equality.ts";
import { median, quantile, verdict } from "./figures.ts";
import type { Measured } from "./load.ts";
import { OPERATIONS, type Operation, supply } from "./operations.ts";
import { type Part, RATE_LIMITS } from "./part.ts";
import { table } from "./results.ts";
import type { Place, Server, WorkerName, Workshop } from "./workshop.ts";

const LEAST_THROUGHPUT = 0.85;
const MOST_P99 = 1.3;

/** Every action makes an object, which holds three file descriptors for ten seconds: so many and no more a run. */
const ACTIONS_PER_RUN = 2000;

/** So many rounds of runs so long: with more connections, each has to have its turn several times. */
interface Runs {
  readonly connections: number;
  readonly rounds: number;
  readonly milliseconds: number;
}
interface Plan {
  readonly places: readonly Place[];
  readonly runs: readonly Runs[];
}
const FULL: Plan = {
  places: ["disk", "tmpfs"],
  runs: [
    { connections: 1, rounds: 9, milliseconds: 400 },
    { connections: 16, rounds: 7, milliseconds: 600 },
    { connections: 64, rounds: 5, milliseconds: 1500 },
  ],
};
const QUICK: Plan = { places: ["tmpfs"], runs: [{ connections: 16, rounds: 3, milliseconds: 400 }] };

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
parameters, and the same object call; it lets everybody in. The service asks for an API key, which it remembers.
${RATE_LIMITS} Both run on workerd, without a proxy in front; the load comes from
another process, over keep-alive connections that each wait for an answer before they ask again. Rounds of runs on
the service, the floor, and a second instance of the floor, in changing order: ${plan.runs
      .map(({ connections, rounds, milliseconds }) => `${rounds} of ${milliseconds} ms with ${connections}`)
      .join(", ")}
connections. Throughputs are medians of the rounds, up to the last answer that a request followed; their ratio is
the median of the rounds' ratios, which need not be the ratio of the medians. p50 and p99 are of all requests of
all rounds, in milliseconds; "requests" is how many those are on the service. "Itself" is the second floor against
the first: what the machine's noise alone makes of two equal Workers. Confirm and refund are the first action of their payment, for which the
runtime makes an object and its file; the refused action is a refund of a pending payment, on objects that are
there. Targets: throughput at least ${LEAST_THROUGHPUT} of the floor's, p99 at most ${MOST_P99} of it.

${sections.join("\n\n")}`;
  },
};

const TARGETS = ["service", "floor", "again"] as const;
type TargetName = (typeof TARGETS)[number];

interface Row {
  readonly connections: number;
  readonly operation: Operation;
  readonly measured: Readonly<Record<TargetName, Measured[]>>;
}

/** Runs every operation on all, in turn. */
async function compare(workshop: Workshop, place: Place, plan: Plan): Promise<Row[]> {
  const target = async (worker: WorkerName) =>
    new Target(workshop, await workshop.serve(worker, await workshop.state(place, SEEDED)));
  const targets = { service: await target("service"), floor: await target("floor"), again: await target("floor") };
  for (const operation of OPERATIONS) {
    for (const name of TARGETS) await targets[name].run(operation, 16, 1000);
  }
  const rows: Row[] = [];
  for (const { connections, rounds, milliseconds } of plan.runs) {
    const runs = OPERATIONS.map(
      (operation): Row => ({
        connections,
        operation,
        measured: { service: [], floor: [], again: [] },
      }),
    );
    for (let round = 0; round < rounds; round++) {
      const turn = TARGETS.map((_, n) => TARGETS[(n + round) % TARGETS.length] ?? "service");
      for (const { operation, measured } of runs) {
        for (const name of turn) {
          measured[name].push(await targets[name].run(operation, connections, milliseconds));
        }
      }
    }
    rows.push(...runs);
    console.log(`${place}, ${connections} connections: done`);
  }
  for (const name of TARGETS) await targets[name].server.stop();
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

  async run(operation: Operation, connections: number, milliseconds: number): Promise<Measured> {
    const from = this.#asked.get(operation) ?? 0;
    const left = supply(operation, SEEDED) - from;
    const requests = Number.isFinite(left) ? Math.min(left, ACTIONS_PER_RUN) : 1_000_000;
    const job = { port: this.server.port, seeded: SEEDED, operations: [operation], from, requests };
    const measured = await this.#workshop.load({ ...job, connections, milliseconds });
    this.#asked.set(operation, from + measured.requests);
    return measured;
  }
}

const throughput = (run: Measured) => run.throughput;

function summarize(rows: readonly Row[]): string {
  const head = [
    ...["connections", "operation", "requests", "requests/s", "floor", "ratio", "holds", "itself"],
    ...["p50", "floor", "p99", "floor", "ratio", "holds", "itself"],
  ];
  let [fast, steady] = [0, 0];
  const body = rows.map(({ connections, operation, measured }) => {
    const { service, floor } = measured;
    const speed = (name: TargetName) => median(measured[name].map(throughput));
    const time = (name: TargetName, q: number) =>
      quantile(
        measured[name].flatMap(({ latencies }) => latencies),
        q,
      );
    const against = (runs: readonly Measured[]) =>
      median(runs.flatMap((run, n) => (floor[n] ? [throughput(run) / throughput(floor[n])] : [])));
    const [speedRatio, p99Ratio] = [against(service), time("service", 0.99) / time("floor", 0.99)];
    const [isFast, isSteady] = [speedRatio >= LEAST_THROUGHPUT, p99Ratio <= MOST_P99];
    if (isFast) fast++;
    if (isSteady) steady++;
    return [
      connections,
      operation,
      service.reduce((sum, { requests }) => sum + requests, 0),
      speed("service").toFixed(0),
      speed("floor").toFixed(0),
      speedRatio.toFixed(2),
      verdict(isFast),
      against(measured.again).toFixed(2),
      time("service", 0.5).toFixed(2),
      time("floor", 0.5).toFixed(2),
      time("service", 0.99).toFixed(2),
      time("floor", 0.99).toFixed(2),
      p99Ratio.toFixed(2),
      verdict(isSteady),
      (time("again", 0.99) / time("floor", 0.99)).toFixed(2),
    ];
  });
  return `${table([head, ...body])}

Throughput holds in ${fast} of ${rows.length} rows, p99 in ${steady}.`;
}
