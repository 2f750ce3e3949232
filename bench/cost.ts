/** Cost: what Cloudflare would bill, from what the runtime counts. */
import { meter, meterFirstUse, type Report, rows } from "./meter.ts";
import { OPERATIONS, type Operation, supply } from "./operations.ts";
import { type Part, RATE_LIMITS } from "./part.ts";
import { processorTime } from "./processes.ts";
import { table } from "./results.ts";
import type { Workshop } from "./workshop.ts";

/** Dollars per million, beyond what the Workers Paid plan of $5 a month includes. */
const PRICES = { request: 0.3, cpu: 0.02, objectCall: 0.15, objectDuration: 12.5, rowRead: 0.001, rowWritten: 1 };
/** What an object is billed for while it is at work, in GB. */
const OBJECT_MEMORY = 0.128;

const SOURCES = `Prices beyond the Workers Paid plan's included usage, from developers.cloudflare.com, the pages
/workers/platform/pricing/ (requests $0.30 per million, CPU $0.02 per million ms), /durable-objects/platform/pricing/
(requests, of which every RPC call is one, $0.15 per million; duration $12.50 per million GB-s at 128 MB) and
/d1/platform/pricing/ (rows read $0.001 per million, rows written $1.00 per million).`;

const SEEDED = { pending: 12_000, confirmed: 12_000 };

interface Cost {
  readonly trips: number;
  readonly objectCalls: number;
  readonly rowsRead: number;
  readonly rowsWritten: number;
  /** In milliseconds. */
  readonly objectTime: number;
  readonly cpu: number;
}

export const cost: Part = {
  title: "Cost",
  async run(workshop, quick) {
    const { costs, lookUp } = await measure(workshop, quick);
    const operations = OPERATIONS.map((operation) => {
      const { trips, objectCalls, rowsRead, rowsWritten, cpu, objectTime } = costs[operation];
      return [operation, 1, objectCalls, trips, rowsRead, rowsWritten, cpu.toFixed(2), objectTime.toFixed(1)];
    });
    const head = ["operation", "requests", "object calls", "D1 round trips", "rows read", "rows written"];
    const flows = [bill(costs.create, costs.confirm), bill(costs.create, costs.confirm, costs.refund)] as const;
    const lines = flows[0].map(([what, dollars], n) => [what, dollars.toFixed(2), flows[1][n]?.[1].toFixed(2) ?? ""]);
    return `Per operation, with an idempotency key wherever one can be sent, and an API key that the isolate remembers. An API
key that it does not, or no longer, is looked up first: ${lookUp.trips} more D1 round trip, ${lookUp.read} more rows read. ${RATE_LIMITS}
Rows as the runtime's own \`meta\` counts them; of a replay's first statements, which fail and are rolled back, it tells
none. CPU is all the processor time of workerd, D1 and the HTTP server included, so it is more than what would be
billed. An object's time is from call to answer, with D1 in the same process; every millisecond that D1 is further away
adds $${(perMillion(1) * PRICES.objectDuration).toFixed(4)} per million actions.

${table([[...head, "CPU, ms, at most", "object's time, ms"], ...operations])}

Dollars per million payments:

${table([["", "create + confirm", "create + confirm + refund"], ...lines])}

${SOURCES} Storage, and what the plan includes, are left out.`;
  },
};

interface Measured {
  readonly costs: Readonly<Record<(typeof OPERATIONS)[number], Cost>>;
  /** What the look-up of a key adds to a request. */
  readonly lookUp: { readonly trips: number; readonly read: number };
}

async function measure(workshop: Workshop, quick: boolean): Promise<Measured> {
  const metered = await workshop.serve("metered", await workshop.state("tmpfs", SEEDED));
  const service = await workshop.serve("service", await workshop.state("tmpfs", SEEDED));
  const { first, next } = await meterFirstUse(metered.port, SEEDED);
  const more = (figure: (report: Report) => number) => figure(first) - figure(next);
  const lookUp = { trips: more(({ trips }) => trips.length), read: more((report) => rows(report, "rowsRead")) };
  const times = quick ? 20 : 200;
  const measureOne = async (operation: Operation): Promise<Cost> => {
    const first = await meter(metered.port, "service", operation, SEEDED, 0);
    let objectTime = 0;
    for (let n = 1; n <= times; n++) {
      objectTime += (await meter(metered.port, "service", operation, SEEDED, n)).objectTime / times;
    }
    return {
      trips: first.trips.length,
      objectCalls: first.objectCalls,
      rowsRead: rows(first, "rowsRead"),
      rowsWritten: rows(first, "rowsWritten"),
      objectTime,
      cpu: await cpuOf(operation),
    };
  };
  const cpuOf = async (operation: Operation) => {
    const job = { port: service.port, seeded: SEEDED, operations: [operation], connections: 16 };
    const warm = await workshop.load({ ...job, from: 0, requests: 1000, milliseconds: 2000 });
    const before = processorTime(service.pid());
    const requests = Math.min(supply(operation, SEEDED) - warm.requests, quick ? 1000 : 4000);
    const measured = await workshop.load({ ...job, from: warm.requests, requests, milliseconds: 20_000 });
    return (processorTime(service.pid()) - before) / measured.requests;
  };
  const costs = {
    create: await measureOne("create"),
    replay: await measureOne("replay"),
    get: await measureOne("get"),
    confirm: await measureOne("confirm"),
    refund: await measureOne("refund"),
    "refused action": await measureOne("refused action"),
  };
  await metered.stop();
  await service.stop();
  return { costs, lookUp };
}

/** GB-s of a million calls that take so many milliseconds each, in millions. */
function perMillion(milliseconds: number): number {
  return (milliseconds / 1000) * OBJECT_MEMORY;
}

/** Dollars for a million times these operations, line by line and in all. */
function bill(...operations: Cost[]): [what: string, dollars: number][] {
  const sum = (of: (cost: Cost) => number) => operations.reduce((total, cost) => total + of(cost), 0);
  const lines: [string, number][] = [
    ["Worker requests", PRICES.request * operations.length],
    ["Worker CPU, at most", PRICES.cpu * sum(({ cpu }) => cpu)],
    ["object requests", PRICES.objectCall * sum(({ objectCalls }) => objectCalls)],
    ["object duration", PRICES.objectDuration * sum(({ objectTime }) => perMillion(objectTime))],
    ["D1 rows read", PRICES.rowRead * sum(({ rowsRead }) => rowsRead)],
    ["D1 rows written", PRICES.rowWritten * sum(({ rowsWritten }) => rowsWritten)],
  ];
  return [...lines, ["**in all**", lines.reduce((total, [, dollars]) => total + dollars, 0)]];
}
