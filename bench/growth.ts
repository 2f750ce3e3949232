/** Growth: does an operation cost the same with a thousand times the payments? */
import { median, verdict } from "./figures.ts";
import { meter, rows } from "./meter.ts";
import { LISTS, OPERATIONS, type Operation, type Seeded } from "./operations.ts";
import { type Part, RATE_LIMITS } from "./part.ts";
import { table } from "./results.ts";
import { PAYMENTS_PER_ORDER } from "./seed.ts";
import type { Place, Server, Workshop } from "./workshop.ts";

const MOST_P50 = 1.2;

const FEW: Seeded = { pending: 600, confirmed: 400 };

interface Plan {
  readonly many: Seeded;
  readonly places: readonly Place[];
  readonly rounds: number;
  /** Requests per round and operation, one at a time. */
  readonly requests: number;
}

const ASKED: readonly Operation[] = [...OPERATIONS, ...LISTS];

/** The two databases take turns after so many requests, so that a slow moment of the machine strikes both. */
const TURN = 25;
const FULL: Plan = {
  many: { pending: 600_000, confirmed: 400_000 },
  places: ["disk", "tmpfs"],
  rounds: 5,
  requests: 300,
};
const QUICK: Plan = { many: { pending: 60_000, confirmed: 40_000 }, places: ["tmpfs"], rounds: 3, requests: 100 };

/** Before each round, what changes nothing warms the servers up. */
const WARM_UP: readonly Operation[] = ["get", "replay", "refused action"];

export const growth: Part = {
  title: "Growth",
  async run(workshop, quick) {
    const plan = quick ? QUICK : FULL;
    const { many, places, rounds, requests } = plan;
    const few = await countRows(workshop, FEW);
    const lots = await countRows(workshop, many);
    const sections: string[] = [];
    for (const place of places) {
      const latencies = await measure(workshop, place, plan);
      const body = ASKED.map((operation, n) => {
        const [before, after] = [few[n], lots[n]];
        const { small, large } = latencies[n] ?? { small: Number.NaN, large: Number.NaN };
        return [
          operation,
          before?.read ?? "",
          after?.read ?? "",
          before?.written ?? "",
          after?.written ?? "",
          verdict(before?.read === after?.read && before?.written === after?.written),
          small.toFixed(2),
          large.toFixed(2),
          (large / small).toFixed(2),
          verdict(large / small <= MOST_P50),
        ];
      });
      const [s, l] = ["1,000", count(many).toLocaleString("en")];
      const head = [
        "operation",
        `rows read, ${s}`,
        l,
        `rows written, ${s}`,
        l,
        "equal",
        `p50, ${s}`,
        l,
        "ratio",
        "holds",
      ];
      sections.push(`State on ${place}:\n\n${table([head, ...body])}`);
    }
    return `The same operations with 1,000 and with ${count(many).toLocaleString("en")} payments in D1, with their events and keys. Rows as the
runtime's own \`meta\` counts them; of a replay's first statements, which fail and are rolled back, it tells
none. p50 in milliseconds, one request at a time, of ${rounds * requests} requests each, in turns of ${TURN}, in ${rounds} rounds that
each restart both servers. ${RATE_LIMITS}
The lists ask for 20 payments: the newest of all; those that have failed, which none has, so that one page looks at as
many as it ever does; those of an order, which has ${PAYMENTS_PER_ORDER}; those with a metadata pair, which one payment has.
Targets: rows equal, p50 within ${MOST_P50}.

${sections.join("\n\n")}`;
  },
};

function count({ pending, confirmed }: Seeded): number {
  return pending + confirmed;
}

/** The rows that each operation reads and writes in a database of that size. */
async function countRows(workshop: Workshop, seeded: Seeded): Promise<{ read: number; written: number }[]> {
  const server = await workshop.serve("metered", await workshop.state("tmpfs", seeded));
  const counts = [];
  for (const operation of ASKED) {
    const report = await meter(server.port, "service", operation, seeded, 0);
    const count = { read: rows(report, "rowsRead"), written: rows(report, "rowsWritten") };
    if (count.read === 0)
      throw new Error(`The ${operation} has found nothing in a database of ${JSON.stringify(seeded)}`);
    counts.push(count);
  }
  await server.stop();
  return counts;
}

interface Runs {
  readonly operation: Operation;
  /** Latencies. */
  readonly small: number[];
  readonly large: number[];
}

/** The p50 of each operation in a small and in a large database. */
async function measure(workshop: Workshop, place: Place, { many, rounds, requests }: Plan) {
  const runs = ASKED.map((operation): Runs => ({ operation, small: [], large: [] }));
  for (let round = 0; round < rounds; round++) {
    // A small database would not stay small, nor have payments left to confirm: each round has a new one. So has
    // the large one, because the files of the objects that a round leaves behind make the next one slower.
    const small = await workshop.serve("service", await workshop.state(place, FEW));
    const large = await workshop.serve("service", await workshop.state(place, many));
    const ask = async (server: Server, seeded: Seeded, operation: Operation, from: number, requests: number) => {
      const job = { port: server.port, seeded, operations: [operation], from, requests };
      return (await workshop.load({ ...job, milliseconds: 30_000, connections: 1 })).latencies;
    };
    for (const operation of WARM_UP) {
      await ask(small, FEW, operation, 0, requests);
      await ask(large, many, operation, 0, requests);
    }
    for (const run of runs) {
      for (let asked = 0; asked < requests; asked += TURN) {
        const pair = [
          async () => run.small.push(...(await ask(small, FEW, run.operation, asked, TURN))),
          async () => run.large.push(...(await ask(large, many, run.operation, asked, TURN))),
        ];
        for (const measure of (asked / TURN) % 2 === 0 ? pair : pair.reverse()) await measure();
      }
    }
    await small.stop();
    await large.stop();
    console.log(`${place}, round ${round + 1} of ${rounds}: done`);
  }
  return runs.map(({ small, large }) => ({ small: median(small), large: median(large) }));
}
